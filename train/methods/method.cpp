#include "train/methods/method.h"

#include <algorithm>

namespace patchcl {

namespace {
std::vector<MethodEntry>& registry() {
  static std::vector<MethodEntry> all;
  return all;
}
}  // namespace

void Method::read_labeled_batch(int64_t& images) {
  options().add("labeled-batch", images, "Labelled images in a step; 0: half of them", kNotNegative);
}

void Method::read_confidence(double& least) {
  options().add(
      "confidence", least, "Pseudo-labels count where the largest probability is at least this", kShare);
}

void Method::read_largest_component(bool& largest) {
  options().add("largest-component", largest, "Pseudo-labels keep the largest component of each class");
}

AddMethod::AddMethod(MethodEntry entry) {
  const auto before = [](const MethodEntry& a, const MethodEntry& b) { return a.order < b.order; };
  auto& all = registry();
  all.insert(std::upper_bound(all.begin(), all.end(), entry, before), std::move(entry));
}

const std::vector<MethodEntry>& methods() { return registry(); }

std::vector<std::string> method_names() {
  std::vector<std::string> names;
  for (const MethodEntry& m : methods()) names.push_back(m.name);
  return names;
}

std::unique_ptr<Method> make_method(const std::string& name, const OptionValues& values) {
  const auto found =
      std::find_if(methods().begin(), methods().end(), [&](const MethodEntry& m) { return m.name == name; });
  if (found == methods().end()) no_such_name("method", name, method_names());
  std::unique_ptr<Method> method = found->make();
  method->name_ = name;
  for (const auto& [option, text] : values) {
    if (!method->options().contains(option)) {
      const std::string readers = readers_of(option);
      if (!readers.empty())
        fail(ExitCode::usage, "options", name, " does not read --", option, "; these methods do: ", readers);
    }
    method->options().set(option, text);
  }
  return method;
}

std::string readers_of(const std::string& option) {
  std::string readers;
  for (const MethodEntry& m : methods())
    if (m.make()->options().contains(option)) readers += (readers.empty() ? "" : ", ") + m.name;
  return readers;
}

}  // namespace patchcl
