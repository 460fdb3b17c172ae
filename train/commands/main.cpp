// patchcl: the one executable. Picks the sub-command, parses its options, turns errors into exit codes.
#include <CLI/CLI.hpp>
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <filesystem>
#include <iostream>
#include <new>
#include <stdexcept>
#include <system_error>

#include "tensor/file.h"
#include "train/commands/command.h"
#include "train/commands/help_format.h"
#include "train/evaluate/terminal.h"
#include "train/options/option_list.h"
#include "train/setup/run_record.h"

namespace patchcl {
namespace {

constexpr const char* kExitCodes =
    "Exit codes: 0 ok, 1 internal, 2 usage, 3 data, 4 output, 5 non-finite, 6 checkpoint, 7 audit, 8 device, "
    "9 interrupted";

// Whether what is printed is help: `patchcl train --help | head` has shown what was asked for.
bool g_is_help = false;

void print_help(std::FILE* out) {
  g_is_help = true;
  const size_t width = terminal_width(out);
  const std::string what = wrapped(
      "PatchCL: semi-supervised medical image segmentation by pseudo-label guided patch-wise contrastive "
      "learning",
      width);
  std::fprintf(out,
      "%s\n\nUsage: patchcl COMMAND [options]\n       patchcl COMMAND --help shows the options with "
      "examples\n       patchcl --version\n\nCommands:\n",
      what.c_str());
  size_t longest = 0;
  for (const Command& c : commands()) longest = std::max(longest, c.name.size());
  for (const Command& c : commands()) std::fputs(help_entry(c.name, c.help, longest + 4, width).c_str(), out);
  std::fprintf(out, "\n%s\n", wrapped(kExitCodes, width).c_str());
}

// Why a command of several parts, as `data`, was not understood: it was given none, or one that there is not.
std::string missing_part(const CLI::App& app, const CLI::RequiredError& e) {
  const std::vector<std::string> words = app.remaining();
  std::vector<std::string> parts;
  for (const CLI::App* part : app.get_subcommands({})) parts.push_back(part->get_name());
  if (words.empty() || parts.empty()) return e.what();
  return "'" + words.front() + "' is no part of " + app.get_name() + did_you_mean(words.front(), parts);
}

int run(const Command& command, int argc, char** argv) {
  CLI::App app{command.help, "patchcl " + command.name};
  app.formatter(std::make_shared<HelpFormat>(terminal_width(stdout)));
  const std::string examples = command.examples.substr(0, command.examples.find_last_not_of('\n') + 1);
  app.footer(examples + "\n\n" + kExitCodes);
  const std::function<int()> body = command.add(app);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ExtrasError&) {
    fail(ExitCode::usage, "options", unknown_option(app), " (", app.get_name(), " --help lists them)");
  } catch (const CLI::ConfigError&) {
    const std::string file = app.get_config_ptr()->as<std::string>();
    fail(ExitCode::usage, "options", file, ": ", unknown_key(app, file), " (", app.get_name(),
        " --help lists them)");
  } catch (const CLI::RequiredError& e) {
    fail(ExitCode::usage, "options", missing_part(app, e), " (", app.get_name(), " --help lists them)");
  } catch (const CLI::CallForHelp& e) {
    g_is_help = true;
    return app.exit(e);
  } catch (const CLI::ParseError& e) {
    if (e.get_exit_code() == 0) return app.exit(e);
    fail(ExitCode::usage, "options", e.what(), " (", app.get_name(), " --help lists them)");
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
  if (name == "--version" || name == "version") {
    std::printf("patchcl %s (%s, %s)\n", kVersion, kCommit, kCompiler);
    return int(ExitCode::ok);
  }
  for (const Command& c : commands())
    if (c.name == name) return run(c, argc - 1, argv + 1);
  print_help(stderr);
  std::vector<std::string> known;
  for (const Command& c : commands()) known.push_back(c.name);
  if (!name.empty())
    std::fprintf(stderr, "\nerror: there is no command '%s'%s\n", printable(name).c_str(),
        did_you_mean(name, known).c_str());
  return int(ExitCode::usage);
}

// A descriptor that the caller closed would be given to the next file, and messages would land in it.
void open_standard_streams() {
  for (const int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO})
    if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", O_RDWR) != fd) std::_Exit(int(ExitCode::io));
}

constexpr const char* kNoMemory = "[memory] the system has none left; lower --batch or --size";

// Memory may end where no exception gets out: before main, in functions of the standard library that throw
// none, as those that list a folder, and in those of CLI11. That is told without memory; other ends are as
// they would have been.
std::atomic<bool> g_memory_ended{false};
std::terminate_handler g_otherwise;
void memory_ends() {
  g_memory_ended = true;
  throw std::bad_alloc();
}
void end_without_memory() {
  if (!g_memory_ended) g_otherwise();
  for (const char* part : {"error: ", kNoMemory, "\n"})
    if (write(STDERR_FILENO, part, std::strlen(part)) < 0) break;
  std::_Exit(int(ExitCode::device));
}
// Before all other objects of the program.
__attribute__((constructor(101))) void watch_memory() {
  std::set_new_handler(memory_ends);
  g_otherwise = std::set_terminate(end_without_memory);
}

int report(ExitCode code, const std::string& message) {
  std::fprintf(stderr, "error: %s\n", printable(message).c_str());
  return int(code);
}

int guarded(int argc, char** argv) {
  try {
    return main(argc, argv);
  } catch (const Error& e) {
    return report(e.code(), e.what());
  } catch (const std::bad_alloc&) {
    return report(ExitCode::device, kNoMemory);
  } catch (const std::length_error&) {
    return report(
        ExitCode::device, "[memory] more was asked for than any machine has; lower --batch or --size");
  } catch (const std::filesystem::filesystem_error& e) {
    return report(ExitCode::io, std::string("[file] ") + e.what());
  } catch (const std::system_error& e) {
    return report(ExitCode::device, std::string("[system] ") + e.what() + "; ask for fewer --threads");
  } catch (const std::exception& e) {
    return report(ExitCode::internal, e.what());
  }
}

// The exit code of a command that ended with `code`: what it printed must have arrived.
int printed(int code) {
  std::cout.flush();
  if (std::fflush(stdout) == 0 && !std::ferror(stdout) && std::cout) return code;
  if (g_is_help && errno == EPIPE) return int(ExitCode::io);
  const int failed = report(ExitCode::io,
      "[output] standard output took not all that was printed; is its disk "
      "full, or has its reader ended?");
  return code == 0 ? failed : code;
}

}  // namespace
}  // namespace patchcl

int main(int argc, char** argv) {
  using namespace patchcl;
  open_standard_streams();
  std::signal(SIGPIPE, SIG_IGN);  // a reader that has gone is a failed write, which printed() tells
  set_command_line(argc, argv);
  return printed(guarded(argc, argv));
}
