// How --help looks: lines that end where the terminal does.
#pragma once
#include <CLI/CLI.hpp>
#include <string>

namespace patchcl {

// A name and, from a column of its own on, what it is.
std::string help_entry(const std::string& name, const std::string& text, size_t column, size_t width);

// Examples and remarks: an example that is too long has its remark below, or ends in a backslash.
std::string help_examples(const std::string& text, size_t width);

class HelpFormat : public CLI::Formatter {
 public:
  explicit HelpFormat(size_t width) : width_(width) {}
  std::string make_option(const CLI::Option* option, bool is_positional) const override;
  std::string make_subcommand(const CLI::App* sub) const override;
  std::string make_description(const CLI::App* app) const override;
  std::string make_footer(const CLI::App* app) const override;

 private:
  size_t width_;
};

}  // namespace patchcl
