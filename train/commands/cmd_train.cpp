// patchcl train
#include "train/commands/command.h"

#include <CLI/CLI.hpp>

#include "train/loop/trainer.h"

namespace patchcl {
namespace {

// A resumed run is the run it was: its options come from the run folder, but for where it goes on.
void take_options_of_run(const CLI::App& app, TrainConfig& config, std::string& resolved) {
  const TrainConfig asked = config;
  const std::string saved = read_run_options(asked.resume, config);
  if (saved.empty()) return;
  config.resume = asked.resume;
  if (app.count("--out")) config.out = asked.out;
  if (app.count("--device")) config.device = asked.device;
  if (app.count("--threads")) config.threads = asked.threads;
  resolved = saved;
}

AddCommand train{{1, "train", "Train a network",
    "Examples:\n"
    "  patchcl train --data phantom:cases=40,size=96 --size 96 --batch 8 --iters 600 --out runs/phantom\n"
    "  patchcl train --data ACDC --method patchcl --labeled 7 --out runs/acdc7\n"
    "  patchcl train --resume runs/acdc7                  goes on; --device, --threads and --out may change",
    [](CLI::App& app) -> std::function<int()> {
      auto config = std::make_shared<TrainConfig>();
      add_options(app, *config);
      return [config, &app] {
        std::string resolved = app.config_to_str(/*default_also=*/true, /*write_description=*/false);
        if (!config->resume.empty()) take_options_of_run(app, *config, resolved);
        Trainer trainer(*config, resolved);
        return int(trainer.run() == Outcome::finished ? ExitCode::ok : ExitCode::interrupted);
      };
    }}};

}  // namespace
}  // namespace patchcl
