// Stands in for nifti.cpp in a build without libnifti.
#include "data/formats/nifti.h"
#include "tensor/error.h"

namespace patchcl {

namespace {
[[noreturn]] void absent(const std::string& path) {
  fail(ExitCode::data, "nifti", path,
      ": this program was built without libnifti; install libnifti-dev and build again");
}
}  // namespace

Grid read_nifti_header(const std::string& path) { absent(path); }
Grid read_nifti(const std::string& path) { absent(path); }
Grid read_nifti(std::span<const uint8_t>, const std::string& name) { absent(name); }
NiftiType exact_type(const Grid&) { return NiftiType::f64; }
void write_nifti(const std::string& path, const Grid&, NiftiType, const std::string&) { absent(path); }

}  // namespace patchcl
