// patchcl audit dump and graph: everything one step computes, as numbers and as a picture.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <cstdlib>

#include "autograd/graph.h"
#include "tensor/file.h"
#include "train/audit/audit_commands.h"
#include "train/audit/audit_setup.h"
#include "train/setup/model_file.h"

namespace patchcl {
namespace {

// A step with all its values and gradients.
struct Recorded {
  AuditedStep audited;
  Arena arena{"dump"};
  Tape tape{arena, {.keep = true}};
  LossTerms log;
  Var total;
  explicit Recorded(const AuditSetup& setup) : audited(setup.prepare()) {
    audited.step->student().zero_grad();
    total = audited.step->record(tape, log);
    tape.backward(total);
  }
};

// "activation.017.encoder.down1.max_pool2d": place on the tape, layer, op.
std::string node_name(const Tape& tape, size_t id) {
  const Tape::Node& n = tape.nodes()[id];
  char place[8];
  std::snprintf(place, sizeof place, "%03zu", id);
  std::string name = std::string(place) + "." + (n.label.empty() ? "loss" : n.label);
  if (n.op) name += std::string(".") + n.op->name();
  for (char& c : name)
    if (c == ' ') c = '_';
  return name;
}

int dump(const AuditSetup& setup, const std::string& path) {
  Recorded r(setup);
  StepAudit& step = *r.audited.step;
  TensorFile file;
  file.metadata["what"] = r.audited.what;
  put_weights(file, step.student(), 0, "weight.");
  ParamStore gradients(step.layout(), Arena("dump"), DType::f64, /*with_grad=*/false);
  copy(step.student().grads(), gradients.values());
  TensorFile as_weights;
  put_weights(as_weights, gradients, 0, "grad.");
  for (const ParamInfo& p : step.layout().parameters())
    file.tensors["grad." + p.name] = as_weights.tensors.at("grad." + p.name);
  for (size_t id = 0; id < r.tape.nodes().size(); ++id) {
    const Tape::Node& n = r.tape.nodes()[id];
    if (n.is_parameter || !n.value) continue;
    file.tensors["activation." + node_name(r.tape, id)] = n.value;
    if (n.op && n.grad) file.tensors["activation_grad." + node_name(r.tape, id)] = n.grad;
  }
  file.tensors["loss"] = r.total.value();
  for (const auto& [name, term] : r.log.terms) file.tensors["loss." + name] = term.value();
  save_tensors(path, file);
  std::printf("%s\n%zu tensors in %s\n", r.audited.what.c_str(), file.tensors.size(), path.c_str());
  return int(ExitCode::ok);
}

int graph(const AuditSetup& setup, const std::string& path) {
  const Recorded r(setup);
  const bool svg = path.ends_with(".svg");
  const std::string dot = svg ? path + ".dot" : path;
  write_text(dot, to_dot(r.tape));
  if (svg && std::system(("dot -Tsvg '" + dot + "' -o '" + path + "'").c_str()) != 0)
    fail(ExitCode::io, "audit", "graphviz's dot could not draw ", path, "; the graph itself is in ", dot);
  std::printf("%s\n%zu nodes in %s\n", r.audited.what.c_str(), r.tape.nodes().size(), path.c_str());
  return int(ExitCode::ok);
}

std::function<int()> add(
    CLI::App& app, int (*run)(const AuditSetup&, const std::string&), const std::string& default_out) {
  auto setup = std::make_shared<AuditSetup>();
  auto out = std::make_shared<std::string>(default_out);
  setup->add(app);
  app.add_option("--out", *out, "File to write")->capture_default_str();
  return [=] {
    make_folder_of(*out);
    return run(*setup, *out);
  };
}

}  // namespace

std::function<int()> add_audit_dump(CLI::App& app) { return add(app, dump, "step.safetensors"); }
std::function<int()> add_audit_graph(CLI::App& app) { return add(app, graph, "step.dot"); }

}  // namespace patchcl
