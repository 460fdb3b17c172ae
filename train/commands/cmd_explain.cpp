// patchcl explain: one training step as a page to click through.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <filesystem>

#include "tensor/file.h"
#include "train/audit/run_audit.h"
#include "train/audit/step_page.h"
#include "train/commands/command.h"
#include "train/commands/walkthrough_step.h"

namespace patchcl {
namespace {

namespace fs = std::filesystem;

struct ExplainFlags {
  std::string what, data, html = "step.html";
};

// The folder above this program that holds docs/methods.md; empty where it was installed without sources.
std::string sources() {
  std::error_code none;
  for (fs::path at = fs::read_symlink("/proc/self/exe", none); at.has_relative_path(); at = at.parent_path())
    if (fs::exists(at / "docs/methods.md")) return at.string();
  return {};
}

AuditedStep step_of(const ExplainFlags& flags) {
  if (flags.what != "walkthrough") return prepare_run(flags.what, flags.data);
  AuditedStep example;
  example.step = walkthrough_step();
  example.what = "The step of docs/walkthrough.md: patchcl on a labelled and an unlabelled image of 8x8";
  example.class_names = {"background", "square"};
  return example;
}

AddCommand explain_command{
    {48, "explain", "Write a page that shows one training step: windows, terms, gradient",
        "Examples:\n"
        "  patchcl explain walkthrough                      the 8x8 example of docs/walkthrough.md, in "
        "step.html\n"
        "  patchcl explain runs/acdc7 --html acdc7.html     the step that follows a run's last checkpoint\n"
        "The page needs nothing but a browser; its numbers are those of the step, computed in f64.",
        [](CLI::App& app) -> std::function<int()> {
          auto flags = std::make_shared<ExplainFlags>();
          app.add_option("step", flags->what, "A run folder, a checkpoint in it, or walkthrough")->required();
          app.add_option("--data", flags->data, "Where the run's data lies now; default: where it lay");
          app.add_option("--html", flags->html, "Page to write")->capture_default_str();
          return [flags] {
            make_folder_of(flags->html);
            AuditedStep audited = step_of(*flags);
            write_step_page(*audited.step, {audited.what, audited.class_names, sources()}, flags->html);
            std::printf("%s\nwrote %s\n", audited.what.c_str(), flags->html.c_str());
            return int(ExitCode::ok);
          };
        }}};

}  // namespace
}  // namespace patchcl
