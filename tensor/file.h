// Whole files, in and out: the one way in which data, weights, pictures and tables reach the disk.
//
// A file is written under a temporary name in the same folder, flushed (fsync), renamed to its name, and the
// folder flushed: whoever looks, after a crash too, sees the old file or the new one and never a part. A link
// stays one, its target is written; a folder, device or pipe is refused. Logs, which grow, are the exception
// (AppendFile).
#pragma once
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "tensor/error.h"

namespace patchcl {

using Bytes = std::vector<uint8_t>;

// The first `limit` bytes of a regular file. Error(code) naming it: not there, a folder, not readable.
Bytes read_bytes(const std::string& path, ExitCode code = ExitCode::data, uint64_t limit = UINT64_MAX);
std::string read_text(const std::string& path, ExitCode code = ExitCode::data);
// Error(code) as above.
uint64_t file_size(const std::string& path, ExitCode code = ExitCode::data);

// A file in parts: it becomes `path` on commit() and vanishes otherwise. Error(io) naming the path.
class AtomicFile {
 public:
  explicit AtomicFile(const std::string& path);
  ~AtomicFile();
  AtomicFile(const AtomicFile&) = delete;
  void write(const void* data, size_t bytes);
  // Unless `kept_as` is empty, what had the name until now goes on under that one. There is a whole file
  // under `path` at every moment.
  void commit(const std::string& kept_as = "");

 private:
  [[noreturn]] void stop(const char* what) const;
  std::string path_, temporary_;
  int fd_ = -1;
  bool committed_ = false;
};

// A file in one part.
void write_bytes(const std::string& path, std::span<const uint8_t> bytes);
void write_text(const std::string& path, const std::string& text);
// Likewise, but a file that holds this text already is left alone.
void update_text(const std::string& path, const std::string& text);

// The folder and those above it, each flushed into the one above: what is written into it outlives a power
// cut. Error(io) naming it; an empty name is Error(usage).
void make_folders(const std::string& path);
// That of a file which will be written: a place that cannot be, or what is no file there, is found before the
// work, not after it.
void make_folder_of(const std::string& path);

// A file that grows by whole lines: what a run logs. A kill may leave a part of its last line.
class AppendFile {
 public:
  explicit AppendFile(const std::string& path);
  ~AppendFile();
  AppendFile(const AppendFile&) = delete;
  // Error(io) naming the path.
  void write(const std::string& bytes);
  void write_line(const std::string& line) { write(line + "\n"); }
  void sync();  // to the disk

 private:
  [[noreturn]] void stop(const char* what) const;
  std::string path_;
  int fd_ = -1;
};

// Bytes as text, for pages and pictures that hold a file.
std::string base64(const uint8_t* bytes, size_t n);
// Text as HTML and SVG hold it.
std::string in_markup(const std::string& text);
// A name or message as a terminal may print it: control characters but the end of a line as \x1b.
std::string printable(const std::string& text);
// A name for a file in a folder of ours, from an id that may hold anything: no folders, at most 200 bytes.
std::string file_name_of(const std::string& id);

}  // namespace patchcl
