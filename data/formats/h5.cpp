#include "data/formats/h5.h"

#include <hdf5.h>
#include <zlib.h>

#include <algorithm>
#include <mutex>

#include "data/formats/crash_guard.h"
#include "data/formats/limits.h"
#include "tensor/file.h"

namespace patchcl {

namespace {
constexpr size_t kGrowth = size_t(1) << 20;  // of a file in memory

// Debian's serial HDF5 is not thread-safe: one call at a time in this process.
std::mutex& library() {
  static std::mutex m;
  return m;
}

class Handle {
 public:
  Handle(hid_t id, herr_t (*close)(hid_t)) : id_(id), close_(close) {}
  Handle(const Handle&) = delete;
  ~Handle() {
    if (id_ >= 0) close_(id_);
  }
  operator hid_t() const { return id_; }

 private:
  hid_t id_;
  herr_t (*close_)(hid_t);
};

// Access to a file that exists in memory alone.
hid_t in_memory() {
  H5Eset_auto2(H5E_DEFAULT, nullptr, nullptr);  // our message instead of the library's stack print
  const hid_t access = H5Pcreate(H5P_FILE_ACCESS);
  H5Pset_fapl_core(access, kGrowth, /*backing_store=*/false);
  return access;
}

// A name that no file can have, since the library refuses to open bytes under that of a file, and that no
// other bytes had: it may keep a damaged file open and would give that out again.
std::string new_name() {
  static uint64_t opened = 0;
  return "/dev/null/in-memory-" + std::to_string(opened++);
}

// A data set whose header has been looked at.
struct Stored {
  hid_t set;
  const std::string& what;  // for messages
  int rank = 0;
  hsize_t dims[3] = {1, 1, 1};  // the last `rank` are the file's
  size_t each = 0;              // bytes of a number
  uint64_t file_size = 0;
  double values() const { return double(dims[0]) * double(dims[1]) * double(dims[2]); }
  template <class... Parts> [[noreturn]] void refuse(const Parts&... parts) const {
    fail(ExitCode::data, "h5", what, parts...);
  }
};

void read_dims(Stored& s) {
  const Handle space(H5Dget_space(s.set), H5Sclose);
  s.rank = space < 0 ? -1 : H5Sget_simple_extent_ndims(space);
  if (s.rank != 2 && s.rank != 3) s.refuse(" has ", s.rank, " axes, wants (H,W) or (D,H,W)");
  H5Sget_simple_extent_dims(space, s.dims + (3 - s.rank), nullptr);
}

// Other classes, odd sizes and bit layouts go through conversions that trust the file.
void check_type(hid_t type, Stored& s) {
  const hid_t known[] = {H5T_STD_I8LE, H5T_STD_U8LE, H5T_STD_I16LE, H5T_STD_U16LE, H5T_STD_I32LE,
      H5T_STD_U32LE, H5T_STD_I64LE, H5T_STD_U64LE, H5T_STD_I8BE, H5T_STD_U8BE, H5T_STD_I16BE, H5T_STD_U16BE,
      H5T_STD_I32BE, H5T_STD_U32BE, H5T_STD_I64BE, H5T_STD_U64BE, H5T_IEEE_F32LE, H5T_IEEE_F64LE,
      H5T_IEEE_F32BE, H5T_IEEE_F64BE};
  const auto is_type = [&](hid_t k) { return H5Tequal(type, k) > 0; };
  if (type < 0 || std::none_of(std::begin(known), std::end(known), is_type))
    s.refuse(" does not hold plain numbers; store uint8, int16, float32 or float64");
  s.each = H5Tget_size(type);
}

// deflate, shuffle and fletcher32 undone (the last without a look: deflate has a checksum of its own).
// `bytes` is what must come out.
Bytes unpack_chunk(Bytes packed, hid_t options, uint32_t skipped, size_t bytes, const Stored& s) {
  for (int i = H5Pget_nfilters(options) - 1; i >= 0; --i) {
    size_t values = 0;
    unsigned flags = 0;
    const H5Z_filter_t filter =
        H5Pget_filter2(options, unsigned(i), &flags, &values, nullptr, 0, nullptr, nullptr);
    if (skipped >> i & 1) continue;
    if (filter == H5Z_FILTER_FLETCHER32) {
      packed.resize(packed.size() - std::min<size_t>(packed.size(), 4));
    } else if (filter == H5Z_FILTER_DEFLATE) {
      Bytes out(bytes + 8);  // a checksum may lie under it
      uLongf size = uLongf(out.size());
      if (uncompress(out.data(), &size, packed.data(), uLong(packed.size())) != Z_OK)
        s.refuse(" has a chunk that does not unpack to ", bytes, " bytes, the file is damaged");
      out.resize(size);
      packed = std::move(out);
    } else if (filter == H5Z_FILTER_SHUFFLE) {
      Bytes out = packed;
      const size_t n = packed.size() / s.each;
      for (size_t k = 0; k < n; ++k)
        for (size_t j = 0; j < s.each; ++j) out[k * s.each + j] = packed[j * n + k];
      packed = std::move(out);
    } else {
      s.refuse(" is packed by HDF5's filter ", filter, "; store it with gzip, shuffle or unpacked");
    }
  }
  if (packed.size() != bytes) s.refuse(" has a chunk of ", packed.size(), " bytes instead of ", bytes);
  return packed;
}

// `room` is as large as the file: the library reads as many bytes of it as its index of chunks says, which
// for unpacked ones need not be what it says when it is asked for their size.
Bytes read_chunk(hid_t options, const hsize_t* at, size_t bytes, const Stored& s, Bytes& room) {
  hsize_t stored = 0;
  if (H5Dget_chunk_storage_size(s.set, at, &stored) < 0 || stored == 0 || stored > s.file_size)
    s.refuse(" lacks a part; the file is incomplete or damaged");
  uint32_t skipped = 0;
  if (H5Dread_chunk(s.set, H5P_DEFAULT, at, &skipped, room.data()) < 0)
    s.refuse(" cannot be read, the file is damaged or truncated");
  Bytes packed(room.begin(), room.begin() + std::ptrdiff_t(stored));
  return unpack_chunk(std::move(packed), options, skipped, bytes, s);
}

// Chunk by chunk: H5Dread believes that each unpacks to the size that the header says, and that the header
// has as many axes as the chunks.
void read_chunks(hid_t options, const Stored& s, uint8_t* to) {
  hsize_t chunk[3] = {1, 1, 1}, *stored = chunk + (3 - s.rank);
  if (H5Pget_chunk(options, s.rank, stored) != s.rank || !chunk[0] || !chunk[1] || !chunk[2])
    s.refuse(" is damaged: its chunks have other axes");
  const double values = double(chunk[0]) * double(chunk[1]) * double(chunk[2]);
  check_claim("h5", s.what + " in one chunk", values, s.file_size);
  const size_t bytes = size_t(values) * s.each;
  Bytes room(s.file_size);
  hsize_t at[3];
  for (at[0] = 0; at[0] < s.dims[0]; at[0] += chunk[0])
    for (at[1] = 0; at[1] < s.dims[1]; at[1] += chunk[1])
      for (at[2] = 0; at[2] < s.dims[2]; at[2] += chunk[2]) {
        const Bytes part = read_chunk(options, at + (3 - s.rank), bytes, s, room);
        const size_t columns = size_t(std::min(chunk[2], s.dims[2] - at[2])) * s.each;
        for (hsize_t z = 0; z < std::min(chunk[0], s.dims[0] - at[0]); ++z)
          for (hsize_t y = 0; y < std::min(chunk[1], s.dims[1] - at[1]); ++y)
            std::copy_n(part.data() + (z * chunk[1] + y) * chunk[2] * s.each, columns,
                to + (((at[0] + z) * s.dims[1] + at[1] + y) * s.dims[2] + at[2]) * s.each);
      }
}

// As the file stores them, numbers of s.each bytes, into `to`, which is made large enough for as many doubles
// once the storage is known to hold as many numbers as the shape says: the library copies a compact data set
// without asking.
void read_stored(hid_t type, const Stored& s, std::vector<double>& to) {
  const Handle options(H5Dget_create_plist(s.set), H5Pclose);
  const H5D_layout_t layout = options < 0 ? H5D_LAYOUT_ERROR : H5Pget_layout(options);
  if (layout == H5D_VIRTUAL || layout == H5D_LAYOUT_ERROR || H5Pget_external_count(options) != 0)
    s.refuse(" lies in other files; store it in this one");
  const uint64_t stored = std::min<uint64_t>(H5Dget_storage_size(s.set), s.file_size);
  if (layout == H5D_CHUNKED) check_claim("h5", s.what, s.values(), stored);
  else check_claim_stored("h5", s.what, s.values(), double(s.each), stored);
  to.resize(size_t(s.values()));
  if (layout == H5D_CHUNKED) return read_chunks(options, s, reinterpret_cast<uint8_t*>(to.data()));
  if (H5Dread(s.set, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, to.data()) < 0)
    s.refuse(" cannot be read, the file is damaged or truncated");
}

template <class T> void write_array(hid_t file, const std::string& path, const char* name,
    const std::vector<int64_t>& dims, const std::vector<T>& values, hid_t stored, hid_t memory) {
  const std::vector<hsize_t> extent(dims.begin(), dims.end());
  std::vector<hsize_t> chunk = extent;
  if (chunk.size() == 3) chunk[0] = 1;
  const int rank = int(extent.size());
  const Handle space(H5Screate_simple(rank, extent.data(), nullptr), H5Sclose);
  const Handle options(H5Pcreate(H5P_DATASET_CREATE), H5Pclose);
  H5Pset_chunk(options, rank, chunk.data());
  // Mandatory and flushed here: else a chunk that cannot be packed, where memory ends, stays as it is and
  // nobody is told.
  const unsigned level = 4;
  H5Pset_filter(options, H5Z_FILTER_DEFLATE, H5Z_FLAG_MANDATORY, 1, &level);
  H5Pset_obj_track_times(options, false);  // the same numbers are the same bytes, whenever they are written
  const Handle set(H5Dcreate2(file, name, stored, space, H5P_DEFAULT, options, H5P_DEFAULT), H5Dclose);
  if (set < 0 || H5Dwrite(set, memory, H5S_ALL, H5S_ALL, H5P_DEFAULT, values.data()) < 0 || H5Dflush(set) < 0)
    fail(ExitCode::device, "h5", path, ": HDF5 refuses to write '", name,
        "' into memory; the system has none left");
}

// The file that these bytes are; `access` lives as long.
hid_t open_image(hid_t access, std::span<const uint8_t> bytes, const std::string& name) {
  H5Pset_file_image(access, const_cast<uint8_t*>(bytes.data()), bytes.size());
  const hid_t file = bytes.empty() ? -1 : H5Fopen(new_name().c_str(), H5F_ACC_RDONLY, access);
  if (file < 0)
    fail(ExitCode::data, "h5", name,
        ": no readable HDF5 file, it is damaged or truncated; fetch or convert it again");
  return file;
}
}  // namespace

bool h5_has(const std::string& path, const std::string& array) {
  const Bytes bytes = read_bytes(path);
  const std::lock_guard lock(library());
  const CrashGuard guard("h5", path);
  const Handle access(in_memory(), H5Pclose);
  const Handle file(open_image(access, bytes, path), H5Fclose);
  return H5Lexists(file, array.c_str(), H5P_DEFAULT) > 0;
}

Grid read_h5(const std::string& path, const std::string& array) {
  std::optional<Grid> grid = read_h5(read_bytes(path), path, array);
  if (!grid)
    fail(ExitCode::data, "h5", path, ": has no data set '", array,
        "'; SSL4MIS files hold 'image' and 'label'");
  return std::move(*grid);
}

std::optional<Grid> read_h5(
    std::span<const uint8_t> bytes, const std::string& name, const std::string& array) {
  const std::lock_guard lock(library());
  const CrashGuard guard("h5", name);
  const Handle access(in_memory(), H5Pclose);
  const Handle file(open_image(access, bytes, name), H5Fclose);
  const std::string what = name + ": '" + array + "'";
  if (H5Lexists(file, array.c_str(), H5P_DEFAULT) <= 0) return {};
  H5L_info_t link;
  if (H5Lget_info(file, array.c_str(), &link, H5P_DEFAULT) < 0 || link.type != H5L_TYPE_HARD)
    fail(ExitCode::data, "h5", what, " is a link; store the data set itself");
  const Handle set(H5Dopen2(file, array.c_str(), H5P_DEFAULT), H5Dclose);
  if (set < 0) fail(ExitCode::data, "h5", what, " is no data set, or damaged");
  Stored stored{.set = set, .what = what, .file_size = bytes.size()};
  read_dims(stored);
  const Handle type(H5Dget_type(set), H5Tclose);
  check_type(type, stored);
  Grid grid;
  grid.depth = int64_t(stored.dims[0]);
  grid.height = int64_t(stored.dims[1]);
  grid.width = int64_t(stored.dims[2]);
  read_stored(type, stored, grid.values);
  if (H5Tconvert(type, H5T_NATIVE_DOUBLE, grid.values.size(), grid.values.data(), nullptr, H5P_DEFAULT) < 0)
    stored.refuse(" holds numbers that cannot be converted");
  set_range_to_extremes(grid);
  if (grid.low >= 0 && grid.high <= 1) {  // normalised per volume already: a slice must not be once more
    grid.low = 0;
    grid.high = 1;
  }
  return grid;
}

void write_h5(const std::string& path, const std::vector<int64_t>& dims, const std::vector<double>* image,
    const std::vector<uint8_t>* label) {
  Bytes bytes;
  {
    const std::lock_guard lock(library());
    const Handle access(in_memory(), H5Pclose);
    const Handle file(H5Fcreate(new_name().c_str(), H5F_ACC_TRUNC, H5P_DEFAULT, access), H5Fclose);
    if (file < 0) fail(ExitCode::device, "h5", path, ": HDF5 finds no memory for a file in it");
    if (image) write_array(file, path, "image", dims, *image, H5T_IEEE_F64LE, H5T_NATIVE_DOUBLE);
    if (label) write_array(file, path, "label", dims, *label, H5T_STD_U8LE, H5T_NATIVE_UINT8);
    H5Fflush(file, H5F_SCOPE_LOCAL);
    const ssize_t size = H5Fget_file_image(file, nullptr, 0);
    bytes.resize(size_t(std::max<ssize_t>(size, 0)));
    if (size <= 0 || H5Fget_file_image(file, bytes.data(), bytes.size()) != size)
      fail(ExitCode::internal, "h5", path, ": HDF5 does not give its file");
  }
  write_bytes(path, bytes);
}

}  // namespace patchcl
