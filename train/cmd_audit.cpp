// patchcl audit: are the gradients right, and who says so?
#include <cstdio>
#include <nlohmann/json.hpp>

#include "autograd/spec.h"
#include "tensor/device.h"
#include "train/command.h"

namespace patchcl {
namespace {

const std::map<std::string, Kernels> kKernels{{"naive", Kernels::naive}, {"direct", Kernels::direct}, {"fast", Kernels::fast}};

// All checks of one op under one choice of kernels, condensed to a line.
struct OpResult {
  std::string op, kernels;
  size_t cases = 0;
  std::vector<Check> checks;
  std::string verdict = "not run";

  // The check that decides: the first that failed with the largest error, else the one that came nearest to failing.
  const Check* worst() const {
    const Check* w = nullptr;
    const auto badness = [](const Check& c) { return std::isnan(c.error_over_tolerance) ? HUGE_VAL : c.error_over_tolerance; };
    for (const Check& c : checks)
      if (!w || (c.ok ? 0 : 1) > (w->ok ? 0 : 1) || (c.ok == w->ok && badness(c) > badness(*w))) w = &c;
    return w;
  }
};

OpResult audit_op(const OpSpec& spec, const std::string& kernels, const AuditOptions& options) {
  OpResult r{spec.op, kernels, spec.cases.size(), {}};
  set_kernels(kKernels.at(kernels));
  for (const OpCase& c : spec.cases)
    for (Check& check : audit(spec, c, options)) r.checks.push_back(std::move(check));
  const Check* w = r.worst();
  r.verdict = !w || !w->ran ? "not run" : w->ok ? "ok" : "FAILED";
  return r;
}

void print_table(const std::vector<OpResult>& results) {
  std::printf("%-20s %-7s %5s %6s  %10s  %-7s  %s\n", "op", "kernels", "cases", "checks", "error/tol", "verdict", "worst check");
  for (const OpResult& r : results) {
    const Check* w = r.worst();
    std::printf("%-20s %-7s %5zu %6zu  ", r.op.c_str(), r.kernels.c_str(), r.cases, r.checks.size());
    if (w && w->ran) std::printf("%10.3g", w->error_over_tolerance);
    else std::printf("%10s", "-");
    std::printf("  %-7s  %s\n", r.verdict.c_str(), w ? (w->label + ": " + w->check).c_str() : "");
    if (w && !w->ok) std::printf("%61s%s\n", "", w->where.c_str());
  }
}

nlohmann::json to_json(const OpResult& r) {
  nlohmann::json j{{"op", r.op}, {"kernels", r.kernels}, {"cases", r.cases}, {"checks", r.checks.size()}, {"verdict", r.verdict}};
  if (const Check* w = r.worst())  // an infinite or NaN error becomes null
    j["worst"] = {{"case", w->label}, {"check", w->check}, {"error_over_tolerance", w->error_over_tolerance}, {"where", w->where}};
  return j;
}

struct OpsOptions {
  std::vector<std::string> ops;
  std::string kernels = "fast", device = "cpu";
  uint64_t seed = 1;
  bool json = false;
};

int audit_ops(const OpsOptions& o) {
  for (const std::string& name : o.ops) {
    const auto is_it = [&](const OpSpec& s) { return s.op == name; };
    if (std::none_of(specs().begin(), specs().end(), is_it)) {
      std::string known;
      for (const OpSpec& s : specs()) known += " " + s.op;
      fail(ExitCode::usage, "audit", "no op is called '", name, "'; there are", known);
    }
  }
  AuditOptions options{.seed = o.seed, .device = o.device == "cuda" ? Device::cuda : Device::cpu};
  std::string why;
  if (options.device == Device::cuda && !cuda_available(&why)) fail(ExitCode::device, "audit", why);

  const Kernels before = kernels();
  std::vector<std::string> choices{o.kernels};
  if (o.kernels == "all") choices = {"naive", "direct", "fast"};
  std::vector<OpResult> results;
  std::vector<Check> judged;
  for (const OpSpec& s : specs()) {
    if (!o.ops.empty() && std::find(o.ops.begin(), o.ops.end(), s.op) == o.ops.end()) continue;
    for (const std::string& k : choices) {
      results.push_back(audit_op(s, k, options));
      judged.insert(judged.end(), results.back().checks.begin(), results.back().checks.end());
    }
  }
  set_kernels(before);
  const auto by_name = [](const OpResult& a, const OpResult& b) { return a.op < b.op; };
  std::stable_sort(results.begin(), results.end(), by_name);

  const ExitCode code = verdict(judged);
  if (o.json) {
    nlohmann::json j{{"seed", o.seed}, {"device", o.device}, {"verdict", code == ExitCode::ok ? "ok" : "FAILED"}};
    for (const OpResult& r : results) j["ops"].push_back(to_json(r));
    std::printf("%s\n", j.dump(2).c_str());
    return int(code);
  }
  print_table(results);
  const auto count = [&](const char* v) {
    return std::count_if(results.begin(), results.end(), [&](const OpResult& r) { return r.verdict == v; });
  };
  const size_t unasked = specs().size() - results.size() / choices.size();
  std::printf("\n%zu checks: %td ok, %td failed, %td not run", judged.size(), count("ok"), count("FAILED"), count("not run"));
  std::printf(unasked ? "; %zu further ops not run because they were not asked for\n" : "\n", unasked);
  return int(code);
}

AddCommand command{{
    .order = 60,
    .name = "audit",
    .help = "Check gradients: numeric against analytic, op by op",
    .examples = "Examples:\n"
                "  patchcl audit ops                      every op, f64 and f32, against central differences\n"
                "  patchcl audit ops conv2d --kernels all one op, all of its CPU kernels\n"
                "  patchcl audit ops --json               the same as JSON\n"
                "Exit code 7 when a check fails or did not run.",
    .add = [](CLI::App& app) -> std::function<int()> {
      app.require_subcommand(1);
      auto chosen = std::make_shared<std::function<int()>>();

      auto ops = std::make_shared<OpsOptions>();
      CLI::App* sub = app.add_subcommand("ops", "The gradient battery over every op");
      sub->add_option("op", ops->ops, "Only these ops");
      sub->add_option("--kernels", ops->kernels, "CPU kernels under test")->check(CLI::IsMember({"naive", "direct", "fast", "all"}))->capture_default_str();
      sub->add_option("--device", ops->device, "Where the ops run")->check(CLI::IsMember({"cpu", "cuda"}))->capture_default_str();
      sub->add_option("--seed", ops->seed, "Of inputs and upstream gradients")->capture_default_str();
      sub->add_flag("--json", ops->json, "Print JSON instead of a table");
      sub->callback([=] { *chosen = [=] { return audit_ops(*ops); }; });

      return [chosen] { return (*chosen)(); };
    },
}};

}  // namespace
}  // namespace patchcl
