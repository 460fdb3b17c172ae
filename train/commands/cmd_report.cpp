// patchcl report: a run folder as a page for a browser.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <memory>

#include "train/commands/command.h"
#include "train/loop/run_report.h"
#include "train/setup/run_folder.h"

namespace patchcl {
namespace {

AddCommand report_command{{45, "report", "Write a run folder's report.html anew",
    "Examples:\n"
    "  patchcl report runs/acdc7             curves, scores, pictures and options in runs/acdc7/report.html\n"
    "Training writes it at each validation and at its end; a run that is going on can be looked at.",
    [](CLI::App& app) {
      auto folders = std::make_shared<std::vector<std::string>>();
      app.add_option("folder", *folders, "Run folders")->required();
      return [folders] {
        for (const std::string& folder : *folders) {
          write_run_report(folder);
          std::printf("wrote %s\n", in_run(folder, run_file::report).c_str());
        }
        return 0;
      };
    }}};

}  // namespace
}  // namespace patchcl
