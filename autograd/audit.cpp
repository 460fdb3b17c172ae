// The gradient battery: what a correct op must satisfy, and the rule by which it is judged.
//
// For every differentiable input x and upstream v ~ N(0,1), f(x) = <v, op(x)> in f64. Central differences
//   n_i = (f(x + h e_i) - f(x - h e_i)) / 2h,   h = 1e-5 max(1, |x_i|)
// have a truncation error ~ h^2 and a rounding error ~ eps |f| / h. An element passes when
//   |a_i - n_i| <= 1e-6 max_j |n_j| + 8 eps (|f+| + |f-|) / h,
// written as !(err <= tol) => fail, so that NaN fails. Relative to the tensor's largest element, because a loss averaged
// over pixels has gradients of 1e-6 that an absolute tolerance waves through. Left out: kinks (specs keep away) and
// mistakes that forward and backward share (the spec's independent reference catches those).
#include <algorithm>
#include <cmath>
#include <numeric>

#include "autograd/spec.h"
#include "tensor/arena.h"
#include "tensor/device.h"

namespace patchcl {

std::vector<OpSpec>& specs() {
  static std::vector<OpSpec> all;
  return all;
}

namespace draw {
namespace {
template <class F> Draw each(F f) {
  return [f](const Shape& s, Rng& rng) {
    std::vector<double> v(size_t(s.numel()));
    for (double& e : v) e = f(rng);
    return v;
  };
}
}  // namespace
Draw normal(double scale) { return each([=](Rng& r) { return scale * r.normal(); }); }
Draw uniform(double lo, double hi) { return each([=](Rng& r) { return r.uniform(lo, hi); }); }
Draw away_from(double kink, double margin) {
  return each([=](Rng& r) {
    const double u = r.normal();
    return kink + u + (u >= 0 ? margin : -margin);
  });
}
Draw integers(int64_t n) { return each([=](Rng& r) { return double(r.below(n)); }); }
Draw bits(double p) { return each([=](Rng& r) { return r.uniform() < p ? 1. : 0.; }); }
Draw values(std::vector<double> list) {
  return [list](const Shape& s, Rng&) {
    std::vector<double> v(size_t(s.numel()));
    for (size_t i = 0; i < v.size(); ++i) v[i] = list[i % list.size()];
    return v;
  };
}
Draw distinct(double gap) {
  return [gap](const Shape& s, Rng& rng) {
    std::vector<double> v(size_t(s.numel()));
    for (size_t i = 0; i < v.size(); ++i) v[i] = gap * (double(i) - double(v.size()) / 2);
    for (size_t i = v.size(); i > 1; --i) std::swap(v[i - 1], v[size_t(rng.below(int64_t(i)))]);
    return v;
  };
}
}  // namespace draw

namespace {

using Vec = std::vector<double>;
const double kNaN = std::nan("");

double max_abs(const Vec& v) {
  double m = 0;
  for (double e : v) m = std::max(m, std::fabs(e));
  return m;
}

// One case at one draw: moves numbers in and out of the op, with every kind of poison.
class Bench {
 public:
  Bench(const OpCase& c, const AuditOptions& options, Rng& rng) : case_(c), arena_("audit", options.device), host_("audit host") {
    for (const OpInput& in : c.inputs) {
      shapes_.push_back(in.shape);
      x_.push_back(in.draw(in.shape, rng));
      for (double& e : x_.back()) e = double(float(e));  // exact in f32 too
    }
    y_shape_ = c.op->shape(shapes_);
  }

  const std::vector<Vec>& x() const { return x_; }
  int64_t y_numel() const { return y_shape_.numel(); }
  bool floating(size_t i) const { return case_.inputs[i].dtype == DType::f64 && case_.op->differentiable(i); }

  Vec forward(const std::vector<Vec>& x, DType d) const {
    Run r = run(x, d);
    return read(r.y);
  }

  // fill: what the gradient buffers hold before; poison: what unsaved tensors hold. only >= 0: ask for that dx alone.
  std::vector<Vec> backward(const Vec& dy, DType d, double fill, bool accumulate, double poison, int only = -1) const {
    Run r = run(x_, d);
    const Saves saves = case_.op->saves();
    for (size_t i = 0; i < r.x.size(); ++i)
      if (!saves.input(i)) r.x[i] = make(Vec(x_[i].size(), std::isnan(poison) && !is_float(i) ? 0 : is_float(i) ? poison : 1), shapes_[i], type(i, d));
    if (!saves.output) r.y = make(Vec(size_t(y_numel()), poison), y_shape_, d);
    std::vector<GradOut> dx;
    for (size_t i = 0; i < x_.size(); ++i) {
      const bool wanted = floating(i) && (only < 0 || only == int(i));
      dx.push_back(wanted ? GradOut{make(Vec(x_[i].size(), fill), shapes_[i], d), accumulate} : GradOut{});
    }
    const Tensor upstream = make(dy, y_shape_, d), scratch = workspace(d);
    case_.op->backward({r.x, r.y, r.aux, upstream, dx, scratch});
    std::vector<Vec> out;
    for (const GradOut& g : dx) out.push_back(g ? read(g.t) : Vec());
    return out;
  }

 private:
  struct Run {
    std::vector<Tensor> x, aux;
    Tensor y;
  };

  bool is_float(size_t i) const { return case_.inputs[i].dtype == DType::f64; }
  DType type(size_t i, DType d) const { return is_float(i) ? d : case_.inputs[i].dtype; }

  Run run(const std::vector<Vec>& x, DType d) const {
    Run r;
    for (size_t i = 0; i < x.size(); ++i) r.x.push_back(make(x[i], shapes_[i], type(i, d)));
    r.y = make(Vec(size_t(y_numel()), kNaN), y_shape_, d);
    for (const AuxSpec& a : case_.op->aux(shapes_, d)) r.aux.push_back(arena_.zeros(a.shape, a.dtype));
    const Tensor scratch = workspace(d);
    if (case_.op->is_view()) copy(r.x[0].reshape(y_shape_), r.y);
    else case_.op->forward({r.x, r.y, r.aux, scratch});
    return r;
  }

  Tensor workspace(DType d) const {
    const int64_t bytes = int64_t(case_.op->workspace(shapes_, d, arena_.device()));
    return bytes ? make(Vec(size_t(bytes), 255), {bytes}, DType::u8) : Tensor();  // all bits set: NaN as f32 and f64
  }

  Tensor make(const Vec& v, const Shape& shape, DType d) const {
    const Tensor t = host_.empty(shape, d);
    const auto put = [&](auto* p) {
      for (size_t i = 0; i < v.size(); ++i) p[i] = std::remove_pointer_t<decltype(p)>(v[i]);
    };
    switch (d) {
      case DType::f32: put(t.data<float>()); break;
      case DType::f64: put(t.data<double>()); break;
      case DType::u8: put(t.data<uint8_t>()); break;
      case DType::i32: put(t.data<int32_t>()); break;
      case DType::i64: put(t.data<int64_t>()); break;
    }
    if (arena_.device() == Device::cpu) return t;
    const Tensor on_device = arena_.empty(shape, d);
    copy(t, on_device);
    return on_device;
  }

  Vec read(const Tensor& t) const {
    const Tensor h = host_.empty(t.shape(), t.dtype());
    copy(t, h);
    Vec v(size_t(t.numel()));
    dispatch(t.dtype(), [&](auto zero) {
      const auto* p = h.data<decltype(zero)>();
      std::copy(p, p + v.size(), v.begin());
    });
    return v;
  }

  const OpCase& case_;
  Arena arena_, host_;
  Shapes shapes_;
  std::vector<Vec> x_;
  Shape y_shape_;
};

class Report {
 public:
  Report(const OpSpec& spec, const OpCase& c) : spec_(spec), case_(c) {}

  void add(const std::string& check, double ratio, const std::string& where = {}) {
    checks.push_back({spec_.op, case_.label, check, ratio, where, ratio <= 1});  // NaN fails
  }
  // Largest |a - b| / tol; `tol` may be 0: then any difference is infinite.
  void compare(const std::string& check, const Vec& a, const Vec& b, double tol) {
    double worst = a.size() == b.size() ? 0 : kNaN;
    size_t at = 0;
    for (size_t i = 0; i < a.size() && i < b.size(); ++i) {
      const double difference = std::fabs(a[i] - b[i]);
      const double ratio = a[i] == b[i] ? 0 : tol > 0 ? difference / tol : std::isnan(difference) ? kNaN : HUGE_VAL;
      if (!(ratio <= worst)) {
        worst = ratio;
        at = i;
        if (std::isnan(ratio)) break;
      }
    }
    std::ostringstream where;
    where.precision(9);
    if (worst != 0 && at < a.size() && at < b.size()) where << "element " << at << ": " << a[at] << ", wanted " << b[at];
    add(check, worst, where.str());
  }

  std::vector<Check> checks;

 private:
  const OpSpec& spec_;
  const OpCase& case_;
};

// The elements to probe by differences: all, or a sample without repetition.
std::vector<size_t> probes(size_t n, int samples, Rng& rng) {
  std::vector<size_t> index(n);
  std::iota(index.begin(), index.end(), 0);
  if (n <= size_t(samples)) return index;
  for (size_t i = 0; i < size_t(samples); ++i) std::swap(index[i], index[i + size_t(rng.below(int64_t(n - i)))]);
  index.resize(size_t(samples));
  return index;
}

void check_numeric(const Bench& bench, const OpCase& c, const Vec& dy, const std::vector<Vec>& analytic, const AuditOptions& options, Rng& rng, const std::string& title, Report& report) {
  const double eps = 2.2e-16;
  const auto f = [&](const std::vector<Vec>& x) {
    const Vec y = bench.forward(x, DType::f64);
    double s = 0;
    for (size_t i = 0; i < y.size(); ++i) s += y[i] * dy[i];
    return s;
  };
  for (size_t t = 0; t < analytic.size(); ++t) {
    if (!bench.floating(t)) continue;
    std::vector<Vec> p = bench.x();
    const std::vector<size_t> index = probes(p[t].size(), options.samples, rng);
    Vec numeric, noise;
    for (size_t i : index) {
      const double x = p[t][i], h = 1e-5 * std::max(1., std::fabs(x));
      p[t][i] = x + h;
      const double up = f(p);
      p[t][i] = x - h;
      const double down = f(p);
      p[t][i] = x;
      numeric.push_back((up - down) / (2 * h));
      noise.push_back(8 * eps * (std::fabs(up) + std::fabs(down)) / h);
    }
    const double scale = max_abs(numeric);
    double worst = 0;
    std::ostringstream where;
    where.precision(9);
    for (size_t k = 0; k < index.size(); ++k) {
      const double a = analytic[t][index[k]];
      const double ratio = a == numeric[k] ? 0 : std::fabs(a - numeric[k]) / (1e-6 * scale + noise[k]);
      if (!(ratio <= worst)) {
        worst = ratio;
        where.str({});
        where << "x[" << t << "] element " << index[k] << " of " << c.inputs[t].shape << ": analytic " << a << ", numeric " << numeric[k];
        if (std::isnan(ratio)) break;
      }
    }
    const std::string name = title + ", x[" + std::to_string(t) + "]";
    report.add(name + " against central differences", worst, where.str());
    const bool vacuous = !(scale > max_abs(noise)), declared = c.zero_gradient >> t & 1;
    if (declared) report.add(name + " is zero as declared", max_abs(analytic[t]) == 0 ? 0 : HUGE_VAL);
    else report.add(name + " is not vacuous", vacuous ? HUGE_VAL : 0, vacuous ? "all differences are below rounding" : "");
    if (index.size() == p[t].size()) continue;
    for (int k = 0; k < options.directions; ++k) {
      Vec direction(p[t].size());
      for (double& e : direction) e = rng.normal();
      const double h = 1e-5;
      double along = 0, norm = 0;
      for (size_t i = 0; i < direction.size(); ++i) {
        along += analytic[t][i] * direction[i];
        norm += analytic[t][i] * analytic[t][i];
        p[t][i] = bench.x()[t][i] + h * direction[i];
      }
      const double up = f(p);
      for (size_t i = 0; i < direction.size(); ++i) p[t][i] = bench.x()[t][i] - h * direction[i];
      const double down = f(p);
      p[t] = bench.x()[t];
      const double n = (up - down) / (2 * h), tol = 1e-6 * std::max(std::fabs(n), std::sqrt(norm)) + 8 * eps * (std::fabs(up) + std::fabs(down)) / h;
      report.add(name + " along a Gaussian direction", std::fabs(along - n) / tol);
    }
  }
}

void audit_into(const OpCase& c, const AuditOptions& options, Report& report) {
  Rng rng(options.seed);
  const Bench bench(c, options, rng);
  const Vec y = bench.forward(bench.x(), DType::f64);
  if (c.reference) {
    const Vec reference = c.reference(bench.x());
    report.compare("forward f64 against the reference", y, reference, c.tolerance_f64 * std::max(max_abs(reference), 1e-300));
  }
  report.compare("forward f32 against f64", bench.forward(bench.x(), DType::f32), y, c.tolerance_f32 * std::max(max_abs(y), 1e-300));
  for (int round = 0; round < 2; ++round) {
    Vec dy(y.size());
    for (double& e : dy) e = double(float(rng.normal()));
    const std::string title = "upstream " + std::to_string(round + 1);
    const std::vector<Vec> g = bench.backward(dy, DType::f64, kNaN, false, kNaN);
    check_numeric(bench, c, dy, g, options, rng, title, report);
    if (round) break;  // the bit-level checks below need one upstream only
    const std::vector<Vec> finite = bench.backward(dy, DType::f64, 1e30, false, 1e30);
    const std::vector<Vec> added = bench.backward(dy, DType::f64, 3, true, kNaN);
    const std::vector<Vec> zero = bench.backward(Vec(y.size(), 0), DType::f64, kNaN, false, kNaN);
    const std::vector<Vec> single = bench.backward(dy, DType::f32, kNaN, false, kNaN), again = bench.backward(dy, DType::f32, kNaN, false, kNaN);
    const std::vector<Vec> single_added = bench.backward(dy, DType::f32, 3, true, kNaN);
    const int before = threads();
    set_threads(1);
    const std::vector<Vec> serial = bench.backward(dy, DType::f32, kNaN, false, kNaN);
    const Vec y_serial = bench.forward(bench.x(), DType::f32);
    set_threads(3);
    report.compare("forward is bit-equal for 1 and 3 threads", bench.forward(bench.x(), DType::f32), y_serial, 0);
    const std::vector<Vec> team = bench.backward(dy, DType::f32, kNaN, false, kNaN);
    set_threads(before);
    for (size_t t = 0; t < g.size(); ++t) {
      if (!bench.floating(t)) continue;
      const std::string name = "x[" + std::to_string(t) + "] ";
      const double scale = std::max(max_abs(g[t]), 1e-300);
      Vec minus3 = added[t], minus3_single = single_added[t];
      for (double& e : minus3) e -= 3;
      for (double& e : minus3_single) e -= 3;
      report.compare(name + "does not read what it did not save", finite[t], g[t], 0);
      report.compare(name + "f64 accumulates onto what is there", minus3, g[t], 1e-13 * scale + 1e-14);
      report.compare(name + "f32 accumulates onto what is there", minus3_single, single[t], 1e-5 * scale + 1e-6);
      report.compare(name + "f32 against f64", single[t], g[t], c.tolerance_grad_f32 * scale);
      report.compare(name + "zero upstream gives exactly zero", zero[t], Vec(g[t].size(), 0), 0);
      report.compare(name + "second run is bit-equal", again[t], single[t], 0);
      report.compare(name + "1 and 3 threads are bit-equal", serial[t], team[t], 0);
      report.compare(name + "asked for alone is bit-equal", bench.backward(dy, DType::f64, kNaN, false, kNaN, int(t))[t], g[t], 0);
    }
  }
}

}  // namespace

std::vector<Check> audit(const OpSpec& spec, const OpCase& c, const AuditOptions& options) {
  Report report(spec, c);
  try {
    if (spec.op != c.op->name()) report.add("the spec names its op", HUGE_VAL, c.op->name());
    audit_into(c, options, report);
  } catch (const std::exception& e) {
    report.add("runs without an exception", HUGE_VAL, e.what());
  }
  return report.checks;
}

}  // namespace patchcl
