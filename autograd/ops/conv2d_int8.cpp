#include "autograd/ops/conv2d_int8.h"

#include <algorithm>
#include <cstring>

#include "autograd/ops/conv2d_int8_naive_kernels.h"
#include "tensor/device.h"
#include "tensor/parallel.h"

namespace patchcl {

namespace {

// Rows of y in one task, whose neighbours are made bytes twice.
int64_t rows_of_task(const Conv2dSizes& s) { return std::clamp<int64_t>(s.n * s.h / 16, 4, 16); }

int64_t rounded(int64_t n) { return chunks(n, 16) * 16; }

bool can(const Conv2dSizes& s, const Shapes& x, size_t data_inputs) {
  const auto blocks = [](const Shape& in) { return in[3] % 16 == 0; };
  return kernels() != Kernels::naive &&
         std::all_of(x.begin(), x.begin() + std::ptrdiff_t(data_inputs), blocks) && s.cout % 16 == 0 &&
         s.cin <= 4096;
}

// Of the fast kernels.
struct Room {
  uint32_t *words, *base;  // (9 cin / 4, cout), (cout)
  float *step, *scale, *shift;
  uint32_t* tiles;          // of int8_tiles; otherwise
  uint8_t *nothing, *rows;  // a row of padding; (threads, 3, row), rings of three rows of x
  size_t bytes;

  Room(const Conv2dSizes& s, void* memory) {
    char* at = static_cast<char*>(memory);
    const auto take = [&]<class T>(T*& part, int64_t count) {
      part = reinterpret_cast<T*>(at);
      at += rounded(count * int64_t(sizeof(T)));
    };
    take(words, s.weights() / 4);
    take(base, s.cout);
    for (float** part : {&step, &scale, &shift}) take(*part, s.cout);
    if (int8_tiles::can()) take(tiles, int64_t(int8_tiles::workspace(s)) / 4);
    else {
      take(nothing, row_bytes(s));
      take(rows, threads() * 3 * row_bytes(s));
    }
    bytes = size_t(at - static_cast<char*>(memory));
  }
  static int64_t row_bytes(const Conv2dSizes& s) { return (s.w + 2) * s.cin; }
};

template <class X>
void prepare_weight(const Int8Inputs<X>& in, const Quantisation<float>& q, const Room& room) {
  const int64_t rows = 9 * in.s.cin, cout = in.s.cout;
  parallel_for(cout / 16, [&](int64_t block) {
    const int64_t o = block * 16;
    const Int8Panel panel = int8_tiles::can() ? Int8Panel{0, cout} : panel_of(o, cout);
    ISA_PICK(quantize_weight)
    (in.w + o, rows, cout, room.words + panel.begin * (rows / 4) + o - panel.begin, panel.columns,
        room.step + o, room.base + o);
    for (int64_t c = o; c < o + 16; ++c) {
      room.base[c] *= uint32_t(q.zero);
      const Int8Channel<float> end = in.end_of(c, room.step[c], 0);
      room.scale[c] = end.scale;
      room.shift[c] = end.shift;
    }
  });
}

// One row of all data inputs, as bytes.
template <class X>
void quantize_row(const Int8Inputs<X>& in, int64_t row, const Quantisation<float>& q, uint8_t* bytes) {
  const Conv2dSizes& s = in.s;
  std::memset(bytes, q.zero, size_t(s.cin));
  std::memset(bytes + (s.w + 1) * s.cin, q.zero, size_t(s.cin));
  const auto kernel = ISA_PICK(quantize<X>);
  for (const auto& from : in.x) {
    const int64_t run = from.count == s.cin ? s.w : 1;  // pixels that lie side by side in both
    for (int64_t j = 0; j < s.w; j += run)
      kernel(from.data + (row * s.w + j) * from.count, run * from.count, q,
          bytes + (j + 1) * s.cin + from.begin);
  }
}

template <class X> void fast_forward(const Int8Inputs<X>& in, const Tensor& y, void* memory) {
  const Conv2dSizes& s = in.s;
  const Room room(s, memory);
  const Quantisation<float> q = in.quantisation();
  prepare_weight(in, q, room);
  if (int8_tiles::can()) {
    const auto row = [&](int64_t i, uint8_t* bytes) { quantize_row(in, i, q, bytes); };
    return int8_tiles::forward<X>(
        {s, room.words, room.base, room.scale, room.shift, in.slope, uint8_t(q.zero), row, y.data<X>()},
        room.tiles);
  }
  std::memset(room.nothing, q.zero, size_t(Room::row_bytes(s)));
  const auto kernel = ISA_PICK(int8_row<X>);
  parallel_chunks(
      s.n * s.h,
      [&](int64_t begin, int64_t end) {
        uint8_t* const ring = room.rows + thread_index() * 3 * Room::row_bytes(s);
        const auto place = [&](int64_t row) { return ring + row % 3 * Room::row_bytes(s); };
        int64_t next = begin % s.h > 0 ? begin - 1 : begin;  // the first row that is not in the ring
        for (int64_t row = begin; row < end; ++row) {
          const bool first = row % s.h == 0, last = row % s.h == s.h - 1;
          for (; next <= (last ? row : row + 1); ++next) quantize_row(in, next, q, place(next));
          kernel({{first ? room.nothing : place(row - 1), place(row), last ? room.nothing : place(row + 1)},
              room.words, room.base, room.scale, room.shift, in.slope, s.w, s.cin, s.cout,
              y.data<X>() + row * s.w * s.cout});
        }
      },
      rows_of_task(s));
}

template <class X> void naive_forward(const Int8Inputs<X>& in, const Tensor& y, void* memory) {
  const Conv2dSizes& s = in.s;
  auto* ends = static_cast<Int8Channel<Precise<X>>*>(memory);
  for (int64_t o = 0; o < s.cout; ++o) ends[o] = in.channel(o);
  parallel_for(s.n * s.h, [&](int64_t row) {
    X* to = y.data<X>() + row * s.w * s.cout;
    for (int64_t j = 0; j < s.w; ++j)
      for (int64_t o = 0; o < s.cout; ++o) *to++ = in.output(row / s.h, row % s.h, j, o, ends[o]);
  });
}

}  // namespace

Conv2dSizes Conv2dInt8::sizes(const Shapes& x) const {
  const Shape &data = x[0], &w = x[data_inputs_];
  return {data[0], data[1], data[2], w[2], data[1], data[2], w[3], 3, 3, 1, 1, 1};
}

Shape Conv2dInt8::shape(const Shapes& x) const {
  require(x.size() == data_inputs_ + 7, name(), "wants ", data_inputs_ + 7, " inputs, got ", x.size());
  const Shape y = f32_.shape({x.begin(), x.end() - 1});
  const Shape& w = x[data_inputs_];
  require(w[0] == 3 && w[1] == 3, name(), "wants a kernel of 3x3, got ", w);
  require(x.back() == Shape{2}, name(), "wants the smallest and the largest number of x, got ", x.back());
  return y;
}

size_t Conv2dInt8::workspace(const Shapes& x, DType dtype, Device device) const {
  const Conv2dSizes s = sizes(x);
  if (device == Device::cpu && dtype != DType::f64 && can(s, x, data_inputs_)) return Room(s, nullptr).bytes;
  return size_t(s.cout) * sizeof(Int8Channel<double>);
}

void Conv2dInt8::forward_cpu(const Forward& f) const {
  const Shapes shapes = shapes_of(f.x);
  const Conv2dSizes s = sizes(shapes);
  const bool fast = can(s, shapes, data_inputs_);
  dispatch_data(f.y.dtype(), [&](auto zero) {
    using X = decltype(zero);
    const Int8Inputs<X> in(s, f, eps_, slope_);
    if constexpr (!std::is_same_v<X, double>)
      if (fast) return fast_forward(in, f.y, f.workspace.raw());
    naive_forward(in, f.y, f.workspace.raw());
  });
}

void Conv2dInt8::backward_cpu(const Backward&) const { fail(ExitCode::internal, name(), "has no gradient"); }

Var conv2d_int8(const std::vector<Var>& x, const Var& w, const Var& b, const Var& gamma, const Var& beta,
    const BatchNormOptions& norm, double slope, const Tensor& range, Loc loc) {
  Tape& tape = w.tape();
  require(!tape.options().grad && !norm.training, "conv2d_int8", "is for inference");
  std::vector<Var> inputs = x;
  for (const Var& v : {w, b, gamma, beta}) inputs.push_back(v);
  inputs.push_back(tape.constant(norm.running_mean, "running mean"));
  inputs.push_back(tape.constant(norm.running_var, "running variance"));
  inputs.push_back(tape.constant(range, "range of x"));
  return tape.apply(std::make_shared<Conv2dInt8>(int(x.size()), norm.eps, slope), std::move(inputs), loc);
}

}  // namespace patchcl
