// patchcl train
#include <CLI/CLI.hpp>
#include <cstdio>

#include "tensor/file.h"
#include "tensor/text.h"
#include "train/commands/command.h"
#include "train/commands/help_format.h"
#include "train/evaluate/terminal.h"
#include "train/loop/trainer.h"
#include "train/options/toml.h"
#include "train/setup/run_folder.h"
#include "train/setup/run_record.h"

namespace patchcl {
namespace {

// A resumed run is the run it was: its options are its own, but for where it goes on.
TrainConfig resumed(const CLI::App& app, const TrainConfig& asked) {
  const std::set<std::string> allowed{
      "--resume", "--out", "--data", "--device", "--threads", "--extend", "--allow-other-bits"};
  const auto option_of = [](const CLI::Option* o) { return "--" + o->get_lnames().at(0); };
  const auto refuse = [&](const CLI::App& group) {
    for (const CLI::Option* o : group.get_options())
      if (o->count() > 0 && !allowed.contains(option_of(o)))
        fail(ExitCode::usage, "train", "--resume goes on with the run's own options; ", option_of(o),
            " cannot be changed. --out, --data, --device and --threads can; --extend N trains further");
  };
  refuse(app);
  for (const CLI::App* group : app.get_subcommands([](const CLI::App* a) { return a->get_name().empty(); }))
    refuse(*group);

  const SavedConfig saved = saved_config(asked.resume);
  std::fputs(printable(saved.note).c_str(), stderr);
  TrainConfig config = from_toml(saved.toml, "the configuration of " + asked.resume);
  config.resume = asked.resume;
  config.allow_other_bits = asked.allow_other_bits;
  config.extend = asked.extend;
  if (asked.extend > 0)
    config.remarks +=
        "# " + counted(config.iters, "step") + ", then " + std::to_string(asked.extend) +
        " more with --extend; in one go the learning rate, and what else follows the length of a "
        "run, would have been others\n";
  config.iters += asked.extend;
  config.out = folder_of(asked.resume);
  if (app.count("--out")) config.out = asked.out;
  if (app.count("--data")) config.data = asked.data;
  if (app.count("--device")) config.device = asked.device;
  if (app.count("--threads")) config.threads = asked.threads;
  config.graph = config.graph && device_of(config.device) == Device::cuda;
  config.anomaly = config.anomaly && !config.graph;  // older programs took both, and did not check
  return config;
}

std::string list_of_methods() {
  std::string text = "\nMethods (--method NAME --help shows the options of one):\n";
  for (const MethodEntry& m : methods()) text += help_entry(m.name, m.help, 18, terminal_width(stdout));
  return text;
}

AddCommand train{{1, "train", "Train a network",
    "Examples:\n"
    "  patchcl train --data phantom:cases=40,size=96 --size 96 --batch 8 --iters 600 --out runs/phantom\n"
    "  patchcl train --data ACDC --method patchcl --labeled 7 --out runs/acdc7\n"
    "  patchcl train --resume runs/acdc7     goes on; --device, --threads, --data and --out may change\n"
    "  patchcl train --resume runs/phantom --extend 400     400 steps more than it was begun with",
    [](CLI::App& app) -> std::function<int()> {
      auto config = std::make_shared<TrainConfig>();
      config->method = method_of(command_line(), config->method);
      const std::shared_ptr<Method> method = declare_options(app, *config);
      app.config_formatter(toml_reader());
      app.set_config("--config", "", "TOML file with any of these options; the command line wins");
      app.allow_config_extras(CLI::config_extras_mode::error);
      app.add_option("--resume", config->resume, "Run folder or checkpoint to go on from, bit for bit")
          ->configurable(false);
      app.add_option("--extend", config->extend,
             "With --resume: train so many steps beyond the run's own. The learning rate, and whatever else "
             "follows the length of a run, then follow that of the longer one. Refused where a phase before "
             "the last is a share of the run: by patchcl and bcp as they are, by local-contrast, and with a "
             "--warm-up, --copy-paste or --whole-share")
          ->check(CLI::Range(int64_t(1), int64_t(1) << 32))
          ->needs("--resume")
          ->configurable(false);
      app.add_flag("--allow-other-bits", config->allow_other_bits,
             "With --resume: go on although this CPU's instructions round otherwise than those of the run")
          ->needs("--resume")
          ->configurable(false);
      app.add_option("--weights", config->weights,
             "Start from these weights, or a run folder's (its best, else its last), as far as "
             "names and shapes agree (what was loaded is printed)")
          ->configurable(false);
      app.footer(list_of_methods() + "\n" + app.get_footer());
      return [config, method, &app] {
        if (command_line().size() <= 2)
          fail(ExitCode::usage, "train",
              "wants images: --data FOLDER, or --data phantom for generated hearts; it would train "
              "`supervised` "
              "for 30000 steps at 256x256 into runs/last (patchcl train --help)");
        config->method_options = method->options().values();
        Trainer trainer(config->resume.empty() ? *config : resumed(app, *config));
        return int(trainer.run() == Outcome::finished ? ExitCode::ok : ExitCode::interrupted);
      };
    }}};

}  // namespace
}  // namespace patchcl
