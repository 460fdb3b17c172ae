// patchcl audit: are the gradients right, and who says so?
#include "train/audit/audit_commands.h"
#include "train/commands/command.h"

namespace patchcl {
namespace {

AddCommand command{{
    .order = 60,
    .name = "audit",
    .help = "Check gradients: numeric against analytic, op by op and for whole losses",
    .examples = "Examples:\n"
                "  patchcl audit ops                              every op, f64 and f32, against central "
                "differences\n"
                "  patchcl audit ops conv2d --kernels all         one op, all of its CPU kernels\n"
                "  patchcl audit model --html audit.html          the PatchCL loss on a batch, with figures\n"
                "  patchcl audit run runs/acdc7                   the next step of a run, with its weights, "
                "queues and batch\n"
                "  patchcl audit dump --out step.safetensors      everything a step computes, to compare "
                "with other programs\n"
                "  patchcl audit graph --out step.svg             its tape as a picture (DOT, or SVG where "
                "graphviz is installed)\n"
                "Exit code 7 when a check fails or did not run.",
    .add = [](CLI::App& app) -> std::function<int()> {
      return add_sub_commands(app,
          {
              {"ops", "The gradient battery over every op", add_audit_ops},
              {"model", "A whole training loss: numeric against analytic for every parameter tensor",
                  add_audit_model},
              {"run", "The same for the step that follows a run's checkpoint", add_audit_run},
              {"dump", "Loss terms, activations and gradients of one step as safetensors", add_audit_dump},
              {"graph", "The tape of one step as a picture", add_audit_graph},
          });
    },
}};

}  // namespace
}  // namespace patchcl
