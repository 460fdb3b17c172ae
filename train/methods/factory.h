// Methods by name.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "train/methods/method.h"
#include "train/methods/options.h"

namespace patchcl {

// Throws Error(usage) listing the names.
std::unique_ptr<Method> make_method(const std::string& name, const MethodOptions& options);

}  // namespace patchcl
