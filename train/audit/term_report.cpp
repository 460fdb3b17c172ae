#include "train/audit/term_report.h"

#include <cmath>

namespace patchcl {

namespace {
// The weighted gradient of the terms of the supervised loss, flat.
Tensor supervised_gradient(const ParamLayout& layout, const std::vector<TermGradient>& terms) {
  const Tensor sum = Arena("gradients").zeros({layout.flat_size()}, DType::f64);
  for (const TermGradient& t : terms) {
    if (t.name != term::ce && t.name != term::dice) continue;
    for (int64_t i = 0; i < sum.numel(); ++i)
      sum.data<double>()[i] += t.weight * t.gradient.data<double>()[i];
  }
  return sum;
}
}  // namespace

TermsReport report_terms(const ParamLayout& layout, const std::vector<TermGradient>& terms) {
  const Tensor sum = supervised_gradient(layout, terms);
  const double* const direction = sum.data<double>();
  TermsReport report;
  std::vector<std::string>& layers = report.layers;
  for (const TermGradient& t : terms) {
    TermReport r{t.name, t.value, t.weight, {}};
    std::vector<double> squares, products, reference;
    layers.clear();
    for (const ParamInfo& p : layout.parameters()) {
      if (layers.empty() || layers.back() != layer_of(p.name)) {
        layers.push_back(layer_of(p.name));
        squares.push_back(0);
        products.push_back(0);
        reference.push_back(0);
      }
      for (int64_t i = p.offset; i < p.offset + p.shape.numel(); ++i) {
        const double g = t.weight * t.gradient.data<double>()[i];
        squares.back() += g * g;
        products.back() += g * direction[i];
        reference.back() += direction[i] * direction[i];
      }
    }
    for (size_t k = 0; k < layers.size(); ++k)
      r.layers.push_back({std::sqrt(squares[k]),
          products[k] / std::sqrt(squares[k] * reference[k])});  // NaN: nothing to compare
    report.terms.push_back(std::move(r));
  }
  return report;
}

SharedGradients shared_gradients(StepAudit& step) {
  const std::vector<TermGradient> terms = step.terms();
  std::vector<LayerNorm> contrast;
  for (const TermGradient& t : terms)
    if (t.name == term::contrast) contrast = norms_by_layer(step.layout(), t.gradient);
  const std::vector<LayerNorm> reference =
      norms_by_layer(step.layout(), supervised_gradient(step.layout(), terms));
  SharedGradients norms;
  for (size_t k = 0; k < contrast.size(); ++k) {
    if (contrast[k].norm == 0 || reference[k].norm == 0) continue;
    norms.contrast = std::hypot(norms.contrast, contrast[k].norm);
    norms.supervised = std::hypot(norms.supervised, reference[k].norm);
  }
  return norms;
}

void add_term_figures(html::Page& page, const TermsReport& report) {
  std::vector<html::Series> norms, cosines;
  for (const TermReport& t : report.terms) {
    norms.push_back({t.name, {}});
    cosines.push_back({t.name, {}});
    for (const Contribution& c : t.layers) {
      norms.back().values.push_back(c.norm);
      cosines.back().values.push_back(c.cosine);
    }
  }
  page.figure(html::bars(report.layers, norms), "Norm of each term's weighted gradient by layer.");
  page.figure(html::heat(report.layers, cosines),
      "Cosine of each term's gradient to the supervised one: along it (blue) a term helps, against it (red) "
      "it fights.");
}

}  // namespace patchcl
