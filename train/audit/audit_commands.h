// The sub-commands of `patchcl audit`. Each adds its options and returns what runs; the result is the exit
// code.
#pragma once
#include <functional>

namespace CLI {
class App;
}

namespace patchcl {

std::function<int()> add_audit_ops(CLI::App& app);  // audit_ops.cpp
std::function<int()> add_audit_model(CLI::App& app);
std::function<int()> add_audit_run(CLI::App& app);    // audit_model.cpp
std::function<int()> add_audit_dump(CLI::App& app);   // audit_dump.cpp
std::function<int()> add_audit_graph(CLI::App& app);  // audit_dump.cpp

}  // namespace patchcl
