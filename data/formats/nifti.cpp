#include "data/formats/nifti.h"

#include <nifti1_io.h>
#include <zlib.h>

#include <cmath>
#include <cstring>
#include <filesystem>
#include <limits>
#include <memory>

#include "tensor/error.h"

namespace patchcl {

namespace {
using Nim = std::unique_ptr<nifti_image, void (*)(nifti_image*)>;
constexpr double kMaxElements = double(int64_t(1) << 31);

struct TypeInfo {
  int code, bytes;
};
constexpr TypeInfo kTypes[] = {{NIFTI_TYPE_UINT8, 1}, {NIFTI_TYPE_INT8, 1}, {NIFTI_TYPE_INT16, 2},
    {NIFTI_TYPE_UINT16, 2}, {NIFTI_TYPE_INT32, 4}, {NIFTI_TYPE_UINT32, 4}, {NIFTI_TYPE_FLOAT32, 4},
    {NIFTI_TYPE_FLOAT64, 8}};
int bytes_of(int code) {
  for (const TypeInfo& t : kTypes)
    if (t.code == code) return t.bytes;
  return 0;
}

// zlib reads plain files as they are, so .nii and .nii.gz share all code.
class GzFile {
 public:
  explicit GzFile(const std::string& path) : path_(path), file_(gzopen(path.c_str(), "rb")) {
    if (!file_)
      fail(ExitCode::data, "nifti", path,
          std::filesystem::exists(path) ? ": cannot be opened" : ": no such file");
  }
  GzFile(const GzFile&) = delete;
  ~GzFile() { gzclose(file_); }
  void read(void* to, size_t bytes) {
    for (size_t done = 0; done < bytes;) {
      const int n =
          gzread(file_, static_cast<char*>(to) + done, unsigned(std::min<size_t>(bytes - done, 1 << 30)));
      if (n <= 0)
        fail(ExitCode::data, "nifti", path_, " ends ", bytes - done,
            " bytes early, it is truncated or damaged");
      done += size_t(n);
    }
  }
  void seek(size_t to) {
    if (gzseek(file_, z_off_t(to), SEEK_SET) < 0)
      fail(ExitCode::data, "nifti", path_, " ends before byte ", to, ", it is truncated");
  }
  // At the end of a gzip stream this verifies its checksum.
  void finish() {
    char byte;
    if (gzread(file_, &byte, 1) < 0)
      fail(ExitCode::data, "nifti", path_, ": wrong gzip checksum, the file is damaged");
  }

 private:
  std::string path_;
  gzFile file_;
};

struct Header {
  nifti_1_header raw;  // in this machine's byte order
  bool swapped = false;
  size_t offset = 0;  // of the first voxel
};

// Extensions between header and voxels: the library follows their lengths without looking.
void check_extensions(GzFile& file, const std::string& path, const Header& h) {
  char flag[4];
  file.read(flag, 4);
  for (size_t at = 352; flag[0] != 0 && at + 8 <= h.offset;) {
    int32_t size;
    file.read(&size, 4);
    if (h.swapped) nifti_swap_4bytes(1, &size);
    if (size < 16 || size % 16 != 0 || at + size_t(size) > h.offset)
      fail(ExitCode::data, "nifti", path, ": header extension of ", size, " bytes at byte ", at,
          " is damaged");
    at += size_t(size);
    file.seek(at);
  }
}

Header check_header(const std::string& path) {
  GzFile file(path);
  Header h;
  file.read(&h.raw, sizeof h.raw);
  if (h.raw.sizeof_hdr != int(sizeof h.raw)) {
    swap_nifti_header(&h.raw, 1);
    h.swapped = true;
  }
  if (h.raw.sizeof_hdr != int(sizeof h.raw) || std::memcmp(h.raw.magic, "n+1", 4) != 0)
    fail(ExitCode::data, "nifti", path,
        ": no single-file NIfTI-1 (magic 'n+1'); convert .hdr/.img pairs and NIfTI-2 to .nii.gz");
  const int axes = h.raw.dim[0];
  if (axes < 2 || axes > 7) fail(ExitCode::data, "nifti", path, ": ", axes, " axes, wants 2 to 4");
  double elements = 1;
  for (int i = 1; i <= axes; ++i) {
    if (h.raw.dim[i] < 1 || (i > 4 && h.raw.dim[i] != 1))
      fail(ExitCode::data, "nifti", path, ": axis ", i, " is ", h.raw.dim[i],
          " long; wants (columns, rows, slices[, channels])");
    elements *= h.raw.dim[i];
  }
  if (elements > kMaxElements)
    fail(ExitCode::data, "nifti", path, ": ", elements, " voxels are more than 2^31");
  const int bytes = bytes_of(h.raw.datatype);
  if (bytes == 0 || h.raw.bitpix != bytes * 8)
    fail(ExitCode::data, "nifti", path, ": data type ", h.raw.datatype, " of ", h.raw.bitpix,
        " bits is not supported; save as int16 or float32");
  const float offset = h.raw.vox_offset;
  if (!(offset >= 352 && offset <= 64 << 20))
    fail(ExitCode::data, "nifti", path, ": voxels at byte ", offset, ", wants 352 or more");
  h.offset = size_t(offset);
  check_extensions(file, path, h);
  return h;
}

Grid grid_of(const Header& h) {
  Grid g;
  const auto axis = [&](int i) { return h.raw.dim[0] >= i ? int64_t(h.raw.dim[i]) : 1; };
  g.width = axis(1);
  g.height = axis(2);
  g.depth = axis(3);
  g.channels = axis(4);
  for (int i = 0; i < 3; ++i) {
    const double mm = std::abs(double(h.raw.pixdim[3 - i]));
    g.spacing[size_t(i)] = mm > 0 && std::isfinite(mm) ? mm : 1;
  }
  return g;
}

// Stored channel-last: (D,H,W,C) from the file's (C,D,H,W).
template <class T>
void unpack(const void* data, double slope, double intercept, Grid& g) {
  const T* v = static_cast<const T*>(data);
  const int64_t voxels = g.depth * g.height * g.width;
  for (int64_t c = 0; c < g.channels; ++c)
    for (int64_t i = 0; i < voxels; ++i) g.values[i * g.channels + c] = double(*v++) * slope + intercept;
}

// The voxels are read here, not by the library: it would replace NaN by 0 in silence.
std::vector<char> read_voxels(const std::string& path, const Header& h, int64_t elements) {
  const size_t bytes = size_t(bytes_of(h.raw.datatype));
  std::vector<char> data(size_t(elements) * bytes);
  GzFile file(path);
  file.seek(h.offset);
  file.read(data.data(), data.size());
  file.finish();
  if (h.swapped && bytes > 1) nifti_swap_Nbytes(size_t(elements), int(bytes), data.data());
  return data;
}

template <class T>
bool holds(const Grid& g) {
  for (const double v : g.values) {
    if constexpr (std::is_integral_v<T>) {
      if (!(v >= double(std::numeric_limits<T>::min()) && v <= double(std::numeric_limits<T>::max()) &&
              v == std::floor(v)))
        return false;
    } else if (std::isfinite(v) && double(T(v)) != v) {
      return false;
    }
  }
  return true;
}

template <class T>
std::vector<char> pack(const Grid& g) {
  std::vector<char> data(g.values.size() * sizeof(T));
  for (size_t i = 0; i < g.values.size(); ++i) {
    const T v = T(g.values[i]);
    std::memcpy(&data[i * sizeof(T)], &v, sizeof(T));
  }
  return data;
}

std::vector<char> pack_as(NiftiType type, const Grid& g) {
  switch (type) {
    case NiftiType::u8: return pack<uint8_t>(g);
    case NiftiType::i16: return pack<int16_t>(g);
    case NiftiType::u16: return pack<uint16_t>(g);
    case NiftiType::i32: return pack<int32_t>(g);
    case NiftiType::f32: return pack<float>(g);
    default: return pack<double>(g);
  }
}

int code_of(NiftiType type) {
  constexpr int codes[] = {NIFTI_TYPE_UINT8, NIFTI_TYPE_INT16, NIFTI_TYPE_UINT16, NIFTI_TYPE_INT32,
      NIFTI_TYPE_FLOAT32, NIFTI_TYPE_FLOAT64};
  return codes[int(type)];
}

Nim header_like(const std::string& like, const Grid& g, int code) {
  check_header(like);
  Nim nim(nifti_image_read(like.c_str(), 0), nifti_image_free);
  if (!nim) fail(ExitCode::data, "nifti", like, ": its header cannot be read");
  if (nim->nx != g.width || nim->ny != g.height || nim->nz != g.depth)
    fail(ExitCode::internal, "nifti", "geometry of ", like, " (", nim->nz, " slices of ", nim->ny, "x",
        nim->nx, ") for ", g.size_text());
  nim->ndim = nim->dim[0] = 3;
  nim->nt = nim->nu = nim->nv = nim->nw = 1;
  for (int i = 4; i < 8; ++i) nim->dim[i] = 1;
  nim->nvox = size_t(g.numel());
  nim->datatype = code;
  nim->nbyper = bytes_of(code);
  nim->scl_slope = nim->scl_inter = nim->cal_min = nim->cal_max = 0;
  return nim;
}

Nim header_new(const Grid& g, int code) {
  const int dims[8] = {3, int(g.width), int(g.height), int(g.depth), 1, 1, 1, 1};
  Nim nim(nifti_make_new_nim(dims, code, 0), nifti_image_free);
  nim->dx = nim->pixdim[1] = float(g.spacing[2]);
  nim->dy = nim->pixdim[2] = float(g.spacing[1]);
  nim->dz = nim->pixdim[3] = float(g.spacing[0]);
  nim->xyz_units = NIFTI_UNITS_MM;
  nim->qform_code = NIFTI_XFORM_SCANNER_ANAT;
  nim->qfac = 1;
  return nim;
}
}  // namespace

Grid read_nifti_header(const std::string& path) { return grid_of(check_header(path)); }

Grid read_nifti(const std::string& path) {
  const Header h = check_header(path);
  Grid g = grid_of(h);
  g.values.resize(size_t(g.numel()));
  const std::vector<char> data = read_voxels(path, h, g.numel());
  const bool scaled =
      std::isfinite(h.raw.scl_slope) && h.raw.scl_slope != 0 && std::isfinite(h.raw.scl_inter);
  const double slope = scaled ? double(h.raw.scl_slope) : 1, intercept = scaled ? double(h.raw.scl_inter) : 0;
  switch (h.raw.datatype) {
    case NIFTI_TYPE_UINT8: unpack<uint8_t>(data.data(), slope, intercept, g); break;
    case NIFTI_TYPE_INT8: unpack<int8_t>(data.data(), slope, intercept, g); break;
    case NIFTI_TYPE_INT16: unpack<int16_t>(data.data(), slope, intercept, g); break;
    case NIFTI_TYPE_UINT16: unpack<uint16_t>(data.data(), slope, intercept, g); break;
    case NIFTI_TYPE_INT32: unpack<int32_t>(data.data(), slope, intercept, g); break;
    case NIFTI_TYPE_UINT32: unpack<uint32_t>(data.data(), slope, intercept, g); break;
    case NIFTI_TYPE_FLOAT32: unpack<float>(data.data(), slope, intercept, g); break;
    default: unpack<double>(data.data(), slope, intercept, g); break;
  }
  set_range_to_extremes(g);
  return g;
}

NiftiType exact_type(const Grid& g) {
  if (holds<uint8_t>(g)) return NiftiType::u8;
  if (holds<int16_t>(g)) return NiftiType::i16;
  if (holds<uint16_t>(g)) return NiftiType::u16;
  if (holds<int32_t>(g)) return NiftiType::i32;
  return holds<float>(g) ? NiftiType::f32 : NiftiType::f64;
}

void write_nifti(const std::string& path, const Grid& g, NiftiType type, const std::string& like) {
  require(g.channels == 1, "nifti", path, ": writes one channel, got ", g.size_text());
  nifti_set_debug_level(0);
  const int code = code_of(type);
  const Nim nim = like.empty() ? header_new(g, code) : header_like(like, g, code);
  std::vector<char> data = pack_as(type, g);
  nim->nifti_type = NIFTI_FTYPE_NIFTI1_1;
  const bool named = nifti_set_filenames(nim.get(), path.c_str(), 0, 0) == 0;
  nim->data = data.data();
  if (named) nifti_image_write(nim.get());
  nim->data = nullptr;  // ours, not the library's to free
  try {
    if (!named || read_nifti(path).numel() != g.numel()) throw Error(ExitCode::io, "");
  } catch (const Error&) {
    fail(ExitCode::io, "nifti", path, ": could not be written; does the folder exist, is the disk full?");
  }
}

}  // namespace patchcl
