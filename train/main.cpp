// patchcl: the one executable. Parses the command line, runs the sub-command, turns errors into exit codes.
#include <algorithm>
#include <cstdio>
#include <new>

#include "tensor/error.h"
#include "train/command.h"

int main(int argc, char** argv) {
  using namespace patchcl;
  CLI::App app{"PatchCL: semi-supervised medical image segmentation by pseudo-label guided patch-wise contrastive learning"};
  app.require_subcommand(1);
  app.footer("Exit codes: 0 ok, 1 internal, 2 usage, 3 data, 4 output, 5 non-finite, 6 checkpoint, 7 audit, 8 device, 9 interrupted");
  std::function<int()> chosen;
  std::stable_sort(commands().begin(), commands().end(), [](const Command& a, const Command& b) { return a.order < b.order; });
  for (const Command& c : commands()) {
    CLI::App* sub = app.add_subcommand(c.name, c.help);
    sub->footer(c.examples);
    sub->callback([&chosen, run = c.add(*sub)] { chosen = run; });
  }
  try {
    app.parse(argc, argv);
    return chosen();
  } catch (const CLI::ParseError& e) {
    return app.exit(e) == 0 ? int(ExitCode::ok) : int(ExitCode::usage);
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
