// What a file may claim. Headers cost nothing to write: 352 bytes of NIfTI can announce 19 GB. Each reader
// asks here before it takes memory, and takes it as the numbers arrive.
#pragma once
#include <cstdint>
#include <string>

namespace patchcl {

// Bytes of a decoded image, as 8-byte numbers. 4 GiB (2^29 numbers) unless somebody says otherwise.
void set_largest_image(uint64_t bytes);

// `values` numbers (a product of axes, in floating point because it may exceed 64 bits) from `stored` bytes
// of a file that compresses: Error(data) when there are none, more than the largest image holds, or more than
// the bytes can hold. That is 1032 per byte, DEFLATE's ceiling, which empty masks do reach; the first 2^22
// numbers (32 MiB) are free, since a small empty mask is nearly all header.
void check_claim(const char* where, const std::string& name, double values, uint64_t stored);
// The same for a file that stores each number in `bytes_each` bytes.
void check_claim_stored(
    const char* where, const std::string& name, double values, double bytes_each, uint64_t stored);

}  // namespace patchcl
