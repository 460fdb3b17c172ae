// TOML files of options, read and quoted by libraries (toml++, nlohmann-json): one key an option.
#pragma once
#include <memory>
#include <string>

#include "train/options/option_list.h"

namespace CLI {
class Config;
}

namespace patchcl {

// Names and values; of a list the values with commas between. Error(usage) with the line for what is no TOML,
// and for what is no option: a section, a date.
OptionValues toml_values(const std::string& text);

// A text as TOML writes it, in quotes. Bytes that are no UTF-8, which TOML is and names of files need not be,
// become characters that nobody uses, U+F780 to U+F7FF, until they are read.
std::string toml_text(const std::string& text);

// The same for CLI11's --config.
std::shared_ptr<CLI::Config> toml_reader();

}  // namespace patchcl
