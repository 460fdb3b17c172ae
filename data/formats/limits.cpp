#include "data/formats/limits.h"

#include <atomic>

#include "tensor/error.h"

namespace patchcl {

namespace {
constexpr double kDeflate = 1032, kFreeValues = 1 << 22;
std::atomic<uint64_t> largest_image = uint64_t(4) << 30;

void check_size(const char* where, const std::string& name, double values) {
  const double largest = double(largest_image.load()) / double(sizeof(double));
  if (!(values >= 1 && values <= largest))
    fail(ExitCode::data, where, name, " claims ", values, " numbers; wants 1 to ", largest,
        "; cut it into parts");
}
}  // namespace

void set_largest_image(uint64_t bytes) { largest_image = bytes; }

void check_claim(const char* where, const std::string& name, double values, uint64_t stored) {
  check_size(where, name, values);
  if (values > kFreeValues && values > kDeflate * double(stored))
    fail(ExitCode::data, where, name, " claims ", values, " numbers, which ", stored,
        " bytes cannot hold; it is damaged or truncated");
}

void check_claim_stored(
    const char* where, const std::string& name, double values, double bytes_each, uint64_t stored) {
  check_size(where, name, values);
  if (values * bytes_each > double(stored))
    fail(ExitCode::data, where, name, " wants ", values * bytes_each, " bytes, has ", stored,
        "; it is damaged or truncated");
}

}  // namespace patchcl
