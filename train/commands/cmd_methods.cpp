// patchcl methods: what trains here, and the options that each method reads.
#include <CLI/CLI.hpp>
#include <cstdio>

#include "train/commands/command.h"
#include "train/methods/method.h"

namespace patchcl {
namespace {

struct MethodsOptions {
  std::string method;
  bool names = false, recordable = false;
};

void print_options(const std::string& method) {
  for (const auto& [name, value] : make_method(method)->options().values())
    std::printf("--%-20s %s\n", name.c_str(), value.c_str());
}

int print(const MethodsOptions& o) {
  if (!o.method.empty()) {
    print_options(o.method);
    return 0;
  }
  for (const MethodEntry& m : methods()) {
    if (o.recordable && !m.make()->recordable()) continue;
    if (o.names) std::printf("%s\n", m.name.c_str());
    else std::printf("%-16s %s\n", m.name.c_str(), m.help.c_str());
  }
  return 0;
}

AddCommand methods_command{{3, "methods", "List the methods, or the options that one of them reads",
    "Examples:\n"
    "  patchcl methods\n"
    "  patchcl methods patchcl               its options with their defaults\n"
    "  patchcl train --method patchcl --help the same with explanations",
    [](CLI::App& app) {
      auto o = std::make_shared<MethodsOptions>();
      app.add_option("method", o->method, "Whose options");
      app.add_flag("--names", o->names, "Only names, one a line");
      app.add_flag("--recordable", o->recordable, "Only those whose steps a GPU can record (--graph)");
      return [o] { return print(*o); };
    }}};

}  // namespace
}  // namespace patchcl
