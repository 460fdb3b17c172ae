// Stands in for h5.cpp in a build without HDF5.
#include "data/formats/h5.h"
#include "tensor/error.h"

namespace patchcl {

namespace {
[[noreturn]] void absent(const std::string& path) {
  fail(ExitCode::data, "h5", path,
      ": this program was built without HDF5; install libhdf5-dev and build again");
}
}  // namespace

Grid read_h5(const std::string& path, const std::string&) { absent(path); }
std::optional<Grid> read_h5(std::span<const uint8_t>, const std::string& name, const std::string&) {
  absent(name);
}
bool h5_has(const std::string& path, const std::string&) { absent(path); }
void write_h5(const std::string& path, const std::vector<int64_t>&, const std::vector<double>*,
    const std::vector<uint8_t>*) {
  absent(path);
}

}  // namespace patchcl
