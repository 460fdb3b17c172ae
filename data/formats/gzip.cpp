#include "data/formats/gzip.h"

#include <zlib.h>

#include <algorithm>

#include "tensor/error.h"

namespace patchcl {

namespace {
constexpr int kGzip = 15 + 16;  // zlib's code for the largest window with a gzip header
constexpr size_t kStep = size_t(1) << 20;

unsigned step(size_t left) { return unsigned(std::min(left, kStep)); }
}  // namespace

bool is_gzip(std::span<const uint8_t> bytes) {
  return bytes.size() >= 2 && bytes[0] == 0x1f && bytes[1] == 0x8b;
}

Bytes gunzip(std::span<const uint8_t> bytes, size_t limit, const std::string& name) {
  if (!is_gzip(bytes))
    return Bytes(bytes.begin(), bytes.begin() + std::ptrdiff_t(std::min(bytes.size(), limit)));
  z_stream z{};
  if (inflateInit2(&z, kGzip) != Z_OK) fail(ExitCode::device, "gzip", name, ": no memory for zlib");
  Bytes out;
  size_t used = 0;
  int state = Z_OK;
  // One byte more than wanted: behind the last one stands the checksum.
  while (out.size() <= limit && (state == Z_OK || state == Z_STREAM_END)) {
    // Another stream may follow; anything else is padding.
    if (state == Z_STREAM_END && (!is_gzip(bytes.subspan(used)) || inflateReset(&z) != Z_OK)) break;
    const size_t had = out.size(), room = step(limit + 1 - had);
    out.resize(had + room);
    z.next_in = const_cast<uint8_t*>(bytes.data() + used);
    z.avail_in = step(bytes.size() - used);
    z.next_out = out.data() + had;
    z.avail_out = unsigned(room);
    const unsigned given = z.avail_in;
    state = inflate(&z, Z_NO_FLUSH);
    used += given - z.avail_in;
    out.resize(had + room - z.avail_out);
  }
  const std::string why = z.msg ? z.msg : "";
  inflateEnd(&z);
  if (state != Z_OK && state != Z_STREAM_END && state != Z_BUF_ERROR)
    fail(ExitCode::data, "gzip", name, " is damaged: ", why);
  if (out.size() <= limit && state != Z_STREAM_END)
    fail(ExitCode::data, "gzip", name, " is truncated: it unpacks to ", out.size(), " bytes without an end");
  if (out.size() > limit) out.resize(limit);
  return out;
}

Bytes gzip(std::span<const uint8_t> bytes) {
  z_stream z{};
  Bytes out;
  bool sound = deflateInit2(&z, Z_DEFAULT_COMPRESSION, Z_DEFLATED, kGzip, 8, Z_DEFAULT_STRATEGY) == Z_OK;
  int state = Z_OK;
  for (size_t used = 0; sound && state != Z_STREAM_END;) {
    const size_t had = out.size();
    out.resize(had + kStep);
    z.next_in = const_cast<uint8_t*>(bytes.data() + used);
    z.avail_in = step(bytes.size() - used);
    z.next_out = out.data() + had;
    z.avail_out = unsigned(kStep);
    const unsigned given = z.avail_in;
    state = deflate(&z, used + given == bytes.size() ? Z_FINISH : Z_NO_FLUSH);
    used += given - z.avail_in;
    out.resize(had + kStep - z.avail_out);
    sound = state == Z_OK || state == Z_STREAM_END;
  }
  deflateEnd(&z);
  if (!sound) fail(ExitCode::internal, "gzip", "zlib could not compress ", bytes.size(), " bytes");
  return out;
}

}  // namespace patchcl
