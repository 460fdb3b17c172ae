// conv2d_int8 on the tiles of AMX: the same whole sums as conv2d_int8.simd.cpp, hence the same bits.
#include "autograd/ops/conv2d_int8_kernels.h"
#include "tensor/device.h"

#if defined(__x86_64__)
#include <cstring>

#include "autograd/ops/tile_band_kernels.h"
#include "tensor/parallel.h"

namespace patchcl::int8_tiles {

namespace {
int64_t row_bytes(const Conv2dSizes& s) { return (s.w + 2) * s.cin; }
int64_t copied_bytes(const Conv2dSizes& s) { return row_bytes(s) * (amx::rows_of_task(s, s.cin / 4) + 2); }
}  // namespace

bool can() { return isa() == Isa::amx; }

size_t workspace(const Conv2dSizes& s) { return size_t(threads() * copied_bytes(s)); }

template <class X> void forward(const Int8Maps<X>& p, uint32_t* workspace) {
  const Conv2dSizes& s = p.s;
  const int64_t rows = amx::rows_of_task(s, s.cin / 4), bands = chunks(s.h, rows);
  parallel_for(s.n * bands, [&](int64_t task) {
    uint32_t* copy = workspace + thread_index() * copied_bytes(s) / 4;
    const int64_t image = task / bands, begin = task % bands * rows, end = std::min(s.h, begin + rows);
    uint8_t* to = reinterpret_cast<uint8_t*>(copy);
    for (int64_t i = begin - 1; i <= end; ++i, to += row_bytes(s))
      if (i < 0 || i == s.h) std::memset(to, p.zero, size_t(row_bytes(s)));
      else p.quantize(image * s.h + i, to);
    const amx::TileBand<amx::FoursOfBytes> band(s, s.cin / 4, s.cout, {begin, end, copy});
    for (int64_t o = 0; o < s.cout; o += amx::kOutputs) {
      const int64_t count = std::min(amx::kOutputs, s.cout - o);
      band.each_tile(p.words + o, count, [&](int64_t i, int64_t j, int64_t pixels, const int32_t* sums) {
        X* y = p.y + ((image * s.h + i) * s.w + j) * s.cout + o;
        ISA_PICK(finish_bytes<X>)
        ({pixels, count, sums, amx::kOutputs, p.base + o, p.scale + o, p.shift + o, p.slope, y, s.cout});
      });
    }
  });
}

}  // namespace patchcl::int8_tiles

#else

namespace patchcl::int8_tiles {
bool can() { return false; }
size_t workspace(const Conv2dSizes&) { return 0; }
template <class X> void forward(const Int8Maps<X>&, uint32_t*) {}
}  // namespace patchcl::int8_tiles
#endif

namespace patchcl::int8_tiles {
template void forward(const Int8Maps<float>&, uint32_t*);
template void forward(const Int8Maps<bf16>&, uint32_t*);
}  // namespace patchcl::int8_tiles
