#include "data/formats/h5.h"

#include <hdf5.h>

#include <filesystem>
#include <mutex>

#include "tensor/error.h"

namespace patchcl {

namespace {
constexpr int64_t kMaxElements = int64_t(1) << 31;

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

Handle open_file(const std::string& path) {
  H5Eset_auto2(H5E_DEFAULT, nullptr, nullptr);  // our message instead of the library's stack print
  if (!std::filesystem::exists(path)) fail(ExitCode::data, "h5", path, ": no such file");
  const hid_t id = H5Fopen(path.c_str(), H5F_ACC_RDONLY, H5P_DEFAULT);
  if (id < 0)
    fail(ExitCode::data, "h5", path,
        ": no readable HDF5 file, it is damaged or truncated; fetch or convert it again");
  return Handle(id, H5Fclose);
}

// (H,W) or (D,H,W) into the grid's depth, height and width.
void read_dims(hid_t set, const std::string& what, Grid& grid) {
  const Handle space(H5Dget_space(set), H5Sclose);
  hsize_t dims[8] = {1, 1, 1};
  const int rank = space < 0 ? -1 : H5Sget_simple_extent_ndims(space);
  if (rank != 2 && rank != 3)
    fail(ExitCode::data, "h5", what, " has ", rank, " axes, wants (H,W) or (D,H,W)");
  H5Sget_simple_extent_dims(space, dims + (3 - rank), nullptr);
  double elements = 1;
  for (int i = 0; i < 3; ++i) elements *= double(dims[i]);
  if (elements < 1 || elements > double(kMaxElements))
    fail(ExitCode::data, "h5", what, " holds ", elements, " elements");
  grid.depth = int64_t(dims[0]);
  grid.height = int64_t(dims[1]);
  grid.width = int64_t(dims[2]);
}

template <class T>
void write_array(hid_t file, const std::string& path, const char* name, const std::vector<int64_t>& dims,
    const std::vector<T>& values, hid_t stored, hid_t memory) {
  const std::vector<hsize_t> extent(dims.begin(), dims.end());
  std::vector<hsize_t> chunk = extent;
  if (chunk.size() == 3) chunk[0] = 1;
  const int rank = int(extent.size());
  const Handle space(H5Screate_simple(rank, extent.data(), nullptr), H5Sclose);
  const Handle options(H5Pcreate(H5P_DATASET_CREATE), H5Pclose);
  H5Pset_chunk(options, rank, chunk.data());
  H5Pset_deflate(options, 4);
  const Handle set(H5Dcreate2(file, name, stored, space, H5P_DEFAULT, options, H5P_DEFAULT), H5Dclose);
  if (set < 0 || H5Dwrite(set, memory, H5S_ALL, H5S_ALL, H5P_DEFAULT, values.data()) < 0)
    fail(ExitCode::io, "h5", path, ": could not write '", name, "'; is the disk full?");
}
}  // namespace

bool h5_has(const std::string& path, const std::string& array) {
  const std::lock_guard lock(library());
  return H5Lexists(open_file(path), array.c_str(), H5P_DEFAULT) > 0;
}

Grid read_h5(const std::string& path, const std::string& array) {
  const std::lock_guard lock(library());
  const Handle file = open_file(path);
  const std::string what = path + ": '" + array + "'";
  if (H5Lexists(file, array.c_str(), H5P_DEFAULT) <= 0)
    fail(ExitCode::data, "h5", path, ": has no data set '", array,
        "'; SSL4MIS files hold 'image' and 'label'");
  const Handle set(H5Dopen2(file, array.c_str(), H5P_DEFAULT), H5Dclose);
  const Handle type(set < 0 ? -1 : H5Dget_type(set), H5Tclose);
  const H5T_class_t kind = type < 0 ? H5T_NO_CLASS : H5Tget_class(type);
  if (kind != H5T_INTEGER && kind != H5T_FLOAT) fail(ExitCode::data, "h5", what, " does not hold numbers");
  Grid grid;
  read_dims(set, what, grid);
  grid.values.resize(size_t(grid.numel()));
  if (H5Dread(set, H5T_NATIVE_DOUBLE, H5S_ALL, H5S_ALL, H5P_DEFAULT, grid.values.data()) < 0)
    fail(ExitCode::data, "h5", what, " cannot be read, the file is damaged or truncated");
  set_range_to_extremes(grid);
  if (grid.low >= 0 &&
      grid.high <= 1) {  // normalised per volume already, and a slice must not be normalised again
    grid.low = 0;
    grid.high = 1;
  }
  return grid;
}

void write_h5(const std::string& path, const std::vector<int64_t>& dims, const std::vector<double>* image,
    const std::vector<uint8_t>* label) {
  const std::lock_guard lock(library());
  H5Eset_auto2(H5E_DEFAULT, nullptr, nullptr);
  const Handle file(H5Fcreate(path.c_str(), H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT), H5Fclose);
  if (file < 0)
    fail(ExitCode::io, "h5", path, ": cannot be created; does the folder exist, may you write there?");
  if (image) write_array(file, path, "image", dims, *image, H5T_IEEE_F64LE, H5T_NATIVE_DOUBLE);
  if (label) write_array(file, path, "label", dims, *label, H5T_STD_U8LE, H5T_NATIVE_UINT8);
  if (H5Fflush(file, H5F_SCOPE_LOCAL) < 0)
    fail(ExitCode::io, "h5", path, ": could not be written; is the disk full?");
}

}  // namespace patchcl
