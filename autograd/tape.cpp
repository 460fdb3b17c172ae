#include "autograd/tape.h"

#include <cmath>

#include "tensor/device.h"

namespace patchcl {

Var::Var(Tape* tape, int id) : tape_(tape), id_(id) { ++tape_->nodes_[id_].handles; }
Var::Var(const Var& o) : tape_(o.tape_), id_(o.id_) {
  if (tape_) ++tape_->nodes_[id_].handles;
}
Var::~Var() {
  if (tape_) tape_->drop(id_);
}
const Tensor& Var::value() const { return tape_->nodes_[id_].value; }
bool Var::requires_grad() const { return tape_->nodes_[id_].requires_grad; }

Tape::Tape(const Arena& arena, TapeOptions options) : arena_(arena), options_(options) {
  nodes_.reserve(512);
}

Var Tape::constant(const Tensor& value, const std::string& label) {
  Node n;
  n.value = value;
  n.shape = value.shape();
  n.dtype = value.dtype();
  n.label = label;
  nodes_.push_back(std::move(n));
  return Var(this, int(nodes_.size()) - 1);
}

Var Tape::parameter(const Tensor& value, const Tensor& grad, const std::string& label) {
  Var v = constant(value, label);
  Node& n = nodes_.back();
  n.grad = grad;
  n.is_parameter = true;
  n.requires_grad = options_.grad;
  return v;
}

namespace {
std::string where(const Tape::Node& n) {
  std::string s = "recorded at " + std::string(n.loc.file_name()) + ":" + std::to_string(n.loc.line());
  return n.label.empty() ? s : s + ", layer " + n.label;
}
}  // namespace

Tensor Tape::workspace(const Node& node, const Shapes& shapes, DType dtype) const {
  const size_t bytes = node.op->workspace(shapes, dtype, arena_.device());
  return bytes ? arena_.empty({int64_t(bytes)}, DType::u8) : Tensor();
}

Var Tape::apply(std::shared_ptr<const Op> op, std::vector<Var> x, Loc loc) {
  Node n;
  n.op = std::move(op);
  n.loc = loc;
  n.label = scope_;
  Shapes shapes;
  std::vector<Tensor> inputs;
  for (size_t i = 0; i < x.size(); ++i) {
    require(x[i] && &x[i].tape() == this, n.op->name(), "input ", i, " is empty or from another tape; ",
        where(n));
    require(x[i].dtype() != DType::bf16 || n.op->takes_bf16(i), n.op->name(), "input ", i,
        " is bf16, for which there is no kernel; cast() it; ", where(n));
    n.inputs.push_back(x[i].id());
    shapes.push_back(x[i].shape());
    inputs.push_back(x[i].value());
    n.requires_grad |= options_.grad && x[i].requires_grad() && n.op->differentiable(i);
  }
  try {
    n.shape = n.op->shape(shapes);
  } catch (const Error& e) {
    throw Error(e.code(), std::string(e.what()) + "; " + where(n));
  }
  const DType dtype = n.op->output(x[0].dtype());
  n.dtype = dtype;
  if (n.op->is_view()) {
    n.value = inputs[0].reshape(n.shape);
  } else {
    n.value = arena_.empty(n.shape, dtype);
    for (const AuxSpec& a : n.op->aux(shapes, dtype)) n.aux.push_back(arena_.empty(a.shape, a.dtype));
    const Tensor scratch = workspace(n, shapes, dtype);
    if (!dry()) n.op->forward({inputs, n.value, n.aux, scratch});
  }
  if (n.requires_grad) {
    const Saves saves = n.op->saves();
    n.saved = saves.output;
    for (size_t i = 0; i < x.size(); ++i)
      if (saves.input(i)) nodes_[x[i].id()].saved = true;
  } else {
    n.aux.clear();
  }
  if (options_.check_finite && !dry()) check_finite(n, n.value, "output");
  nodes_.push_back(std::move(n));
  return Var(this, int(nodes_.size()) - 1);
}

void Tape::drop(int id) {
  Node& n = nodes_[id];
  if (--n.handles == 0 && !n.saved && !n.is_parameter && !options_.keep) n.value = Tensor();
}

void Tape::backward(const Var& loss) {
  require(loss.shape().numel() == 1, "backward", "wants a scalar loss, got ", loss.shape());
  Tensor one = arena_.empty(loss.shape(), loss.dtype());
  if (!dry()) fill(one, 1);
  backward(loss, one);
}

void Tape::backward(const Var& y, const Tensor& dy) {
  require(options_.grad, "backward", "this tape was recorded without gradients");
  require(dy.shape() == y.shape(), "backward", "dy ", dy.shape(), " for y ", y.shape());
  if (!y.requires_grad()) return;
  nodes_[y.id()].grad = dy;
  for (int id = y.id(); id >= 0; --id) {
    Node& n = nodes_[id];
    if (n.op && n.requires_grad && n.grad) backward_node(id);
    if (options_.keep || n.is_parameter) continue;
    n.grad = Tensor();
    n.aux.clear();
    n.saved = false;
    if (n.op && n.handles == 0) n.value = Tensor();
  }
}

void Tape::backward_node(int id) {
  Node& n = nodes_[id];
  const Saves saves = n.op->saves();
  Shapes shapes;
  std::vector<Tensor> x;
  std::vector<GradOut> dx;
  // A view's dx is dy under another shape: share the memory, unless dy must survive unchanged for a report.
  const bool shares = n.op->is_view() && !options_.keep;
  for (size_t i = 0; i < n.inputs.size(); ++i) {
    Node& in = nodes_[n.inputs[i]];
    shapes.push_back(in.shape);
    x.push_back(saves.input(i) ? in.value : Tensor(nullptr, nullptr, in.shape, in.dtype, n.grad.device()));
    GradOut out;
    if (in.requires_grad && n.op->differentiable(i)) {
      // An input that is named twice gets one overwrite and then accumulates, in argument order.
      out.accumulate = bool(in.grad);
      if (!in.grad) in.grad = shares ? n.grad.reshape(in.shape) : arena_.empty(in.shape, in.dtype);
      out.t = in.grad;
    }
    dx.push_back(std::move(out));
  }
  if (dry()) {
    workspace(n, shapes, n.grad.dtype());
    return;
  }
  if (shares && !dx[0].accumulate) return;
  const Tensor y = saves.output ? n.value : Tensor(nullptr, nullptr, n.shape, n.dtype, n.grad.device());
  const Tensor scratch = workspace(n, shapes, n.grad.dtype());
  n.op->backward({x, y, n.aux, n.grad, dx, scratch});
  if (options_.check_finite)
    for (size_t i = 0; i < dx.size(); ++i)
      if (dx[i]) check_finite(n, dx[i].t, "gradient");
}

void Tape::check_finite(const Node& n, const Tensor& t, const char* what) const {
  const Arena host("anomaly");
  Tensor h = t;
  if (t.device() != Device::cpu) {
    h = host.empty(t.shape(), t.dtype());
    copy(t, h);
  }
  if (all_finite(h)) return;
  int64_t at = 0;
  while (std::isfinite(h.item(at))) ++at;
  const Shape& s = h.shape();
  const Shape position = s.position(at);
  fail(ExitCode::non_finite, n.op->name(), what, " ", s, " holds ", h.item(at), " at ", position.str(),
      s.rank() == 4 ? " (image " + std::to_string(position[0]) + " of the batch)" : std::string(), "; ",
      where(n));
}

const Tensor& Tape::grad(const Var& v) const {
  const Node& n = nodes_[v.id()];
  require(bool(n.grad), "tape", "no gradient is kept for '", n.label, "'; record with TapeOptions::keep");
  return n.grad;
}

void Tape::clear() {
  for (const Node& n : nodes_)
    require(n.handles == 0, "tape", "clear() while a Var of '", n.label, "' still lives");
  nodes_.clear();
}

Var detach(const Var& v) { return v.tape().constant(v.value(), "detach"); }

}  // namespace patchcl
