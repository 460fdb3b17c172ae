#include "data/formats/nifti.h"

#include <nifti1_io.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "data/formats/gzip.h"
#include "data/formats/limits.h"
#include "data/placement.h"
#include "tensor/error.h"

namespace patchcl {

namespace {
// Of a file when only the header is wanted; it unpacks to far more than 348 bytes.
constexpr uint64_t kPrefix = 1 << 16;
constexpr size_t kHeaderBytes = sizeof(nifti_1_header), kFirstVoxel = 352;
static_assert(kHeaderBytes == 348);

struct TypeInfo {
  int code, bytes;
};
constexpr TypeInfo kTypes[] = {{NIFTI_TYPE_UINT8, 1}, {NIFTI_TYPE_INT8, 1}, {NIFTI_TYPE_INT16, 2},
    {NIFTI_TYPE_UINT16, 2}, {NIFTI_TYPE_INT32, 4}, {NIFTI_TYPE_UINT32, 4}, {NIFTI_TYPE_FLOAT32, 4},
    {NIFTI_TYPE_FLOAT64, 8}, {NIFTI_TYPE_INT64, 8}, {NIFTI_TYPE_UINT64, 8}};
int bytes_of(int code) {
  for (const TypeInfo& t : kTypes)
    if (t.code == code) return t.bytes;
  return 0;
}

struct Header {
  nifti_1_header raw;  // in this machine's byte order
  bool swapped = false;
  size_t offset = 0;  // of the first voxel
};

void check_axes(const nifti_1_header& raw, const std::string& name) {
  const int axes = raw.dim[0];
  if (axes < 2 || axes > 7) fail(ExitCode::data, "nifti", name, ": ", axes, " axes, wants 2 to 4");
  for (int i = 1; i <= axes; ++i)
    if (raw.dim[i] < 1 || (i > 4 && raw.dim[i] != 1))
      fail(ExitCode::data, "nifti", name, ": axis ", i, " is ", raw.dim[i],
          " long; wants (columns, rows, slices[, channels])");
}

Header parse_header(std::span<const uint8_t> bytes, const std::string& name) {
  const Bytes first = gunzip(bytes, kHeaderBytes, name);
  Header h;
  if (first.size() < kHeaderBytes) fail(ExitCode::data, "nifti", name, " is shorter than its header");
  std::memcpy(&h.raw, first.data(), kHeaderBytes);
  if (h.raw.sizeof_hdr != int(kHeaderBytes)) {
    swap_nifti_header(&h.raw, 1);
    h.swapped = true;
  }
  if (h.raw.sizeof_hdr != int(kHeaderBytes) || std::memcmp(h.raw.magic, "n+1", 4) != 0)
    fail(ExitCode::data, "nifti", name,
        ": no single-file NIfTI-1 (magic 'n+1'); convert .hdr/.img pairs and NIfTI-2 to .nii.gz");
  check_axes(h.raw, name);
  const int each = bytes_of(h.raw.datatype);
  if (each == 0 || h.raw.bitpix != each * 8)
    fail(ExitCode::data, "nifti", name, ": data type ", h.raw.datatype, " of ", h.raw.bitpix,
        " bits is not supported; save as int16 or float32");
  const float offset = h.raw.vox_offset;
  if (!(offset >= float(kFirstVoxel) && offset <= 64 << 20))
    fail(ExitCode::data, "nifti", name, ": voxels at byte ", offset, ", wants 352 or more");
  h.offset = size_t(offset);
  return h;
}

// Of the file's unit of length. Who names none means millimetres.
double millimetres(const nifti_1_header& raw) {
  switch (XYZT_TO_SPACE(raw.xyzt_units)) {
    case NIFTI_UNITS_METER: return 1000;
    case NIFTI_UNITS_MICRON: return 0.001;
    default: return 1;
  }
}

// Columns of NIfTI's matrix are the axes of column, row and slice. One that has no direction makes no frame.
void add_frame(const mat44& m, double unit, Grid& g) {
  Frame frame;
  for (size_t axis = 0; axis < 3; ++axis) {
    const size_t column = 2 - axis;
    const double length = std::hypot(m.m[0][column], m.m[1][column], m.m[2][column]);
    if (!(length > 0 && std::isfinite(length))) return;
    for (size_t i = 0; i < 3; ++i) frame.axes[axis][i] = double(m.m[i][column]) / length;
  }
  for (size_t i = 0; i < 3; ++i) frame.origin[i] = double(m.m[i][3]) * unit;
  g.frames.push_back(frame);
}

void add_frames(const nifti_1_header& raw, Grid& g) {
  if (raw.sform_code > 0) {
    mat44 m{};
    const float* const rows[] = {raw.srow_x, raw.srow_y, raw.srow_z};
    for (size_t i = 0; i < 3; ++i) std::copy_n(rows[i], 4, m.m[i]);
    add_frame(m, millimetres(raw), g);
  }
  if (raw.qform_code > 0)
    add_frame(nifti_quatern_to_mat44(raw.quatern_b, raw.quatern_c, raw.quatern_d, raw.qoffset_x,
                  raw.qoffset_y, raw.qoffset_z, 1, 1, 1, raw.pixdim[0]),
        millimetres(raw), g);
}

Grid grid_of(const Header& h) {
  Grid g;
  const auto axis = [&](int i) { return h.raw.dim[0] >= i ? int64_t(h.raw.dim[i]) : 1; };
  g.width = axis(1);
  g.height = axis(2);
  g.depth = axis(3);
  g.channels = axis(4);
  g.spacing_known = true;
  for (int i = 0; i < 3; ++i) {
    const double mm = std::abs(double(h.raw.pixdim[3 - i])) * millimetres(h.raw);
    const bool known = mm > 0 && std::isfinite(mm);
    g.spacing[size_t(i)] = known ? mm : 1;
    if (axis(3 - i) > 1) g.spacing_known = g.spacing_known && known;
  }
  add_frames(h.raw, g);
  const bool names_a_unit = XYZT_TO_SPACE(h.raw.xyzt_units) != NIFTI_UNITS_UNKNOWN;
  if (!names_a_unit && is_left_as_made(g)) g.spacing_known = false;
  return g;
}

template <class T> void unpack(const void* data, double slope, double intercept, Grid& g) {
  const T* v = static_cast<const T*>(data);
  const int64_t voxels = g.depth * g.height * g.width;
  for (int64_t c = 0; c < g.channels; ++c)
    for (int64_t i = 0; i < voxels; ++i) g.values[i * g.channels + c] = double(*v++) * slope + intercept;
}

// The voxels are read here, not by the library: it would replace NaN by 0 in silence.
Bytes read_voxels(std::span<const uint8_t> bytes, const Header& h, const Grid& g, const std::string& name) {
  const size_t each = size_t(bytes_of(h.raw.datatype));
  const double values = double(g.depth) * double(g.height) * double(g.width) * double(g.channels);
  if (is_gzip(bytes)) check_claim("nifti", name, values, bytes.size());
  else
    check_claim_stored("nifti", name, values, double(each), bytes.size() - std::min(bytes.size(), h.offset));
  const size_t wanted = h.offset + size_t(g.numel()) * each;
  Bytes data = gunzip(bytes, wanted, name);
  if (data.size() < wanted)
    fail(ExitCode::data, "nifti", name, " ends ", wanted - data.size(), " bytes early, it is truncated");
  data.erase(data.begin(), data.begin() + std::ptrdiff_t(h.offset));
  if (h.swapped && each > 1) nifti_swap_Nbytes(size_t(g.numel()), int(each), data.data());
  return data;
}

template <class T> bool holds(const Grid& g) {
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

template <class T> Bytes pack(const Grid& g) {
  Bytes data(g.values.size() * sizeof(T));
  for (size_t i = 0; i < g.values.size(); ++i) {
    const T v = T(g.values[i]);
    std::memcpy(&data[i * sizeof(T)], &v, sizeof(T));
  }
  return data;
}

Bytes pack_as(NiftiType type, const Grid& g) {
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

// The header of `like` with the size and type of the new volume.
nifti_1_header header_like(const std::string& like, const Grid& g) {
  const Header h = parse_header(read_bytes(like, ExitCode::data, kPrefix), like);
  const Grid old = grid_of(h);
  if (old.width != g.width || old.height != g.height || old.depth != g.depth)
    fail(ExitCode::internal, "nifti", "geometry of ", like, " (", old.size_text(), ") for ", g.size_text());
  return h.raw;
}

// "x.nii.gz", and "X.NII.GZ".
bool is_packed(const std::string& path) { return path.ends_with(".gz") || path.ends_with(".GZ"); }

nifti_1_header header_new(const Grid& g) {
  nifti_1_header raw{};
  raw.sizeof_hdr = int(kHeaderBytes);
  for (int i = 0; i < 3; ++i) raw.pixdim[3 - i] = float(g.spacing[size_t(i)]);
  raw.pixdim[0] = 1;  // qfac: a right-handed frame
  raw.xyzt_units = g.spacing_known ? NIFTI_UNITS_MM : NIFTI_UNITS_UNKNOWN;
  raw.qform_code = NIFTI_XFORM_SCANNER_ANAT;
  return raw;
}
}  // namespace

Grid read_nifti_header(const std::string& path) {
  return grid_of(parse_header(read_bytes(path, ExitCode::data, kPrefix), path));
}

Grid read_nifti(const std::string& path) { return read_nifti(read_bytes(path), path); }

Grid read_nifti(std::span<const uint8_t> bytes, const std::string& name) {
  const Header h = parse_header(bytes, name);
  Grid g = grid_of(h);
  const Bytes data = read_voxels(bytes, h, g, name);
  g.values.resize(size_t(g.numel()));
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
    case NIFTI_TYPE_INT64: unpack<int64_t>(data.data(), slope, intercept, g); break;
    case NIFTI_TYPE_UINT64: unpack<uint64_t>(data.data(), slope, intercept, g); break;
    case NIFTI_TYPE_FLOAT32:
      unpack<float>(data.data(), slope, intercept, g);
      g.stored_as_f32 = true;
      break;
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
  for (const int64_t n : {g.width, g.height, g.depth})
    if (n > std::numeric_limits<short>::max())
      fail(ExitCode::io, "nifti", path, ": NIfTI-1 has at most 32767 voxels along an axis, not ", n);
  nifti_1_header raw = like.empty() ? header_new(g) : header_like(like, g);
  const short axes = raw.dim[0] == 2 && g.depth == 1 ? 2 : 3;
  const short dims[8] = {axes, short(g.width), short(g.height), short(g.depth), 1, 1, 1, 1};
  std::copy(std::begin(dims), std::end(dims), raw.dim);
  raw.datatype = short(code_of(type));
  raw.bitpix = short(8 * bytes_of(raw.datatype));
  raw.vox_offset = float(kFirstVoxel);
  raw.scl_slope = raw.scl_inter = raw.cal_min = raw.cal_max = 0;
  std::memcpy(raw.magic, "n+1", 4);
  Bytes file(kFirstVoxel);  // four zeros behind the header: no extensions
  std::memcpy(file.data(), &raw, kHeaderBytes);
  const Bytes voxels = pack_as(type, g);
  file.insert(file.end(), voxels.begin(), voxels.end());
  write_bytes(path, is_packed(path) ? gzip(file) : file);
}

}  // namespace patchcl
