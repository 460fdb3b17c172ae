// patchcl audit ops: the gradient battery over every op, as a table, JSON or a page.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "autograd/spec.h"
#include "tensor/device.h"
#include "tensor/file.h"
#include "train/audit/audit_commands.h"
#include "train/evaluate/html.h"
#include "train/setup/config.h"

namespace patchcl {
namespace {

// All checks of one op under one choice of kernels, condensed to a line.
struct OpResult {
  std::string op, kernels;
  size_t cases = 0;
  std::vector<Check> checks;
  std::string verdict = "not run";

  // The check that decides: the first that failed with the largest error, else the one that came nearest to
  // failing.
  const Check* worst() const {
    const Check* w = nullptr;
    const auto badness = [](const Check& c) {
      return std::isnan(c.error_over_tolerance) ? HUGE_VAL : c.error_over_tolerance;
    };
    for (const Check& c : checks)
      if (!w || (c.ok ? 0 : 1) > (w->ok ? 0 : 1) || (c.ok == w->ok && badness(c) > badness(*w))) w = &c;
    return w;
  }
};

OpResult audit_op(const OpSpec& spec, const std::string& kernels, const AuditOptions& options) {
  OpResult r{spec.op, kernels, spec.cases.size(), {}};
  set_kernels(parse_kernels(kernels));
  for (const OpCase& c : spec.cases)
    for (Check& check : audit(spec, c, options)) r.checks.push_back(std::move(check));
  const Check* w = r.worst();
  if (w && w->ran) r.verdict = w->ok ? "ok" : "FAILED";
  return r;
}

void print_table(const std::vector<OpResult>& results) {
  std::printf("%-20s %-7s %5s %6s  %10s  %-7s  %s\n", "op", "kernels", "cases", "checks", "error/tol",
      "verdict", "worst check");
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
  nlohmann::json j{{"op", r.op}, {"kernels", r.kernels}, {"cases", r.cases}, {"checks", r.checks.size()},
      {"verdict", r.verdict}};
  if (const Check* w = r.worst())  // an infinite or NaN error becomes null
    j["worst"] = {{"case", w->label}, {"check", w->check}, {"error_over_tolerance", w->error_over_tolerance},
        {"where", w->where}};
  return j;
}

struct OpsOptions {
  std::vector<std::string> ops;
  std::string kernels = "fast";
  DeviceChoice device = DeviceChoice::cpu;
  uint64_t seed = 1;
  bool json = false;
  std::string html;
};

void save_page(const std::vector<OpResult>& results, const std::string& path) {
  html::Page page("Gradient battery");
  page.paragraph(
      "Each op in f64 against central differences and an independent reference, in f32 against f64, with "
      "poisoned memory, "
      "accumulating, for one and three threads. The worst error of an op over its tolerance is below 1, or "
      "the op is wrong.");
  std::vector<std::string> labels;
  html::Series error{"worst error over tolerance", {}};
  std::vector<std::vector<std::string>> rows;
  for (const OpResult& r : results) {
    const Check* w = r.worst();
    labels.push_back(r.op + (r.kernels == "fast" ? "" : " " + r.kernels));
    error.values.push_back(w ? w->error_over_tolerance : 0);
    const std::string mark = r.verdict == "ok" ? "ok" : "<span class=\"bad\">" + r.verdict + "</span>";
    rows.push_back({in_markup(r.op), r.kernels, std::to_string(r.cases), std::to_string(r.checks.size()),
        mark, w ? in_markup(w->label + ": " + w->check + " " + w->where) : ""});
  }
  page.figure(html::bars(labels, {error}, {.limit = 1}),
      "Error over tolerance by op; the dashed line is where an op fails.");
  page.table({"op", "kernels", "cases", "checks", "verdict", "worst check"}, rows);
  page.save(path);
}

int audit_ops(const OpsOptions& o) {
  for (const std::string& name : o.ops) {
    const auto is_it = [&](const OpSpec& s) { return s.op == name; };
    if (std::none_of(specs().begin(), specs().end(), is_it)) {
      std::string known;
      for (const OpSpec& s : specs()) known += " " + s.op;
      fail(ExitCode::usage, "audit", "no op is called '", name, "'; there are", known);
    }
  }
  const AuditOptions options{.seed = o.seed, .device = device_of(o.device)};

  const Kernels before = kernels();
  std::vector<std::string> choices{o.kernels};
  if (o.kernels == "all") choices = kernel_names();
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
  if (!o.html.empty()) save_page(results, o.html);
  if (o.json) {
    nlohmann::json j{{"seed", o.seed}, {"device", options.device == Device::cuda ? "cuda" : "cpu"},
        {"verdict", code == ExitCode::ok ? "ok" : "FAILED"}};
    for (const OpResult& r : results) j["ops"].push_back(to_json(r));
    std::printf("%s\n", j.dump(2).c_str());
    return int(code);
  }
  print_table(results);
  const auto count = [&](const char* v) {
    return std::count_if(results.begin(), results.end(), [&](const OpResult& r) { return r.verdict == v; });
  };
  const size_t unasked = specs().size() - results.size() / choices.size();
  std::printf("\n%zu checks: %td ok, %td failed, %td not run", judged.size(), count("ok"), count("FAILED"),
      count("not run"));
  std::printf(unasked ? "; %zu further ops not run because they were not asked for\n" : "\n", unasked);
  return int(code);
}

}  // namespace

std::function<int()> add_audit_ops(CLI::App& app) {
  auto o = std::make_shared<OpsOptions>();
  std::vector<std::string> choices = kernel_names();
  choices.push_back("all");
  app.add_option("op", o->ops, "Only these ops");
  app.add_option("--kernels", o->kernels, "CPU kernels under test")
      ->check(CLI::IsMember(choices))
      ->capture_default_str();
  OptionList list;
  list.choose("device", o->device, kDeviceNames, "Where the ops run");
  list.declare_to(app);
  app.add_option("--seed", o->seed, "Of inputs and upstream gradients")->capture_default_str();
  app.add_flag("--json", o->json, "Print JSON instead of a table");
  app.add_option("--html", o->html, "Write a page with figures to this file");
  return [o] { return audit_ops(*o); };
}

}  // namespace patchcl
