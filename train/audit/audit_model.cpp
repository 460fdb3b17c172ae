// patchcl audit model, patchcl audit run: a whole training loss in f64, every parameter tensor numeric
// against analytic, and what each loss term contributes to the gradient of each layer. Of a method with
// phases a step of each.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>

#include "tensor/file.h"
#include "train/audit/audit_commands.h"
#include "train/audit/audit_setup.h"
#include "train/evaluate/html.h"
#include "train/evaluate/progress.h"
#include "train/audit/parameter_audit.h"
#include "train/audit/run_audit.h"
#include "train/audit/term_report.h"

namespace patchcl {
namespace {

struct ReportOptions {
  ParameterAuditOptions audit{.entries = 1};
  bool json = false;
  std::string html;

  void add(CLI::App& app) {
    app.add_option("--entries", audit.entries, "Entries probed per tensor, its largest gradient first")
        ->capture_default_str();
    app.add_option("--directions", audit.directions, "Gaussian directions probed per tensor")
        ->capture_default_str();
    app.add_option("--tensors", audit.tensors, "Only so many tensors, drawn at random; 0: all")
        ->capture_default_str();
    app.add_flag("--json", json, "Print JSON instead of tables");
    app.add_option("--html", html, "Write a page with figures to this file");
  }
};

struct ModelReport {
  std::string what;
  double loss = 0, seconds = 0;
  std::vector<ParameterCheck> checks;
  TermsReport terms;
  int count(const std::string& verdict) const {
    return int(std::count_if(
        checks.begin(), checks.end(), [&](const ParameterCheck& c) { return c.verdict() == verdict; }));
  }
  const char* verdict() const { return patchcl::verdict(checks) == ExitCode::ok ? "ok" : "FAILED"; }
  int kinks() const {
    int n = 0;
    for (const ParameterCheck& c : checks) n += c.kinks;
    return n;
  }
};

void print(const ModelReport& r) {
  std::printf("%s\nloss %.9g\n\n", r.what.c_str(), r.loss);
  std::printf("%-50s %-14s %10s %10s %7s %5s  %s\n", "parameter", "shape", "|gradient|", "error/tol",
      "probes", "kinks", "verdict");
  for (const ParameterCheck& c : r.checks) {
    std::printf("%-50s %-14s %10.3g %10.3g %7d %5d  %s\n", c.name.c_str(), c.shape.str().c_str(), c.norm,
        c.error_over_tolerance, c.judged, c.kinks, c.verdict().c_str());
    if (!c.ok()) std::printf("    %s\n", c.where.c_str());
  }
  std::printf(
      "\n%-20s %12s %12s   norm of the weighted gradient and cosine to the supervised one, by layer\n",
      "term", "value", "weight");
  for (const TermReport& t : r.terms.terms) {
    std::printf("%-20s %12.6g %12.6g\n", t.name.c_str(), t.value, t.weight);
    for (size_t k = 0; k < r.terms.layers.size(); ++k)
      if (t.layers[k].norm > 0) {
        std::printf("    %-24s %10.3g", r.terms.layers[k].c_str(), t.layers[k].norm);
        if (std::isnan(t.layers[k].cosine)) std::printf("       -\n");
        else std::printf("  %+6.3f\n", t.layers[k].cosine);
      }
  }
  std::printf(
      "\n%zu tensors: %d ok, %d ok (zero), %d failed, %d kinks only; %d probes at kinks left out; %.0f s\n",
      r.checks.size(), r.count("ok"), r.count("ok (zero)"), r.count("FAILED"), r.count("kinks only"),
      r.kinks(), r.seconds);
}

nlohmann::json to_json(const ModelReport& r) {
  nlohmann::json j{{"what", r.what}, {"loss", r.loss}, {"seconds", r.seconds}, {"verdict", r.verdict()}};
  for (const ParameterCheck& c : r.checks)
    j["parameters"].push_back({{"name", c.name}, {"shape", c.shape.str()}, {"gradient_norm", c.norm},
        {"error_over_tolerance", c.error_over_tolerance}, {"probes", c.judged}, {"kinks", c.kinks},
        {"verdict", c.verdict()}, {"where", c.where}});
  for (const TermReport& t : r.terms.terms) {
    nlohmann::json layers;
    for (size_t k = 0; k < r.terms.layers.size(); ++k)
      layers[r.terms.layers[k]] = {{"norm", t.layers[k].norm}, {"cosine_to_supervised", t.layers[k].cosine}};
    j["terms"].push_back({{"name", t.name}, {"value", t.value}, {"weight", t.weight}, {"layers", layers}});
  }
  return j;
}

std::vector<double> values(const Tensor& t) { return {t.data<double>(), t.data<double>() + t.numel()}; }

void add_to_page(html::Page& page, const ModelReport& r, const AuditedStep& audited) {
  page.paragraph(r.what + ". Loss " + std::to_string(r.loss) + ".");
  page.paragraph(std::string("Verdict: ") + r.verdict() + ", " + std::to_string(r.checks.size()) +
                 " parameter tensors; " + std::to_string(r.kinks()) +
                 " probes sat at kinks of the network and were left out.");

  page.heading("Does the analytic gradient agree with differences of the loss?");
  std::vector<std::string> names;
  html::Series error{"error over tolerance", {}};
  for (const ParameterCheck& c : r.checks) {
    names.push_back(c.name);
    error.values.push_back(c.error_over_tolerance);
  }
  page.figure(html::bars(names, {error}, {.limit = 1}),
      "Worst probe of each tensor over its tolerance, worst first; beyond the dashed line it fails.");

  page.heading("Which loss term moves which layer?");
  add_term_figures(page, r.terms);

  if (!audited.history.empty()) {
    page.heading("How did the gradients develop?");
    std::vector<html::Series> curves;
    for (size_t k = 0; k < audited.history[0].size(); ++k) {
      curves.push_back({audited.history[0][k].layer, {}});
      for (const auto& step : audited.history) curves.back().values.push_back(step[k].norm);
    }
    page.figure(html::curves(curves, "step"), "Norm of the gradient by layer over the steps that led here.");
  }

  page.heading("Parameters");
  std::vector<std::vector<std::string>> rows;
  StepAudit& step = *audited.step;
  const auto& infos = step.layout().parameters();
  for (size_t i = 0; i < infos.size(); ++i) {
    const auto check = std::find_if(
        r.checks.begin(), r.checks.end(), [&](const ParameterCheck& c) { return c.name == infos[i].name; });
    if (check == r.checks.end()) continue;
    rows.push_back({in_markup(infos[i].name), infos[i].shape.str(),
        html::histogram(values(step.student().value(int(i)))),
        html::histogram(values(step.student().grad(int(i)))),
        check->ok() ? check->verdict() : "<span class=\"bad\">" + check->verdict() + "</span>",
        in_markup(check->where)});
  }
  page.table({"parameter", "shape", "values", "gradient", "verdict", "worst probe"}, rows);
}

// Shows what is done of what turns out to be how many.
std::function<void(size_t, size_t)> shown(const char* item) {
  const auto line = std::make_shared<ProgressLine>(1, ProgressLine::Options{.item = item, .out = stderr});
  return [line](size_t done, size_t all) {
    line->expect(int64_t(all));
    line->update(int64_t(done));
  };
}

ModelReport audit(const AuditedStep& audited, const ReportOptions& o) {
  const auto start = std::chrono::steady_clock::now();
  StepAudit& step = *audited.step;
  ModelReport r;
  r.what = audited.what;
  r.terms = report_terms(step.layout(), step.terms(shown("pass")));
  r.loss = step.gradient();
  ParameterAuditOptions options = o.audit;
  options.progress = shown("tensor");
  r.checks = audit_parameters(
      step.student(), [&] { return step.loss(); }, options);
  options.progress = {};  // ends its line
  r.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return r;
}

// What several audited steps gave, as tables, JSON and a page.
class AuditReport {
 public:
  explicit AuditReport(const ReportOptions& options) : options_(options) {
    if (!options.html.empty()) make_folder_of(options.html);
  }
  void add(const AuditedStep& audited) {
    const ModelReport r = audit(audited, options_);
    if (patchcl::verdict(r.checks) != ExitCode::ok) code_ = patchcl::verdict(r.checks);
    add_to_page(page_, r, audited);
    if (options_.json) json_["steps"].push_back(to_json(r));
    else print(r);
  }
  // The exit code.
  int finish() const {
    if (!options_.html.empty()) page_.save(options_.html);
    if (options_.json) std::printf("%s\n", json_.dump(2).c_str());
    return int(code_);
  }

 private:
  const ReportOptions& options_;
  html::Page page_{"Gradient audit of a training step"};
  nlohmann::json json_;
  ExitCode code_ = ExitCode::ok;
};

// The step that --phase asks for, or one of each phase.
int audit_phases(AuditSetup setup, const ReportOptions& options) {
  AuditReport report(options);
  const bool each = setup.phase == 0;
  int64_t last = std::max<int64_t>(setup.phase, 1);
  for (setup.phase = last; setup.phase <= last; ++setup.phase) {
    const AuditedStep step = setup.prepare();
    if (each) last = int64_t(step.phases);
    report.add(step);
  }
  return report.finish();
}

}  // namespace

std::function<int()> add_audit_model(CLI::App& app) {
  struct Options {
    AuditSetup setup;
    ReportOptions report;
  };
  auto o = std::make_shared<Options>();
  o->setup.add(app);
  o->report.add(app);
  return [o] { return audit_phases(o->setup, o->report); };
}

std::function<int()> add_audit_run(CLI::App& app) {
  struct Options {
    std::string run, data;
    ReportOptions report;
  };
  auto o = std::make_shared<Options>();
  app.add_option("run", o->run, "Run folder, or a checkpoint in it")->required();
  app.add_option("--data", o->data, "Where the run's data lies now; default: where it lay");
  o->report.add(app);
  return [o] {
    AuditReport report(o->report);
    report.add(prepare_run(o->run, o->data));
    return report.finish();
  };
}

}  // namespace patchcl
