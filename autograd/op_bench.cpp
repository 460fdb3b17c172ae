#include "autograd/op_bench.h"

#include "tensor/bfloat16.h"
#include "tensor/device.h"

namespace patchcl {

namespace {

const double kNaN = std::nan("");

// Bytes that memory holds before anybody wrote to it: 0xFF is NaN as f32 and f64, -1 as an integer.
void fill_with(const Tensor& t, uint8_t byte) { fill_bytes(t.raw(), t.device(), byte, t.bytes()); }

}  // namespace

OpBench::OpBench(const OpCase& c, const AuditOptions& options, Rng& rng, DType exact)
    : case_(c), arena_("audit", options.device), host_("audit host") {
  for (const OpInput& in : c.inputs) {
    shapes_.push_back(in.shape);
    x_.push_back(in.draw(in.shape, rng));
    require(int64_t(x_.back().size()) == in.shape.numel(), "audit", "drew ", x_.back().size(),
        " numbers for ", in.shape);
    for (double& e : x_.back())
      e = exact == DType::bf16 && in.dtype == DType::f64 ? double(bf16(float(e))) : double(float(e));
  }
  y_shape_ = c.op->shape(shapes_);
}

bool OpBench::any_checked() const {
  for (size_t i = 0; i < x_.size(); ++i)
    if (checked(i)) return true;
  return false;
}

OpBench::Vec OpBench::forward(const std::vector<Vec>& x, DType d) const { return read(run(x, d, 0xFF).y); }

std::vector<OpBench::Vec> OpBench::backward(const Vec& dy, const Provocation& p) const {
  const uint8_t rubbish = std::isnan(p.poison) ? 0xFF : 0;
  Evaluation r = run(x_, p.dtype, rubbish);
  const Saves saves = case_.op->saves();
  for (size_t i = 0; i < r.x.size(); ++i) {
    const double integer = std::isnan(p.poison) ? 0 : 1;  // valid, but not the input's
    if (!saves.input(i))
      r.x[i] = make(Vec(x_[i].size(), is_float(i) ? p.poison : integer), shapes_[i], type(i, p.dtype));
  }
  if (!saves.output) r.y = make(Vec(size_t(y_shape_.numel()), p.poison), y_shape_, output(p.dtype));
  std::vector<GradOut> dx(x_.size());
  for (size_t i = 0; i < x_.size(); ++i)
    if (checked(i) && (p.only < 0 || p.only == int(i)))
      dx[i] = {make(Vec(x_[i].size(), p.fill), shapes_[i], type(i, p.dtype)), p.accumulate};
  const DType y_type = output(p.dtype);
  const Tensor upstream = make(dy, y_shape_, y_type), scratch = workspace(y_type, rubbish);
  case_.op->backward({r.x, r.y, r.aux, upstream, dx, scratch});
  std::vector<Vec> out;
  for (const GradOut& g : dx) out.push_back(g ? read(g.t) : Vec());
  return out;
}

// bf16 is for the inputs that may be, the others are then f32.
DType OpBench::type(size_t i, DType d) const {
  if (!is_float(i)) return case_.inputs[i].dtype;
  return d == DType::bf16 && !case_.op->takes_bf16(i) ? DType::f32 : d;
}

OpBench::Evaluation OpBench::run(const std::vector<Vec>& x, DType d, uint8_t rubbish) const {
  Evaluation r;
  for (size_t i = 0; i < x.size(); ++i) r.x.push_back(make(x[i], shapes_[i], type(i, d)));
  const DType y_type = output(d);
  r.y = make(Vec(size_t(y_shape_.numel()), kNaN), y_shape_, y_type);
  for (const AuxSpec& a : case_.op->aux(shapes_, y_type)) {
    r.aux.push_back(arena_.empty(a.shape, a.dtype));
    fill_with(r.aux.back(), rubbish);
  }
  const Tensor scratch = workspace(y_type, rubbish);
  if (case_.op->is_view()) copy(r.x[0].reshape(y_shape_), r.y);
  else case_.op->forward({r.x, r.y, r.aux, scratch});
  return r;
}

Tensor OpBench::workspace(DType d, uint8_t rubbish) const {
  const int64_t bytes = int64_t(case_.op->workspace(shapes_, d, arena_.device()));
  if (!bytes) return {};
  const Tensor t = arena_.empty({bytes}, DType::u8);
  fill_with(t, rubbish);
  return t;
}

Tensor OpBench::make(const Vec& v, const Shape& shape, DType d) const {
  const Tensor t = host_.empty(shape, d);
  const auto put = [&](auto* p) {
    using N = std::remove_pointer_t<decltype(p)>;
    for (size_t i = 0; i < v.size(); ++i) p[i] = N(Precise<N>(v[i]));
  };
  switch (d) {
    case DType::f32: put(t.data<float>()); break;
    case DType::f64: put(t.data<double>()); break;
    case DType::u8: put(t.data<uint8_t>()); break;
    case DType::i32: put(t.data<int32_t>()); break;
    case DType::i64: put(t.data<int64_t>()); break;
    case DType::bf16: put(t.data<bf16>()); break;
  }
  if (arena_.device() == Device::cpu) return t;
  const Tensor on_device = arena_.empty(shape, d);
  copy(t, on_device);
  return on_device;
}

OpBench::Vec OpBench::read(const Tensor& t) const {
  const Tensor h = host_.empty(t.shape(), t.dtype());
  copy(t, h);
  Vec v(size_t(t.numel()));
  dispatch_data(t.dtype(), [&](auto zero) {
    const auto* p = h.data<decltype(zero)>();
    for (size_t i = 0; i < v.size(); ++i) v[i] = double(p[i]);
  });
  return v;
}

}  // namespace patchcl
