#include "train/commands/command.h"

#include <CLI/CLI.hpp>

namespace patchcl {

std::vector<Command>& commands() {
  static std::vector<Command> all;
  return all;
}

std::function<int()> add_sub_commands(CLI::App& app, std::initializer_list<SubCommand> list) {
  app.require_subcommand(1);
  auto chosen = std::make_shared<std::function<int()>>();
  for (const SubCommand& s : list) {
    CLI::App* sub = app.add_subcommand(s.name, s.help);
    sub->callback([chosen, run = s.add(*sub)] { *chosen = run; });
  }
  return [chosen] { return (*chosen)(); };
}

}  // namespace patchcl
