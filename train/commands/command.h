// Sub-commands of the executable register themselves: one file train/commands/cmd_NAME.cpp each.
#pragma once
#include <functional>
#include <initializer_list>
#include <string>
#include <vector>

namespace CLI {
class App;
}

namespace patchcl {

struct Command {
  int order;               // position in --help
  std::string name, help;  // "train", "Train a network"
  std::string examples;    // printed at the end of `patchcl NAME --help`
  // Adds options to the command's own parser and returns what runs after parsing; the result is the exit
  // code.
  std::function<std::function<int()>(CLI::App&)> add;
};

std::vector<Command>& commands();
struct AddCommand {
  explicit AddCommand(Command c) { commands().push_back(std::move(c)); }
};

// The word behind a command's name: `ops` in `patchcl audit ops`.
struct SubCommand {
  const char *name, *help;
  std::function<int()> (*add)(CLI::App&);  // as Command's
};
// One of them has to be given; returns what runs it.
std::function<int()> add_sub_commands(CLI::App& app, std::initializer_list<SubCommand> list);

}  // namespace patchcl
