// gzip in memory, through zlib.
#pragma once
#include <span>
#include <string>

#include "tensor/file.h"

namespace patchcl {

bool is_gzip(std::span<const uint8_t> bytes);
// The first `limit` bytes that `bytes` unpack to, or of `bytes` themselves when they are no gzip stream;
// fewer where they end before. Memory grows with what comes out. A stream that ends within reach has its
// checksum verified: Error(data) naming `name` for a wrong one and for damage.
Bytes gunzip(std::span<const uint8_t> bytes, size_t limit, const std::string& name);
Bytes gzip(std::span<const uint8_t> bytes);

}  // namespace patchcl
