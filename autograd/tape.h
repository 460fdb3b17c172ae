// Tape: the record of a computation, and reverse-mode differentiation over it.
//
// A flat vector of nodes in execution order; backward() is one loop from the end to the start, no recursion
// and no graph search, because every input of a node lies before it. For node y = f(x_1..x_n) and dL/dy
// known, the chain rule
//   dL/dx_i += (df/dx_i)^T dL/dy
// is Op::backward; "+=" is overwrite for the first consumer that backward meets and accumulate for later
// ones. Memory: a forward value goes back to the arena when no Var names it and no backward needs it; a
// gradient as soon as its node's backward has run.
// Left out: higher derivatives (an op's backward is not itself recorded).
#pragma once
#include <source_location>
#include <string>

#include "autograd/op.h"
#include "tensor/arena.h"

namespace patchcl {

class Tape;
using Loc = std::source_location;

// A value on a tape. Copying costs a counter. Vars must not outlive their tape.
class Var {
 public:
  Var() = default;
  Var(Tape* tape, int id);
  Var(const Var& o);
  Var(Var&& o) noexcept : tape_(o.tape_), id_(o.id_) { o.tape_ = nullptr; }
  Var& operator=(Var o) noexcept {
    std::swap(tape_, o.tape_);
    std::swap(id_, o.id_);
    return *this;
  }
  ~Var();

  const Tensor& value() const;
  const Shape& shape() const { return value().shape(); }
  DType dtype() const { return value().dtype(); }
  bool requires_grad() const;
  Tape& tape() const { return *tape_; }
  int id() const { return id_; }
  explicit operator bool() const { return tape_ != nullptr; }

 private:
  Tape* tape_ = nullptr;
  int id_ = -1;
};

struct TapeOptions {
  bool grad = true;   // false: a forward pass only, nothing is saved
  bool keep = false;  // keep every value and gradient after backward (audits, dumps, graphs)
  bool check_finite =
      false;  // anomaly mode: stop at the first NaN or infinity and name op, layer, source line
};

class Tape {
 public:
  // Activations and gradients come from `arena`; over an Arena::plan the pass is dry: shapes and memory, no
  // kernels.
  explicit Tape(const Arena& arena, TapeOptions options = {});
  Tape(const Tape&) = delete;
  Tape& operator=(const Tape&) = delete;

  // A value that needs no gradient: images, labels, teacher outputs.
  Var constant(const Tensor& value, const std::string& label = "constant");
  // A value whose gradient is added to `grad` (same shape and type) by backward().
  Var parameter(const Tensor& value, const Tensor& grad, const std::string& label);
  // y = op(x...). Ops are applied through the functions in autograd/ops, which call this.
  Var apply(std::shared_ptr<const Op> op, std::vector<Var> x, Loc loc);

  // dL/d(everything) for the scalar `loss` of shape (1); runs once per tape.
  void backward(const Var& loss);
  // dL/d(everything) given dL/dy: the vector-Jacobian product.
  void backward(const Var& y, const Tensor& dy);
  // The gradient of v after backward(); only with options.keep, or for v that is a parameter.
  const Tensor& grad(const Var& v) const;

  // Forgets all nodes so that the tape can record again. Every Var of it must be gone.
  void clear();

  const Arena& arena() const { return arena_; }
  const TapeOptions& options() const { return options_; }
  bool dry() const { return arena_.is_plan(); }

  struct Node {
    std::shared_ptr<const Op> op;  // null for constants and parameters
    std::vector<int> inputs;
    Tensor value, grad;
    std::vector<Tensor> aux;
    Shape shape;
    DType dtype = DType::f32;  // of value and grad
    std::string label;         // parameter name, or the layer that recorded the op
    Loc loc;
    int handles = 0;  // living Vars
    bool saved = false, requires_grad = false, is_parameter = false;
  };
  const std::vector<Node>& nodes() const { return nodes_; }

  // Names the layer in nodes recorded while it lives: Tape::Scope s(tape, "encoder.in_conv");
  class Scope {
   public:
    Scope(Tape& tape, const std::string& name) : tape_(tape), size_(tape.scope_.size()) {
      tape_.scope_ += (size_ ? "." : "") + name;
    }
    ~Scope() { tape_.scope_.resize(size_); }
    Scope(const Scope&) = delete;

   private:
    Tape& tape_;
    size_t size_;
  };

 private:
  friend class Var;
  void drop(int id);  // the last Var of a node went
  Tensor workspace(const Node& node, const Shapes& shapes, DType dtype) const;
  void backward_node(int id);
  void check_finite(const Node& node, const Tensor& t, const char* what) const;

  Arena arena_;
  TapeOptions options_;
  std::vector<Node> nodes_;
  std::string scope_;
};

// The same value as a constant: gradients stop here.
Var detach(const Var& v);

}  // namespace patchcl
