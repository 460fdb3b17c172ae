// safetensors reading and writing. The reader trusts nothing: sizes are checked against the file before any
// is used.
#include "tensor/io.h"

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <vector>

#include "tensor/file.h"
#include "tensor/json.h"

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
const std::string kLayout = "2";  // what save_tensors writes

// A text that is not UTF-8, as a path may be, is written with signs of replacement.
std::string text_of(const json& header) {
  return header.dump(-1, ' ', false, json::error_handler_t::replace);
}

// What the checksum of the data goes on from: the header, from layout 2 on.
uint64_t header_checksum(json header) {
  header["__metadata__"].erase("checksum");
  const std::string text = text_of(header);
  return fnv1a(kFnvStart, text.data(), text.size());
}

// The bytes of a file and its name, to complain with.
class Input {
 public:
  Input(std::span<const uint8_t> bytes, const std::string& name) : rest_(bytes), name_(name) {}
  uint64_t left() const { return rest_.size(); }
  std::span<const uint8_t> take(uint64_t bytes) {
    const auto taken = rest_.first(bytes);
    rest_ = rest_.subspan(bytes);
    return taken;
  }
  template <class... Parts> [[noreturn]] void refuse(const Parts&... parts) const {
    fail(ExitCode::checkpoint, "safetensors", name_, " ", parts...,
        "; take another checkpoint, or train again");
  }

 private:
  std::span<const uint8_t> rest_;
  const std::string& name_;
};

struct Entry {
  std::string name;
  DType dtype;
  Shape shape;
  uint64_t begin, end;
};

DType parse_dtype(const Input& in, const std::string& name, const json& e) {
  const std::string dtype = e.at("dtype");
  for (const TypeName& t : kTypes)
    if (dtype == t.name) return t.dtype;
  in.refuse("holds tensor '", name, "' of type ", dtype, "; known are F32, F64, U8, I32, I64");
}

// Whole numbers, each at most `largest`: a cast of anything else would not say so.
std::vector<int64_t> parse_sizes(
    const Input& in, const std::string& name, const json& list, uint64_t largest) {
  std::vector<int64_t> sizes;
  for (const json& v : list) {
    if (!v.is_number_unsigned() || v.get<uint64_t>() > largest)
      in.refuse("holds tensor '", name, "' larger than the file or outside of its data: ", list.dump());
    sizes.push_back(v.get<int64_t>());
  }
  return sizes;
}

Entry parse_entry(const Input& in, const std::string& name, const json& e, uint64_t data_size) {
  Entry r{name, DType::f32, {}, 0, 0};
  try {
    r.dtype = parse_dtype(in, name, e);
    const std::vector<int64_t> dims = parse_sizes(in, name, e.at("shape"), data_size);
    if (dims.size() > size_t(Shape::kMaxRank))
      in.refuse("holds tensor '", name, "' with ", dims.size(), " axes");
    r.shape = dims.empty() ? Shape{1} : Shape(dims);  // a scalar has no axes there
    const std::vector<int64_t> offsets = parse_sizes(in, name, e.at("data_offsets"), data_size);
    if (offsets.size() != 2 || offsets[0] > offsets[1])
      in.refuse("holds tensor '", name, "' outside of its data");
    r.begin = uint64_t(offsets[0]);
    r.end = uint64_t(offsets[1]);
    const auto bytes = r.shape.checked_bytes(r.dtype);
    if (!bytes || *bytes != r.end - r.begin)
      in.refuse("holds tensor '", name, "' of ", r.end - r.begin, " bytes for shape ", r.shape);
  } catch (const json::exception& error) {
    in.refuse("has a broken entry '", name, "': ", error.what());
  }
  return r;
}

struct ParsedHeader {
  std::vector<Entry> entries;  // in the order of their data
  uint64_t checksum = kFnvStart;
};

// Of a file of layout 2: the checksum to go on from. Error(checkpoint) for later layouts.
uint64_t checked_layout(const Input& in, const TensorFile& file, const json& header) {
  const auto layout = file.metadata.find("layout");
  if (layout == file.metadata.end()) return kFnvStart;
  if (layout->second != kLayout) in.refuse("has layout '", layout->second, "', this program knows ", kLayout);
  if (!file.metadata.contains("checksum")) in.refuse("is damaged: it has lost its checksum");
  return header_checksum(header);
}

// The JSON header; its metadata goes into `file`.
ParsedHeader parse_header(Input& in, TensorFile& file) {
  uint64_t size = 0;
  if (in.left() < 8) in.refuse("is only ", in.left(), " bytes long");
  std::memcpy(&size, in.take(8).data(), 8);
  if (size > kMaxHeader || size > in.left())
    in.refuse("announces a header of ", size, " bytes where ", in.left(),
        " follow: truncated or no safetensors file");
  const auto text = in.take(size);
  const json header = parse_json({reinterpret_cast<const char*>(text.data()), text.size()});
  if (!header.is_object()) in.refuse("has a header that is not JSON");
  ParsedHeader parsed;
  std::vector<Entry>& entries = parsed.entries;
  for (const auto& [name, e] : header.items()) {
    if (name != "__metadata__") {
      entries.push_back(parse_entry(in, name, e, in.left()));
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
  parsed.checksum = checked_layout(in, file, header);
  return parsed;
}

}  // namespace

void save_tensors(const std::string& path, const TensorFile& file, const std::string& kept_as) {
  json header = json::object();
  uint64_t offset = 0;
  for (const auto& [name, t] : file.tensors) {
    require(t.device() == Device::cpu, "safetensors", "'", name, "' is not on the host");
    std::vector<int64_t> dims;
    for (int i = 0; i < t.shape().rank(); ++i) dims.push_back(t.shape()[i]);
    const TypeName* const type = std::find_if(
        std::begin(kTypes), std::end(kTypes), [&](const TypeName& k) { return k.dtype == t.dtype(); });
    require(type != std::end(kTypes), "safetensors", "'", name, "' is ", dtype_name(t.dtype()),
        ", which no file holds; save it as f32");
    header[name] = {{"dtype", type->name}, {"shape", dims}, {"data_offsets", {offset, offset + t.bytes()}}};
    offset += t.bytes();
  }
  header["__metadata__"] = file.metadata;
  header["__metadata__"]["layout"] = kLayout;
  uint64_t checksum = header_checksum(header);
  for (const auto& [name, t] : file.tensors) checksum = fnv1a(checksum, t.raw(), t.bytes());
  header["__metadata__"]["checksum"] = hex(checksum);
  std::string text = text_of(header);
  text.append((8 - text.size() % 8) % 8, ' ');  // data starts aligned, as the format asks

  AtomicFile out(path);
  const uint64_t size = text.size();
  out.write(&size, 8);
  out.write(text.data(), text.size());
  for (const auto& [name, t] : file.tensors) out.write(t.raw(), t.bytes());
  out.commit(kept_as);
}

TensorFile parse_tensors(std::span<const uint8_t> bytes, const std::string& name, const Arena& arena) {
  Input in(bytes, name);
  TensorFile file;
  const ParsedHeader header = parse_header(in, file);
  uint64_t at = 0, checksum = header.checksum;
  for (const Entry& e : header.entries) {
    if (e.begin != at) in.refuse("has a gap or an overlap before tensor '", e.name, "'");
    const Tensor t = arena.empty(e.shape, e.dtype);
    const auto data = in.take(e.end - e.begin);
    std::copy(data.begin(), data.end(), static_cast<uint8_t*>(t.raw()));
    checksum = fnv1a(checksum, t.raw(), t.bytes());
    file.tensors[e.name] = t;
    at = e.end;
  }
  if (in.left() != 0) in.refuse("has ", in.left(), " bytes that belong to no tensor");
  const auto sum = file.metadata.find("checksum");
  if (sum != file.metadata.end() && sum->second != hex(checksum))
    in.refuse("is damaged: its checksum does not match");
  return file;
}

TensorFile load_tensors(const std::string& path, const Arena& arena) {
  return parse_tensors(read_bytes(path, ExitCode::checkpoint), path, arena);
}

}  // namespace patchcl
