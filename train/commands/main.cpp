// patchcl: the one executable. Picks the sub-command, parses its options, turns errors into exit codes.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <cstring>
#include <new>

#include "tensor/error.h"
#include "train/commands/command.h"
#include "train/options/option_list.h"
#include "train/setup/run_record.h"

namespace patchcl {
namespace {

constexpr const char* kExitCodes =
    "Exit codes: 0 ok, 1 internal, 2 usage, 3 data, 4 output, 5 non-finite, 6 checkpoint, 7 audit, 8 device, "
    "9 interrupted";

void print_help(std::FILE* out) {
  std::fprintf(out,
      "PatchCL: semi-supervised medical image segmentation by pseudo-label guided patch-wise contrastive "
      "learning\n\n"
      "Usage: patchcl COMMAND [options]      patchcl COMMAND --help shows the options with "
      "examples\n\nCommands:\n");
  for (const Command& c : commands()) std::fprintf(out, "  %-10s %s\n", c.name.c_str(), c.help.c_str());
  std::fprintf(out, "\n%s\n", kExitCodes);
}

// Says which option a misspelt one may have meant.
[[noreturn]] void explain_extras(const CLI::App& app) {
  std::vector<std::string> known;
  const auto add = [&](const CLI::App& group) {
    for (const CLI::Option* o : group.get_options())
      for (const std::string& name : o->get_lnames()) known.push_back("--" + name);
  };
  add(app);
  for (const CLI::App* group : app.get_subcommands([](const CLI::App*) { return true; })) add(*group);
  const std::string word = app.remaining().at(0);
  fail(ExitCode::usage, "options", "'", word, "' is not an option here", did_you_mean(word, known), " (",
      app.get_name(), " --help lists them)");
}

int run(const Command& command, int argc, char** argv) {
  CLI::App app{command.help, "patchcl " + command.name};
  app.footer(command.examples + "\n" + kExitCodes);
  const std::function<int()> body = command.add(app);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ExtrasError&) {
    explain_extras(app);
  } catch (const CLI::ParseError& e) {
    return app.exit(e) == 0 ? int(ExitCode::ok) : int(ExitCode::usage);
  }
  return body();
}

int main(int argc, char** argv) {
  std::stable_sort(commands().begin(), commands().end(),
      [](const Command& a, const Command& b) { return a.order < b.order; });
  const std::string name = argc > 1 ? argv[1] : "";
  if (name == "--help" || name == "-h" || name == "help") {
    print_help(stdout);
    return int(ExitCode::ok);
  }
  for (const Command& c : commands())
    if (c.name == name) return run(c, argc - 1, argv + 1);
  print_help(stderr);
  if (!name.empty()) std::fprintf(stderr, "\nerror: there is no command '%s'\n", name.c_str());
  return int(ExitCode::usage);
}

}  // namespace
}  // namespace patchcl

int main(int argc, char** argv) {
  using namespace patchcl;
  set_command_line(argc, argv);
  try {
    return patchcl::main(argc, argv);
  } catch (const Error& e) {
    std::fprintf(stderr, "error: %s\n", e.what());
    return int(e.code());
  } catch (const std::bad_alloc&) {
    std::fprintf(stderr, "error: [memory] the system has none left; lower --batch or --size\n");
    return int(ExitCode::device);
  } catch (const std::exception& e) {
    std::fprintf(stderr, "error: %s\n", e.what());
    return int(ExitCode::internal);
  }
}
