// safetensors reading and writing. The reader trusts nothing: sizes are checked against the file before any
// is used.
#include "tensor/io.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <utility>
#include <vector>

namespace patchcl {

namespace {

using nlohmann::json;
constexpr uint64_t kMaxHeader = uint64_t(100) << 20;  // the format's own limit

struct TypeName {
  DType dtype;
  const char* name;
};
constexpr TypeName kTypes[] = {
    {DType::f32, "F32"}, {DType::f64, "F64"}, {DType::u8, "U8"}, {DType::i32, "I32"}, {DType::i64, "I64"}};

std::string hex(uint64_t v) {
  char s[17];
  std::snprintf(s, sizeof s, "%016llx", static_cast<unsigned long long>(v));
  return s;
}

uint64_t fnv1a(uint64_t h, const void* data, size_t bytes) {
  const auto* p = static_cast<const unsigned char*>(data);
  for (size_t i = 0; i < bytes; ++i) h = (h ^ p[i]) * 0x100000001b3ull;
  return h;
}
constexpr uint64_t kFnvStart = 0xcbf29ce484222325ull;

// A file under a temporary name that becomes `path` on commit() and vanishes otherwise.
class AtomicFile {
 public:
  explicit AtomicFile(const std::string& path) : path_(path), temporary_(path + ".tmp") {
    fd_ = open(temporary_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd_ < 0) stop("cannot create");
  }
  ~AtomicFile() {
    if (fd_ >= 0) close(fd_);
    if (!committed_) unlink(temporary_.c_str());
  }
  AtomicFile(const AtomicFile&) = delete;

  void write(const void* data, size_t bytes) {
    const char* p = static_cast<const char*>(data);
    while (bytes) {
      const ssize_t n = ::write(fd_, p, bytes);
      if (n < 0 && errno == EINTR) continue;
      if (n <= 0) stop("cannot write");
      p += n;
      bytes -= size_t(n);
    }
  }

  void commit() {
    if (fsync(fd_) != 0) stop("cannot flush");
    if (close(std::exchange(fd_, -1)) != 0) stop("cannot close");
    if (rename(temporary_.c_str(), path_.c_str()) != 0) stop("cannot rename to its name");
    committed_ = true;
    // The rename itself must reach the disk: flush the folder. Some file systems refuse; the data is safe by
    // then.
    const std::string folder = std::filesystem::absolute(path_).parent_path();
    const int dir = open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir >= 0) {
      fsync(dir);
      close(dir);
    }
  }

 private:
  [[noreturn]] void stop(const char* what) {
    fail(ExitCode::io, "safetensors", what, " ", temporary_, ": ", std::strerror(errno), "; the previous ",
        path_, " is untouched; free space or choose another --out");
  }
  std::string path_, temporary_;
  int fd_ = -1;
  bool committed_ = false;
};

class Input {
 public:
  explicit Input(const std::string& path) : path_(path), fd_(open(path.c_str(), O_RDONLY | O_CLOEXEC)) {
    struct stat s {};
    if (fd_ < 0 || fstat(fd_, &s) != 0 || !S_ISREG(s.st_mode))
      refuse("cannot be read: ", fd_ < 0 ? std::strerror(errno) : "not a file");
    size_ = uint64_t(s.st_size);
  }
  ~Input() {
    if (fd_ >= 0) close(fd_);
  }
  Input(const Input&) = delete;
  uint64_t size() const { return size_; }
  void read(void* to, uint64_t bytes) {
    char* p = static_cast<char*>(to);
    while (bytes) {
      const ssize_t n = ::read(fd_, p, bytes);
      if (n < 0 && errno == EINTR) continue;
      if (n <= 0) refuse("ends too early or cannot be read");
      p += n;
      bytes -= uint64_t(n);
    }
  }
  template <class... Parts>
  [[noreturn]] void refuse(const Parts&... parts) const {
    fail(ExitCode::checkpoint, "safetensors", path_, " ", parts...,
        "; take another checkpoint, or train again");
  }

 private:
  std::string path_;
  int fd_;
  uint64_t size_ = 0;
};

struct Entry {
  std::string name;
  DType dtype;
  Shape shape;
  uint64_t begin, end;
};

Entry parse_entry(const Input& in, const std::string& name, const json& e, uint64_t data_size) {
  Entry r{name, DType::f32, {}, 0, 0};
  try {
    const std::string dtype = e.at("dtype");
    bool known = false;
    for (const TypeName& t : kTypes)
      if (dtype == t.name) {
        r.dtype = t.dtype;
        known = true;
      }
    if (!known) in.refuse("holds tensor '", name, "' of type ", dtype, "; known are F32, F64, U8, I32, I64");
    const std::vector<uint64_t> dims = e.at("shape");
    if (dims.size() > size_t(Shape::kMaxRank))
      in.refuse("holds tensor '", name, "' with ", dims.size(), " axes");
    // A scalar (no axes) becomes (1). The product is bounded before it can overflow.
    std::vector<int64_t> checked;
    uint64_t n = 1;
    for (uint64_t d : dims) {
      if (d > data_size || (d && n > data_size / d))
        in.refuse("holds tensor '", name, "' larger than the file");
      n *= d;
      checked.push_back(int64_t(d));
    }
    switch (checked.size()) {
      case 0: r.shape = {1}; break;
      case 1: r.shape = {checked[0]}; break;
      case 2: r.shape = {checked[0], checked[1]}; break;
      case 3: r.shape = {checked[0], checked[1], checked[2]}; break;
      case 4: r.shape = {checked[0], checked[1], checked[2], checked[3]}; break;
      default: r.shape = {checked[0], checked[1], checked[2], checked[3], checked[4]};
    }
    const std::vector<uint64_t> offsets = e.at("data_offsets");
    if (offsets.size() != 2 || offsets[0] > offsets[1] || offsets[1] > data_size)
      in.refuse("holds tensor '", name, "' outside of its data");
    r.begin = offsets[0];
    r.end = offsets[1];
    if (r.end - r.begin != n * dtype_size(r.dtype))
      in.refuse("holds tensor '", name, "' of ", r.end - r.begin, " bytes for shape ", r.shape);
  } catch (const json::exception& error) {
    in.refuse("has a broken entry '", name, "': ", error.what());
  }
  return r;
}

}  // namespace

void save_tensors(const std::string& path, const TensorFile& file) {
  json header = json::object();
  uint64_t offset = 0, checksum = kFnvStart;
  for (const auto& [name, t] : file.tensors) {
    require(t.device() == Device::cpu, "safetensors", "'", name, "' is not on the host");
    std::vector<int64_t> dims;
    for (int i = 0; i < t.shape().rank(); ++i) dims.push_back(t.shape()[i]);
    const char* dtype = "";
    for (const TypeName& k : kTypes)
      if (k.dtype == t.dtype()) dtype = k.name;
    header[name] = {{"dtype", dtype}, {"shape", dims}, {"data_offsets", {offset, offset + t.bytes()}}};
    offset += t.bytes();
    checksum = fnv1a(checksum, t.raw(), t.bytes());
  }
  header["__metadata__"] = file.metadata;
  header["__metadata__"]["checksum"] = hex(checksum);
  std::string text = header.dump();
  text.append((8 - text.size() % 8) % 8, ' ');  // data starts aligned, as the format asks

  AtomicFile out(path);
  const uint64_t size = text.size();
  out.write(&size, 8);
  out.write(text.data(), text.size());
  for (const auto& [name, t] : file.tensors) out.write(t.raw(), t.bytes());
  out.commit();
}

TensorFile load_tensors(const std::string& path, const Arena& arena) {
  Input in(path);
  uint64_t header_size = 0;
  if (in.size() < 8) in.refuse("is only ", in.size(), " bytes long");
  in.read(&header_size, 8);
  if (header_size > kMaxHeader || header_size > in.size() - 8)
    in.refuse("announces a header of ", header_size, " bytes in a file of ", in.size(),
        ": truncated or no safetensors file");
  std::string text(header_size, '\0');
  in.read(text.data(), header_size);
  const json header = json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!header.is_object()) in.refuse("has a header that is not JSON");

  TensorFile file;
  const uint64_t data_size = in.size() - 8 - header_size;
  std::vector<Entry> entries;
  for (const auto& [name, e] : header.items()) {
    if (name != "__metadata__") {
      entries.push_back(parse_entry(in, name, e, data_size));
      continue;
    }
    for (const auto& [key, value] : e.items()) {
      if (!value.is_string()) in.refuse("has metadata '", key, "' that is not text");
      file.metadata[key] = value;
    }
  }
  std::sort(entries.begin(), entries.end(), [](const Entry& a, const Entry& b) {
    return a.begin < b.begin || (a.begin == b.begin && a.end < b.end);
  });
  uint64_t at = 0, checksum = kFnvStart;
  for (const Entry& e : entries) {
    if (e.begin != at) in.refuse("has a gap or an overlap before tensor '", e.name, "'");
    const Tensor t = arena.empty(e.shape, e.dtype);
    in.read(t.raw(), e.end - e.begin);
    checksum = fnv1a(checksum, t.raw(), t.bytes());
    file.tensors[e.name] = t;
    at = e.end;
  }
  if (at != data_size) in.refuse("has ", data_size - at, " bytes that belong to no tensor");
  const auto sum = file.metadata.find("checksum");
  if (sum != file.metadata.end() && sum->second != hex(checksum))
    in.refuse("is damaged: its checksum does not match");
  return file;
}

void write_text(const std::string& path, const std::string& text) {
  std::ofstream file(path);
  if (!(file << text << std::flush))
    fail(ExitCode::io, "output", "cannot write ", path, "; does its folder exist, is the disk full?");
}

}  // namespace patchcl
