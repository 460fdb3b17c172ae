#include "autograd/graph.h"

#include <cmath>
#include <cstdio>
#include <map>

namespace patchcl {
namespace {

std::string number(double v) {
  char s[32];
  std::snprintf(s, sizeof s, "%.3g", v);
  return s;
}

std::string norm(const char* what, const Tensor& t) {
  if (!t || t.device() != Device::cpu || (t.dtype() != DType::f32 && t.dtype() != DType::f64)) return {};
  double sum = 0;
  dispatch(t.dtype(), [&](auto zero) {
    const auto* p = t.data<decltype(zero)>();
    for (int64_t i = 0; i < t.numel(); ++i) sum += double(p[i]) * double(p[i]);
  });
  return std::string("  ") + what + "=" + number(std::sqrt(sum));
}

std::string escaped(const std::string& s) {
  std::string out;
  for (char c : s) {
    if (c == '"' || c == '\\') out += '\\';
    if (c == '\n') out += "\\n";
    else out += c;
  }
  return out;
}

std::string quantities(const Tape::Node& n) {
  return n.shape.str() + norm("|y|", n.value) + norm("|dy|", n.grad);
}

std::string box(const Tape& tape, const Tape::Node& n) {
  std::string text = std::string(n.op->name()) + "  " + quantities(n);
  for (int i : n.inputs) {
    const Tape::Node& in = tape.nodes()[size_t(i)];
    if (in.is_parameter) text += "\n" + in.label + "  " + quantities(in);
  }
  return text + "\n" + n.loc.file_name() + ":" + std::to_string(n.loc.line());
}

}  // namespace

std::string to_dot(const Tape& tape) {
  std::map<std::string, std::string> layers;  // ops of each layer
  std::string constants, edges;
  std::vector<bool> read(tape.nodes().size());
  for (const Tape::Node& n : tape.nodes())
    for (int i : n.inputs) read[size_t(i)] = true;
  for (size_t id = 0; id < tape.nodes().size(); ++id) {
    const Tape::Node& n = tape.nodes()[id];
    const std::string name = std::string("n") + std::to_string(id);
    if (n.op) {
      const char* style = n.requires_grad ? "" : ", color=grey60, fontcolor=grey40";
      layers[n.label] += std::string("    ") + name + " [shape=box, label=\"" + escaped(box(tape, n)) + "\"" +
                         style + "];\n";
    } else if (!n.is_parameter && read[id]) {
      constants += std::string("  ") + name + " [shape=octagon, style=filled, fillcolor=mistyrose, label=\"" +
                   escaped(n.label + "  " + quantities(n) + "\nno gradient") + "\"];\n";
    }
    for (int i : n.inputs) {
      const Tape::Node& in = tape.nodes()[size_t(i)];
      if (!in.is_parameter)
        edges += std::string("  n") + std::to_string(i) + " -> " + name +
                 (in.requires_grad ? "" : " [style=dashed, color=grey60]") + ";\n";
    }
  }
  std::string dot =
      "digraph tape {\n  node [fontname=\"Helvetica\", fontsize=10];\n  graph [fontname=\"Helvetica\", "
      "fontsize=11, color=grey70];\n";
  int cluster = 0;
  for (const auto& [layer, ops] : layers)
    dot += layer.empty() ? ops
                         : "  subgraph cluster" + std::to_string(cluster++) + " {\n    label=\"" +
                               escaped(layer) + "\";\n" + ops + "  }\n";
  return dot + constants + edges + "}\n";
}

}  // namespace patchcl
