#!/usr/bin/env python3
"""What a disk holds when the power goes: from the strace of a command (run.sh power) and the folder it began in.

  power_cut.py points TRACE              "VARIANT NUMBER" a line: each call that changes the disk, cut behind it
  power_cut.py state TRACE VARIANT N     turns the folder it is called in into that state; exit code 137, or 0 where
                                         the command had ended; 1 and words where a promised checkpoint is lost
Variants of what was written since the last fsync of a file, and of names since that of their folder:
  strict  none of it is there
  empty   the names are there, the data is not
  torn    the names, and the first half of the data
  zeros   the names, and zeros instead of the data
  mixed   of every name and file one of these or the new one, by lot
"""
import json
import os
import random
import re
import shutil
import sys

VARIANTS = ["strict", "empty", "torn", "zeros", "mixed"]


class File:
    def __init__(self, data=b""):
        self.now, self.safe = bytearray(data), bytes(data)

    def after(self, variant):
        now, safe = bytes(self.now), self.safe
        kept = len(safe) if now.startswith(safe) else 0
        return {"strict": safe, "empty": safe if kept else b"", "now": now,
                "torn": now[:kept + (len(now) - kept) // 2], "zeros": now[:kept] + bytes(len(now) - kept)}[variant]


class Folder:
    def __init__(self):
        self.now, self.safe = {}, {}


class Disk:
    """The calls of a trace up to one of them, carried out on the folder they began in."""

    def __init__(self, home):
        self.home = home  # where the command was traced
        self.root, self.open = self.read("."), {}
        self.saved = self.promised = 0  # iterations of checkpoints: under its name; told by what came after it

    def read(self, path):
        folder = Folder()
        for entry in os.scandir(path):
            folder.now[entry.name] = self.read(entry.path) if entry.is_dir() else File(open(entry.path, "rb").read())
        folder.safe = dict(folder.now)
        return folder

    def at(self, path):
        """The folder and the name of a path; nothing outside of the root."""
        path = os.path.normpath(path)
        if path.startswith("/"):
            path = os.path.relpath(path, self.home)
        if path.startswith(".."):
            return None, None
        folder, parts = self.root, [p for p in path.split("/") if p != "."]
        for part in parts[:-1]:
            folder = folder.now.get(part)
            if not isinstance(folder, Folder):
                return None, None
        return folder, parts[-1] if parts else ""

    def look(self, path):
        folder, name = self.at(path)
        return folder.now.get(name, folder if name == "" else None) if folder else None

    def do(self, call, arguments, result):
        """True where the call changes the disk."""
        strings = [bytes.fromhex(s.replace("\\x", "")) for s in arguments.split('"')[1::2]]
        paths = [os.fsdecode(s) for s in strings]
        fd = re.match(r"\d+", arguments)
        what = self.open.get(int(fd.group())) if fd else None
        if call == "openat":
            return self.open_file(paths[0], arguments, result)
        if call == "close":
            self.open.pop(int(fd.group()), None)
            return False
        if call in ("write", "fsync", "fdatasync", "ftruncate"):
            return what is not None and self.change(call, what, strings, arguments, result)
        folder, name = self.at(paths[-1])
        if folder is None:
            return False
        if call == "mkdir":
            folder.now[name] = Folder()
        elif call in ("unlink", "rmdir"):
            del folder.now[name]
        elif call in ("rename", "link"):
            before, old = self.at(paths[0])
            folder.now[name] = before.now[old] if call == "link" else before.now.pop(old)
            if name == "last.safetensors":
                self.saved = iteration_of(bytes(folder.now[name].now))
        return True

    def open_file(self, path, arguments, fd):
        what = self.look(path)
        if what is None and "O_CREAT" in arguments:
            folder, name = self.at(path)
            if folder is not None:
                what = folder.now[name] = File()
        elif isinstance(what, File) and "O_TRUNC" in arguments:
            del what.now[:]
        if what is not None:
            self.open[fd] = what
        return what is not None and ("O_CREAT" in arguments or "O_TRUNC" in arguments)

    def change(self, call, what, strings, arguments, result):
        if call == "write":
            what.now += strings[0][:result]  # whole files and logs that grow: always at the end
            self.promised = self.saved if what is self.look("run/metrics.jsonl") else self.promised
        elif call == "ftruncate":
            size = int(arguments.split(",")[1])
            what.now[:] = what.now[:size].ljust(size, b"\0")
        elif isinstance(what, File):
            what.safe = bytes(what.now)
        else:
            what.safe = dict(what.now)
        return True

    def write(self, folder, path, variant, lot):
        names = {"strict": folder.safe, "mixed": dict(folder.safe)}.get(variant, folder.now)
        if variant == "mixed":
            for name in sorted(set(folder.safe) | set(folder.now)):
                side = lot.choice([folder.safe, folder.now])
                if name in side:
                    names[name] = side[name]
                else:
                    names.pop(name, None)
        os.makedirs(path, exist_ok=True)
        for name, what in names.items():
            inner = os.path.join(path, name)
            if isinstance(what, Folder):
                self.write(what, inner, variant, lot)
            else:
                how = lot.choice(["strict", "empty", "torn", "zeros", "now"]) if variant == "mixed" else variant
                with open(inner, "wb") as f:
                    f.write(what.after(how))


def calls_of(trace):
    for line in open(trace):
        call, _, rest = line.partition("(")
        arguments, _, result = rest.rpartition(" = ")
        if result.strip().isdigit():  # else it failed, or is no call
            yield call, arguments.rstrip(" )"), int(result)


def iteration_of(checkpoint):
    size = int.from_bytes(checkpoint[:8], "little")
    return int(json.loads(checkpoint[8:8 + size])["__metadata__"]["iteration"])


def replay(trace, last):
    """The disk behind the change number `last`, and how many there are until there."""
    disk, changes = Disk(os.path.join(os.path.dirname(trace), "try")), 0
    for call in calls_of(trace):
        changes += disk.do(*call)
        if changes == last:
            break
    return disk, changes


def main():
    trace = os.path.abspath(sys.argv[2])
    if sys.argv[1] == "points":
        changes = replay(trace, -1)[1]
        for variant in VARIANTS:
            for number in range(1, changes + 1):
                print(variant, number)
        print("strict end")
        return 0
    variant, number = sys.argv[3], sys.argv[4]
    disk, _ = replay(trace, -1 if number == "end" else int(number))
    for entry in os.scandir("."):
        if entry.name != "log":  # where the words go
            shutil.rmtree(entry.path) if entry.is_dir() else os.remove(entry.path)
    disk.write(disk.root, ".", variant, random.Random(number))
    last = "run/last.safetensors"
    there = iteration_of(open(last, "rb").read()) if os.path.exists(last) else 0
    if there < disk.promised:
        print(f"error: the checkpoint of step {disk.promised} is lost, that of step {there} is there")
        return 1
    return 0 if number == "end" else 137


sys.exit(main())
