// The gradient battery: what a correct op must satisfy, and the rule by which it is judged.
//
// For every differentiable input x and upstream v ~ N(0,1), f(x) = <v, op(x)> in f64. Central differences
//   n_i = <v, op(x + h e_i) - op(x - h e_i)> / 2h,   h = 1e-5 max(1, |x_i|)
// have a truncation error ~ h^2 and a rounding error ~ eps |f| / h. An element passes when
//   |a_i - n_i| <= 1e-6 max_j |n_j| + 8 eps (|f+| + |f-|) / h,
// where |f+-| = sum of |v_k y+-_k| over the outputs that moved,
// written as !(ratio <= 1) => fail, so that NaN fails. Relative to the tensor's largest element, because a
// loss averaged over pixels has gradients of 1e-6 that an absolute tolerance waves through. Outputs that did
// not move are left out of |f| because they cancel exactly; those that moved count by their size, because a
// sum that happens to be near zero is not rounded any better. A gradient that the rounding term would hide is
// vacuous and fails too. Left out: kinks (specs keep away) and mistakes that forward and backward share (the
// spec's reference catches those).
#include <algorithm>
#include <cmath>
#include <numeric>

#include "autograd/op_bench.h"
#include "tensor/bfloat16.h"
#include "tensor/device.h"
#include "tensor/parallel.h"

namespace patchcl {

namespace {

using Vec = OpBench::Vec;
const double kNaN = std::nan("");
constexpr double kEps = 2.2e-16;

double max_abs(const Vec& v) {
  double m = 0;
  for (double e : v) m = std::max(m, std::fabs(e));
  return m;
}

class Report {
 public:
  Report(const OpSpec& spec, const OpCase& c) : spec_(spec), case_(c) {}

  void add(const std::string& check, double ratio, const std::string& where = {}) {
    checks.push_back({spec_.op, case_.label, check, ratio, where, ratio <= 1});  // NaN fails
  }
  void not_run(const std::string& why) {
    checks.push_back({spec_.op, case_.label, "runs", kNaN, why, false, false});
  }

  // Adds the worst |a - b| / tol over elements `index` of a tensor called `what`. NaN is worse than anything.
  void compare(const std::string& check, const std::string& what, const Shape& shape,
      const std::vector<size_t>& index, const Vec& a, const Vec& b, const Vec& tol) {
    double worst = 0;
    std::string where;
    for (size_t k = 0; k < index.size() && !std::isnan(worst); ++k) {
      const double ratio =
          a[k] == b[k] ? 0 : std::fabs(a[k] - b[k]) / tol[k];  // tol 0: any difference is infinite
      if (ratio <= worst) continue;
      worst = ratio;
      std::ostringstream s;
      s.precision(9);
      s << what << shape.position(int64_t(index[k])) << " is " << a[k] << ", wanted " << b[k];
      where = s.str();
    }
    add(check, worst, where);
  }
  // All elements, one tolerance.
  void compare(const std::string& check, const std::string& what, const Shape& shape, const Vec& a,
      const Vec& b, double tol) {
    if (a.size() != b.size())
      return add(check, HUGE_VAL, std::to_string(a.size()) + " elements, wanted " + std::to_string(b.size()));
    std::vector<size_t> index(a.size());
    std::iota(index.begin(), index.end(), 0);
    compare(check, what, shape, index, a, b, Vec(a.size(), tol));
  }

  std::vector<Check> checks;

 private:
  const OpSpec& spec_;
  const OpCase& case_;
};

std::string indexed(std::string name, size_t i) {
  return name.append("[").append(std::to_string(i)).append("]");
}

// The elements to probe by differences: all, or a sample without repetition.
std::vector<size_t> probes(size_t n, int samples, Rng& rng) {
  std::vector<size_t> index(n);
  std::iota(index.begin(), index.end(), 0);
  if (n <= size_t(samples)) return index;
  for (size_t i = 0; i < size_t(samples); ++i)
    std::swap(index[i], index[i + size_t(rng.below(int64_t(n - i)))]);
  index.resize(size_t(samples));
  return index;
}

struct Difference {
  double derivative, noise;
};

// The derivative of <dy, op(x)> when x[t] moves to `up` and to `down`, h to each side.
Difference central_difference(
    const OpBench& bench, const Vec& dy, size_t t, const Vec& up, const Vec& down, double h) {
  std::vector<Vec> x = bench.x();
  x[t] = up;
  const Vec y_up = bench.forward(x, DType::f64);
  x[t] = down;
  const Vec y_down = bench.forward(x, DType::f64);
  double difference = 0, size = 0;
  for (size_t i = 0; i < dy.size(); ++i) {
    if (y_up[i] == y_down[i]) continue;
    difference += dy[i] * (y_up[i] - y_down[i]);
    size += std::fabs(dy[i]) * (std::fabs(y_up[i]) + std::fabs(y_down[i]));
  }
  return {difference / (2 * h), 8 * kEps * size / h};
}

// dx of input t against differences of the forward pass.
void check_numeric(const OpBench& bench, const OpCase& c, size_t t, const Vec& dy, const Vec& dx,
    const AuditOptions& options, Rng& rng, const std::string& upstream, Report& report) {
  const Vec& x = bench.x()[t];
  const std::vector<size_t> index = probes(x.size(), options.samples, rng);
  Vec analytic, numeric, noise;
  for (size_t i : index) {
    const double h = 1e-5 * std::max(1., std::fabs(x[i]));
    Vec up = x, down = x;
    up[i] += h;
    down[i] -= h;
    const Difference d = central_difference(bench, dy, t, up, down, h);
    analytic.push_back(dx[i]);
    numeric.push_back(d.derivative);
    noise.push_back(d.noise);
  }
  const double scale = max_abs(numeric);
  Vec tolerance = noise;
  for (double& e : tolerance) e += 1e-6 * scale;
  const std::string name = indexed("x", t), gradient = indexed("dx", t);
  report.compare(name + " against central differences, " + upstream, gradient, bench.x_shape(t), index,
      analytic, numeric, tolerance);
  if (c.zero_gradient >> t & 1) {
    report.compare(
        name + " is zero as declared, " + upstream, gradient, bench.x_shape(t), dx, Vec(dx.size(), 0), 0);
  } else {
    const bool vacuous = !(scale > 100 * max_abs(noise));
    report.add(name + " is not vacuous, " + upstream, vacuous ? HUGE_VAL : 0,
        vacuous ? "no difference stands out of the rounding" : "");
  }
  if (index.size() == x.size()) return;
  double norm = 0;
  for (double e : dx) norm += e * e;
  for (int k = 0; k < options.directions; ++k) {
    const double h = 1e-5;
    double along = 0;
    Vec up = x, down = x;
    for (size_t i = 0; i < x.size(); ++i) {
      const double e = rng.normal();
      along += dx[i] * e;
      up[i] += h * e;
      down[i] -= h * e;
    }
    const Difference d = central_difference(bench, dy, t, up, down, h);
    const double tol = 1e-6 * std::max(std::fabs(d.derivative), std::sqrt(norm)) + d.noise;
    report.compare(
        name + " along a Gaussian direction, " + upstream, "slope", {1}, {along}, {d.derivative}, tol);
  }
}

// Runs fn with a team of n threads.
template <class F> auto with_threads(int n, F&& fn) {
  struct Restore {
    int before = threads();
    ~Restore() { set_threads(before); }
  } restore;
  set_threads(n);
  return fn();
}

void check_forward(const OpBench& bench, const OpCase& c, Report& report) {
  const Shape& shape = bench.y_shape();
  const Vec y = bench.forward(bench.x(), DType::f64);
  const auto single = [&] { return bench.forward(bench.x(), DType::f32); };
  const Vec y_single = with_threads(1, single);
  if (!c.reference) report.add("forward has an independent reference", HUGE_VAL, "the spec gives none");
  else {
    const Vec reference = c.reference(bench.x());
    report.compare(
        "forward f64 against the reference", "y", shape, y, reference, c.tolerance_f64 * max_abs(reference));
  }
  report.compare("forward f32 against f64", "y", shape, y_single, y, c.tolerance_f32 * max_abs(y));
  report.compare("forward, 1 and 3 threads bit-equal", "y", shape, with_threads(3, single), y_single, 0);
}

// What the contract of an op says about gradient buffers, saved tensors and repeatability.
void check_contract(
    const OpBench& bench, const OpCase& c, const Vec& dy, const std::vector<Vec>& dx, Report& report) {
  const auto single = [&] { return bench.backward(dy, {.dtype = DType::f32}); };
  const auto zero = bench.backward(Vec(dy.size(), 0));
  const auto unsaved = bench.backward(dy, {.fill = 1e30, .poison = 1e30});
  const auto added = bench.backward(dy, {.fill = 3, .accumulate = true});
  const auto dx_single = with_threads(1, single), again = with_threads(1, single),
             team = with_threads(3, single);
  const auto added_single = bench.backward(dy, {.dtype = DType::f32, .fill = 3, .accumulate = true});
  for (size_t t = 0; t < dx.size(); ++t) {
    if (!bench.checked(t)) continue;
    const auto compare = [&](const char* check, const Vec& a, const Vec& b, double tol) {
      report.compare(indexed("x", t) + " " + check, indexed("dx", t), bench.x_shape(t), a, b, tol);
    };
    const auto plus3 = [](Vec v) {
      for (double& e : v) e += 3;
      return v;
    };
    const double scale = max_abs(dx[t]);
    compare("zero upstream gives exactly zero", zero[t], Vec(dx[t].size(), 0), 0);
    compare("reads only what the op saved", unsaved[t], dx[t], 0);
    compare("f64 accumulates onto what is there", added[t], plus3(dx[t]), 1e-12 * (scale + 3));
    compare("f32 accumulates onto what is there", added_single[t], plus3(dx_single[t]), 1e-5 * (scale + 3));
    compare("f32 against f64", dx_single[t], dx[t], c.tolerance_grad_f32 * scale);
    compare("second run bit-equal", again[t], dx_single[t], 0);
    compare("1 and 3 threads bit-equal", team[t], dx_single[t], 0);
    compare("asked for alone bit-equal", bench.backward(dy, {.only = int(t)})[t], dx[t], 0);
  }
}

// bf16 data against the same op in f64, on inputs that bf16 holds exactly: what is left is the rounding of
// results, of factors, and of the sums that a second data input adds to.
void check_bf16(const OpCase& c, const AuditOptions& options, Report& report) {
  const bool fast = options.device == Device::cpu && kernels() == Kernels::fast;
  const double tolerance = fast ? c.tolerance_bf16 : 1 / 128.;
  Rng rng(options.seed);
  const OpBench bench(c, options, rng, DType::bf16);
  const Vec y = bench.forward(bench.x(), DType::f64);
  report.compare("forward bf16 against f64", "y", bench.y_shape(), bench.forward(bench.x(), DType::bf16), y,
      tolerance * max_abs(y));
  if (!bench.any_checked()) return;
  Vec dy(y.size());
  for (double& e : dy) e = double(bf16(float(rng.normal())));
  const auto dx = bench.backward(dy), half = bench.backward(dy, {.dtype = DType::bf16});
  const auto added = bench.backward(dy, {.dtype = DType::bf16, .fill = 3, .accumulate = true}),
             again = bench.backward(dy, {.dtype = DType::bf16});
  for (size_t t = 0; t < dx.size(); ++t) {
    if (!bench.checked(t)) continue;
    Vec plus3 = dx[t];
    for (double& e : plus3) e += 3;
    const auto compare = [&](const char* check, const Vec& a, const Vec& b, double tol) {
      report.compare(indexed("x", t) + " " + check, indexed("dx", t), bench.x_shape(t), a, b, tol);
    };
    compare("bf16 against f64", half[t], dx[t], tolerance * max_abs(dx[t]));
    compare("bf16 accumulates onto what is there", added[t], plus3, tolerance * max_abs(plus3));
    compare("bf16, second run bit-equal", again[t], half[t], 0);
  }
}

void audit_into(const OpCase& c, const AuditOptions& options, Report& report) {
  Rng rng(options.seed);
  const OpBench bench(c, options, rng);
  check_forward(bench, c, report);
  if (c.op->takes_bf16(0) || c.op->output(DType::f32) == DType::bf16) check_bf16(c, options, report);
  if (!bench.any_checked()) return;  // an op for inference
  for (int round = 0; round < 2; ++round) {
    Vec dy(size_t(bench.y_shape().numel()));
    for (double& e : dy) e = double(float(rng.normal()));
    const std::vector<Vec> dx = bench.backward(dy);
    for (size_t t = 0; t < dx.size(); ++t)
      if (bench.checked(t))
        check_numeric(bench, c, t, dy, dx[t], options, rng, "upstream " + std::to_string(round + 1), report);
    if (round == 0) check_contract(bench, c, dy, dx, report);
  }
}

}  // namespace

std::vector<Check> audit(const OpSpec& spec, const OpCase& c, const AuditOptions& options) {
  Report report(spec, c);
  try {
    if (spec.op != c.op->name()) report.add("the spec names its op", HUGE_VAL, c.op->name());
    // Alone: a team costs far more than it brings to tensors this small. The checks about threads ask for
    // theirs.
    with_threads(1, [&] { audit_into(c, options, report); });
  } catch (const Error& e) {
    if (e.code() == ExitCode::device) report.not_run(e.what());
    else report.add("runs without an exception", HUGE_VAL, e.what());
  } catch (const std::exception& e) {
    report.add("runs without an exception", HUGE_VAL, e.what());
  }
  return report.checks;
}

ExitCode verdict(const std::vector<Check>& checks) {
  for (const Check& c : checks)
    if (!c.ok) return ExitCode::audit;
  return checks.empty() ? ExitCode::audit : ExitCode::ok;
}

}  // namespace patchcl
