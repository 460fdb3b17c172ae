"""Writes gland_objects.json: pairs of object maps as run lengths, with the expected object scores.

Usage: make_gland_objects.py FOLDER, which holds NAME_pred.png, NAME_true.png (8-bit grey) and expected.json.
A map is {"shape": [H, W], "runs": "id*count id*count ..."}. The expected scores come from a NumPy program of the
definitions in docs/methods.md section 9, not from this project.
"""
import json, pathlib, struct, sys, zlib


def read_png(path):
    data, at, packed = path.read_bytes(), 8, b""
    while at < len(data):
        length, kind = struct.unpack(">I4s", data[at:at + 8])
        body = data[at + 8:at + 8 + length]
        if kind == b"IHDR":
            width, height, depth, colour = struct.unpack(">IIBB", body[:10])
            assert (depth, colour) == (8, 0), path
        if kind == b"IDAT":
            packed += body
        at += 12 + length
    raw, rows, above = zlib.decompress(packed), [], bytearray(width)
    for y in range(height):
        kind, row = raw[y * (width + 1)], bytearray(raw[y * (width + 1) + 1:(y + 1) * (width + 1)])
        for x in range(width):
            a, b, c = row[x - 1] if x else 0, above[x], above[x - 1] if x else 0
            nearest = min((abs(b - c), 0, a), (abs(a - c), 1, b), (abs(a + b - 2 * c), 2, c))[2]
            row[x] = row[x] + (0, a, b, (a + b) // 2, nearest)[kind] & 255
        rows.append(row)
        above = row
    return height, width, b"".join(bytes(r) for r in rows)


def packed(path):
    height, width, values = read_png(path)
    runs = []
    for v in values:
        if runs and runs[-1][0] == v:
            runs[-1][1] += 1
        else:
            runs.append([v, 1])
    return {"shape": [height, width], "runs": " ".join(f"{v}*{n}" for v, n in runs)}


folder = pathlib.Path(sys.argv[1])
expected = json.loads((folder / "expected.json").read_text())
out = {"pairs": [], "pooled": {}, "mean": {}}
for name, e in expected.items():
    if name.endswith("_over_glas_crops"):
        out[name.split("_")[0]] = e
        continue
    out["pairs"].append({"name": name, "prediction": packed(folder / f"{name}_pred.png"),
                         "reference": packed(folder / f"{name}_true.png"),
                         "f1": e["f1"], "dice": e["obj_dice"], "hausdorff": e["obj_hausdorff"],
                         "counts": e["tp_fp_fn"]})
target = pathlib.Path(__file__).with_name("gland_objects.json")
target.write_text("{\n" + f'"pooled": {json.dumps(out["pooled"])},\n"mean": {json.dumps(out["mean"])},\n"pairs": [\n'
                  + ",\n".join(json.dumps(p) for p in out["pairs"]) + "\n]}\n")
