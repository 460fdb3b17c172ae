#include "train/commands/command.h"

namespace patchcl {

std::vector<Command>& commands() {
  static std::vector<Command> all;
  return all;
}

}  // namespace patchcl
