#include "train/methods/factory.h"

#include "train/methods/fixmatch.h"
#include "train/methods/patchcl.h"
#include "train/methods/supervised.h"
#include "train/methods/ua_mt.h"

namespace patchcl {

namespace {
template <class M>
std::unique_ptr<Method> make(const MethodOptions& options) {
  return std::make_unique<M>(options);
}

std::unique_ptr<Method> make_supervised(const MethodOptions&) { return std::make_unique<Supervised>(); }

const std::vector<std::pair<std::string, std::unique_ptr<Method> (*)(const MethodOptions&)>> kMethods{
    {"supervised", make_supervised}, {"mean-teacher", make<MeanTeacher>}, {"ua-mt", make<UaMt>},
    {"fixmatch", make<FixMatch>}, {"patchcl", make<PatchCl>}};
}  // namespace

std::unique_ptr<Method> make_method(const std::string& name, const MethodOptions& options) {
  std::string names;
  for (const auto& [known, maker] : kMethods) {
    if (known == name) return maker(resolved(options, name));
    names += " " + known;
  }
  fail(ExitCode::usage, "method", "there is no method '", name, "'; choose one of", names);
}

}  // namespace patchcl
