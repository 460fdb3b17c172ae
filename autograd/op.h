// Op: one mathematical operation, forward and backward. The contract that every op keeps.
//
// An op lives in four files of one stem: conv2d.h (what it is, the formula), conv2d.cpp (CPU), conv2d.cu
// (CUDA) and conv2d.spec.cpp (how the gradient battery exercises it). An op
//   - declares, never allocates: the tape asks for shape(), aux() and workspace() and hands the memory in;
//   - reads in backward only what saves() names (the battery poisons everything else with NaN);
//   - writes dx by the GradOut's word: overwrite (the memory holds rubbish) or accumulate (add to it);
//   - is a pure function of its inputs: equal inputs, equal bits, for any number of threads;
//   - does not change after construction, so one object may serve many steps.
#pragma once
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "tensor/bf16.h"
#include "tensor/hd.h"
#include "tensor/tensor.h"

namespace patchcl {

// Where backward puts the gradient of one input. Empty when nobody needs it: then skip the work.
struct GradOut {
  Tensor t;
  bool accumulate = false;
  explicit operator bool() const { return bool(t); }
};
// What a kernel does with each element of a gradient: added in the type of arithmetic and rounded once.
template <class T> HD inline void store(T& to, Precise<T> value, bool accumulate) {
  to = T(accumulate ? Precise<T>(to) + value : value);
}

// What backward reads besides dy and aux. Everything else may be gone by then.
struct Saves {
  uint32_t inputs = 0;  // bit i: x[i]
  bool output = false;  // y
  static constexpr uint32_t all = ~0u;
  bool input(size_t i) const { return inputs >> i & 1; }
};

// A tensor that forward leaves for backward: a batch norm's mean and 1/std, a pool's argmax.
struct AuxSpec {
  Shape shape;
  DType dtype;
};

struct Forward {
  std::span<const Tensor> x;    // inputs
  const Tensor& y;              // output, uninitialised
  std::span<const Tensor> aux;  // as declared by aux(), uninitialised
  const Tensor& workspace;      // u8, workspace() bytes, 256-byte aligned, uninitialised; empty when 0
};

struct Backward {
  std::span<const Tensor>
      x;            // those named by saves(); the others are empty or rubbish, shape and dtype stay valid
  const Tensor& y;  // likewise
  std::span<const Tensor> aux;  // what forward wrote
  const Tensor& dy;             // dL/dy, the shape of y
  std::span<const GradOut> dx;  // one for each input
  const Tensor& workspace;
};

using Shapes = std::vector<Shape>;

class Op {
 public:
  virtual ~Op() = default;
  virtual const char* name() const = 0;
  // The output's shape. Throws Error("[name] ...") when the inputs do not fit, with the shapes in the
  // message.
  virtual Shape shape(const Shapes& x) const = 0;
  virtual Saves saves() const = 0;
  // Input i can carry a gradient. False for labels, indices and random state.
  virtual bool differentiable(size_t) const { return true; }
  virtual std::vector<AuxSpec> aux(const Shapes&, DType) const { return {}; }
  // Scratch bytes for one pass; one number serves forward and backward.
  virtual size_t workspace(const Shapes&, DType, Device) const { return 0; }
  // Input i may be bf16 (tensor/bf16.h); other inputs are then f32.
  virtual bool takes_bf16(size_t) const { return false; }
  // The type of y when x[0] is of type d.
  virtual DType output(DType d) const { return d; }
  // True when y is x[0] under another shape: the tape then shares memory and calls neither kernel.
  virtual bool is_view() const { return false; }

  void forward(const Forward& f) const;
  void backward(const Backward& b) const;

 protected:
  virtual void forward_cpu(const Forward& f) const = 0;
  virtual void backward_cpu(const Backward& b) const = 0;
  virtual void forward_cuda(const Forward&) const { no_cuda(); }
  virtual void backward_cuda(const Backward&) const { no_cuda(); }

 private:
  [[noreturn]] void no_cuda() const;
};

// For profiles: while set, called after each kernel with its time.
using OpObserver = void (*)(const Op& op, const Shape& y, bool backward, double seconds);
void observe_ops(OpObserver observer);

// Declares an op's kernels in its header.
#define OP_CPU                                     \
  void forward_cpu(const Forward&) const override; \
  void backward_cpu(const Backward&) const override;
#define OP_CUDA                                               \
  CUDA_ONLY(void forward_cuda(const Forward&) const override; \
            void backward_cuda(const Backward&) const override;)

}  // namespace patchcl
