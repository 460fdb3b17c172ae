#include "tensor/file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <utility>

namespace patchcl {

namespace {
// An open file that closes itself, to read from.
class OpenFile {
 public:
  OpenFile(const std::string& path, ExitCode code)
      : path_(path), code_(code), fd_(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)) {
    struct stat s {};
    if (fd_ < 0) refuse(errno == ENOENT ? "no such file" : std::strerror(errno));
    if (fstat(fd_, &s) != 0 || !S_ISREG(s.st_mode)) {
      close(fd_);  // a constructor that throws has no destructor
      refuse("is no file");
    }
    size_ = uint64_t(s.st_size);
  }
  ~OpenFile() { close(fd_); }
  OpenFile(const OpenFile&) = delete;
  uint64_t size() const { return size_; }
  Bytes read(uint64_t bytes) const {
    Bytes all(bytes);
    for (uint64_t at = 0; at < bytes;) {
      const ssize_t n = ::read(fd_, all.data() + at, bytes - at);
      if (n < 0 && errno == EINTR) continue;
      if (n <= 0) refuse(n < 0 ? std::strerror(errno) : "became shorter while it was read");
      at += uint64_t(n);
    }
    return all;
  }

 private:
  [[noreturn]] void refuse(const char* why) const { fail(code_, "file", path_, ": ", why); }
  std::string path_;
  ExitCode code_;
  int fd_;
  uint64_t size_ = 0;
};

bool write_all(int fd, const void* data, size_t bytes) {
  const char* p = static_cast<const char*>(data);
  while (bytes) {
    const ssize_t n = ::write(fd, p, bytes);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return false;
    p += n;
    bytes -= size_t(n);
  }
  return true;
}

// Where a file of this name is written: behind links, which stay.
std::string behind_links(const std::string& path) {
  std::filesystem::path at = path;
  std::error_code none;
  for (int links = 0; std::filesystem::is_symlink(at, none); ++links) {
    if (links == 40) fail(ExitCode::io, "file", path, " is a link that leads to no place; write elsewhere");
    at = at.parent_path() / std::filesystem::read_symlink(at);  // an absolute target takes the place of all
  }
  return at.string();
}

void demand_name(const std::string& path) {
  if (path.empty()) fail(ExitCode::usage, "file", "the name of an output is empty; say where it goes");
}

// The new file would take the place of a device or a pipe, and whoever uses these would find it gone.
void refuse_what_is_no_file(const std::string& path) {
  demand_name(path);
  struct stat s {};
  if (stat(path.c_str(), &s) != 0 || S_ISREG(s.st_mode)) return;
  fail(ExitCode::io, "file", path, " is ", S_ISDIR(s.st_mode) ? "a folder" : "a device, pipe or socket",
      ", no regular file, and stays as it is; write elsewhere");
}

// New names in a folder reach the disk with it. Some file systems refuse; the data is safe by then.
void sync_folder(const std::string& folder) {
  const int dir = open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (dir < 0) return;
  fsync(dir);
  close(dir);
}

// Another name for a file that is about to lose its own; a copy where no link can be.
void keep_as(const std::string& path, const std::string& name) {
  if (!std::filesystem::exists(path)) return;
  const std::string link = name + ".tmp";
  unlink(link.c_str());
  const bool linked = ::link(path.c_str(), link.c_str()) == 0 && rename(link.c_str(), name.c_str()) == 0;
  unlink(link.c_str());  // still there where `name` was one of the file's already
  if (!linked) write_bytes(name, read_bytes(path, ExitCode::io));
}
}  // namespace

Bytes read_bytes(const std::string& path, ExitCode code, uint64_t limit) {
  const OpenFile in(path, code);
  return in.read(std::min(in.size(), limit));
}

std::string read_text(const std::string& path, ExitCode code) {
  const Bytes bytes = read_bytes(path, code);
  return {bytes.begin(), bytes.end()};
}

uint64_t file_size(const std::string& path, ExitCode code) { return OpenFile(path, code).size(); }

AtomicFile::AtomicFile(const std::string& path) : path_(behind_links(path)), temporary_(path_ + ".tmp") {
  refuse_what_is_no_file(path);
  fd_ = open(temporary_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (fd_ < 0) stop("cannot create");
}

AtomicFile::~AtomicFile() {
  if (fd_ >= 0) close(fd_);
  if (!committed_) unlink(temporary_.c_str());
}

void AtomicFile::write(const void* data, size_t bytes) {
  if (!write_all(fd_, data, bytes)) stop("cannot write");
}

void AtomicFile::commit(const std::string& kept_as) {
  if (fsync(fd_) != 0) stop("cannot flush");
  if (close(std::exchange(fd_, -1)) != 0) stop("cannot close");
  if (!kept_as.empty()) keep_as(path_, behind_links(kept_as));
  if (rename(temporary_.c_str(), path_.c_str()) != 0) stop("cannot rename to its name");
  committed_ = true;
  sync_folder(std::filesystem::absolute(path_).parent_path());  // for the rename
}

void AtomicFile::stop(const char* what) const {
  const int why = errno;
  std::error_code none;
  const bool before = std::filesystem::exists(path_, none), full = fd_ >= 0 || why == ENOSPC || why == EDQUOT;
  fail(ExitCode::io, "file", what, " ", temporary_, ": ", std::strerror(why), "; ",
      before ? "the " + path_ + " of before is untouched" : path_ + " was not written",
      full ? "; free space on the disk or write elsewhere" : "; write elsewhere");
}

void write_bytes(const std::string& path, std::span<const uint8_t> bytes) {
  AtomicFile file(path);
  file.write(bytes.data(), bytes.size());
  file.commit();
}

void write_text(const std::string& path, const std::string& text) {
  write_bytes(path, {reinterpret_cast<const uint8_t*>(text.data()), text.size()});
}

void update_text(const std::string& path, const std::string& text) {
  if (!std::filesystem::exists(path) || read_text(path, ExitCode::io) != text) write_text(path, text);
}

void make_folders(const std::string& path) {
  demand_name(path);
  std::filesystem::path folder = std::filesystem::absolute(path);
  if (!folder.has_filename()) folder = folder.parent_path();  // "masks/"
  std::error_code error;
  if (std::filesystem::is_directory(folder, error) || folder == folder.root_path()) return;
  make_folders(folder.parent_path());
  std::filesystem::create_directory(folder, error);
  if (error)
    fail(ExitCode::io, "file", "cannot create the folder ", path, ": ", error.message(),
        "; choose another place");
  sync_folder(folder.parent_path());
}

void make_folder_of(const std::string& path) {
  refuse_what_is_no_file(path);
  make_folders(std::filesystem::absolute(path).parent_path().string());
}

AppendFile::AppendFile(const std::string& path)
    : path_(path), fd_(open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644)) {
  if (fd_ < 0) stop("cannot open");
}

AppendFile::~AppendFile() { close(fd_); }

void AppendFile::write(const std::string& bytes) {
  if (!write_all(fd_, bytes.data(), bytes.size())) stop("cannot write");
}

void AppendFile::sync() {
  if (fsync(fd_) != 0) stop("cannot flush");
}

void AppendFile::stop(const char* what) const {
  fail(ExitCode::io, "file", what, " ", path_, ": ", std::strerror(errno), "; is the disk full?");
}

std::string base64(const uint8_t* bytes, size_t n) {
  constexpr char kDigits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string text;
  for (size_t i = 0; i < n; i += 3) {
    uint32_t group = 0;
    for (size_t k = 0; k < 3; ++k) group = group << 8 | (i + k < n ? bytes[i + k] : 0);
    for (size_t k = 0; k < 4; ++k) text += i + k > n ? '=' : kDigits[group >> (18 - 6 * k) & 63];
  }
  return text;
}

std::string in_markup(const std::string& text) {
  std::string out;
  for (char c : text) {
    if (c == '<') out += "&lt;";
    else if (c == '>') out += "&gt;";
    else if (c == '&') out += "&amp;";
    else if (c == '"') out += "&quot;";
    else out += c;
  }
  return out;
}

std::string printable(const std::string& text) {
  std::string all;
  for (const char c : text) {
    const auto code = static_cast<unsigned char>(c);
    char escaped[5] = {c};
    if ((code < 32 && c != '\n') || code == 127) std::snprintf(escaped, sizeof escaped, "\\x%02x", code);
    all += escaped;
  }
  return all;
}

std::string file_name_of(const std::string& id) {
  std::string name = id.substr(0, 200);
  std::replace(name.begin(), name.end(), '/', '_');
  if (name.empty() || name[0] == '.') name.insert(0, 1, '_');
  return name;
}

}  // namespace patchcl
