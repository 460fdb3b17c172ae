#include "train/audit/step_page.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <nlohmann/json.hpp>

#include "data/resize.h"
#include "tensor/file.h"
#include "train/audit/step_page_script.h"
#include "train/audit/term_report.h"
#include "train/evaluate/html.h"
#include "train/methods/patch_page.h"
#include "train/methods/patch_regions.h"
#include "train/methods/patch_sheet.h"

namespace patchcl {

namespace {

using nlohmann::ordered_json;
constexpr int64_t kMapSide = 64;  // of the pictures of values and gradients, at most

// What a term of the loss is, by the op that made it or by its name; where it is told, where it is computed.
struct TermText {
  const char *of, *formula, *section, *source;
};
constexpr TermText kTerms[] = {
    {"cross_entropy", "-mean_m log p(y(m))", "4.4", "losses/cross_entropy.h"},
    {"dice", "mean_k [1 - 2 sum p y / (sum p^2 + sum y^2)]", "4.4", "losses/dice.h"},
    {"mean_squared_error", "mean (p - p')^2, p' the teacher's", "4.4", "losses/consistency.h"},
    {"guided_contrastive", "mean_t [-<t,mu_i>/tau + log(e^a_i + psi/K sum_j e^d_ij)]", "1.7",
        "losses/guided_contrastive.h"},
    {"info_nce", "-mean_t log( e^{<t,k>/tau} / (e^{<t,k>/tau} + sum_n e^{<t,n>/tau}) )", "1.11",
        "losses/info_nce.h"},
    {"pixel_contrast", "supervised contrast of pixels", "2.3", "losses/pixel_contrast.h"},
    {"affinity_contrast", "patches of one foreground ratio are alike", "3.2", "losses/affinity_contrast.h"},
    {term::strong, "cross-entropy and Dice against pseudo-labels", "7.5", "train/methods/unimatch.cpp"},
    {term::perturbed, "the same of perturbed features", "7.5", "train/methods/unimatch.cpp"},
    {term::pdcr, "patches of one foreground ratio are alike", "3.2", "losses/affinity_contrast.h"},
};

TermText text_of(const std::string& op, const std::string& name) {
  for (const TermText& t : kTerms)
    if (op == t.of || name.starts_with(t.of)) return t;
  return {"", "", "", ""};
}

std::string number(double v) {
  char s[32];
  std::snprintf(s, sizeof s, "%.6g", v);
  return s;
}

// A file of the sources, as a link where they are at hand.
std::string link(const StepPage& page, const std::string& file, const std::string& shown) {
  if (page.sources.empty() || file.empty()) return in_markup(shown);
  return "<a href=\"file://" + in_markup(page.sources + "/" + file) + "\">" + in_markup(shown) + "</a>";
}

double root_mean_square(const Tensor& t) {
  const double* x = t.data<double>();
  double sum = 0;
  for (int64_t i = 0; i < t.numel(); ++i) sum += x[i] * x[i];
  return std::sqrt(sum / double(std::max<int64_t>(t.numel(), 1)));
}

// Root mean square over the channels of each image of a map (N,H,W,C), no larger than kMapSide, as bytes of 0
// to the largest of all.
ordered_json map_of(const Tensor& t) {
  const Shape& s = t.shape();
  const int64_t n = s[0], h = std::min(s[1], kMapSide), w = std::min(s[2], kMapSide), c = s[3];
  const std::vector<int64_t> rows = zoom_index(s[1], h), columns = zoom_index(s[2], w);
  std::vector<double> size;
  for (int64_t i = 0; i < n; ++i)
    for (const int64_t y : rows)
      for (const int64_t x : columns) {
        const double* at = t.data<double>() + ((i * s[1] + y) * s[2] + x) * c;
        double sum = 0;
        for (int64_t k = 0; k < c; ++k) sum += at[k] * at[k];
        size.push_back(std::sqrt(sum / double(c)));
      }
  const double most = *std::max_element(size.begin(), size.end());
  std::vector<uint8_t> bytes;
  for (const double v : size) bytes.push_back(most > 0 ? uint8_t(std::lround(255 * v / most)) : 0);
  return {
      {"n", n}, {"height", h}, {"width", w}, {"most", most}, {"values", base64(bytes.data(), bytes.size())}};
}

bool is_map(const Tape::Node& n) {
  return n.dtype == DType::f64 && n.shape.rank() == 4 && n.shape[1] > 1 && n.shape[2] > 1;
}

// The path of a source within the sources, as the compiler was given it.
std::string place_of(const Loc& loc) {
  std::string file = loc.file_name();
  if (file.starts_with("./")) file.erase(0, 2);
  return file + ":" + std::to_string(loc.line());
}

// The ops that a gradient reached, from the loss back to the first layer.
ordered_json backward_ops(const Tape& tape) {
  ordered_json ops = ordered_json::array();
  for (size_t i = tape.nodes().size(); i-- > 0;) {
    const Tape::Node& n = tape.nodes()[i];
    if (!n.op || !n.grad || n.dtype != DType::f64) continue;
    ordered_json op{{"id", i}, {"op", n.op->name()}, {"layer", n.label}, {"shape", n.shape.str()},
        {"at", place_of(n.loc)}, {"value", root_mean_square(n.value)},
        {"gradient", root_mean_square(n.grad)}};
    for (const int in : n.inputs) {
      const Tape::Node& p = tape.nodes()[size_t(in)];
      if (p.is_parameter)
        op["parameters"].push_back({{"name", p.label}, {"gradient", root_mean_square(p.grad)}});
    }
    if (is_map(n)) {
      op["value_map"] = map_of(n.value);
      op["gradient_map"] = map_of(n.grad);
    }
    ops.push_back(op);
  }
  return ops;
}

// Anchors of the contrast and the means of their classes, on the two directions of their largest variance.
ordered_json embeddings(const Tape& tape) {
  ordered_json points = ordered_json::array();
  for (const Tape::Node& n : tape.nodes()) {
    if (!n.op || std::strcmp(n.op->name(), "guided_contrastive") != 0) continue;
    const auto input = [&](size_t i) -> const Tensor& { return tape.nodes()[size_t(n.inputs[i])].value; };
    const Tensor &t = input(0), &classes = input(1), &means = input(2);
    const int64_t count = t.shape()[0], K = means.shape()[0], D = t.shape()[1];
    Eigen::MatrixXd all(D, count + K);
    for (int64_t i = 0; i < count + K; ++i) {
      const double* row = i < count ? t.data<double>() + i * D : means.data<double>() + (i - count) * D;
      all.col(i) = Eigen::Map<const Eigen::VectorXd>(row, D);
    }
    const Eigen::MatrixXd flat = principal_components(all);
    for (int64_t i = 0; i < count + K; ++i) {
      ordered_json point{{"x", flat(0, i)}, {"y", flat(1, i)}, {"mean", i >= count},
          {"label", i < count ? classes.data<int32_t>()[i] : int32_t(i - count)}};
      for (int64_t k = 0; k < K; ++k)
        point["cosines"].push_back(
            all.col(i).dot(all.col(count + k)) / (all.col(i).norm() * all.col(count + k).norm() + 1e-300));
      points.push_back(point);
    }
  }
  return points;
}

// `ops`: the op that made each term.
void add_terms(html::Page& out, const StepPage& page, const TermsReport& report,
    const std::vector<std::string>& ops, double loss) {
  out.heading("What the loss is made of");
  std::vector<std::vector<std::string>> rows;
  double sum = 0;
  for (size_t i = 0; i < report.terms.size(); ++i) {
    const TermReport& t = report.terms[i];
    const TermText text = text_of(ops[i], t.name);
    const std::string section = std::string("docs/methods.md ") + text.section;
    rows.push_back({in_markup(t.name), in_markup(text.formula), number(t.value), number(t.weight),
        number(t.value * t.weight), *text.section ? link(page, "docs/methods.md", section) : "",
        link(page, text.source, text.source)});
    sum += t.value * t.weight;
  }
  rows.push_back({"<b>sum</b>", "", "", "", "<b>" + number(sum) + "</b>", "", ""});
  out.table({"term", "formula", "value", "weight", "contribution", "told in", "computed in"}, rows);
  out.paragraph("The weight is dL/d(term), read off the tape. The step's loss: " + number(loss));
  add_term_figures(out, report);
}

std::vector<std::string> image_names(const Batch& batch) {
  std::vector<std::string> names;
  for (size_t i = 0; i < batch.ids.size(); ++i)
    names.push_back(
        std::to_string(i) + (int64_t(i) < batch.labeled ? " labelled " : " unlabelled ") + batch.ids[i]);
  return names;
}

}  // namespace

void write_step_page(StepAudit& step, const StepPage& page, const std::string& path) {
  html::Page out("One step, explained");
  out.paragraph(page.what);
  const TrainState& state = step.learner().state();
  if (const auto w = step.method().windows(state, step.batch())) {
    out.heading("What the step sees, and where it looks");
    std::vector<std::string> names = image_names(step.batch());
    names.resize(size_t(w->seen.batch.n));
    out.raw(patch_widget(w->seen.batch, w->options, w->drawn.positive, page.class_names, names));
  }
  const TermsReport report = report_terms(step.layout(), step.terms());
  const Arena arena("explain");
  Tape tape(arena, {.keep = true});
  LossTerms log;
  const Var total = step.record(tape, log);
  step.student().zero_grad();
  tape.backward(total);
  const ordered_json points = embeddings(tape);
  if (!points.empty()) {
    out.heading("Where the windows lie as embeddings");
    const ordered_json data{{"points", points}, {"names", page.class_names}};
    out.raw(kEmbeddingMarkup + html::script("data", data, kEmbeddingScript));
  }
  std::vector<std::string> made_by;
  for (const auto& [name, term] : log.terms) {
    const Tape::Node& node = tape.nodes()[size_t(term.id())];
    made_by.push_back(node.op ? node.op->name() : "");
  }
  add_terms(out, page, report, made_by, total.value().item());
  out.heading("The gradient flows back");
  const ordered_json data{{"ops", backward_ops(tape)}, {"sources", page.sources}};
  out.raw(kBackwardMarkup + html::script("data", data, kBackwardScript));
  out.save(path);
}

}  // namespace patchcl
