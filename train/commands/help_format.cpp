#include "train/commands/help_format.h"

#include "tensor/text.h"
#include "train/evaluate/terminal.h"

namespace patchcl {

namespace {

constexpr size_t kGroupIndent = 2, kBehindName = 6;

// "  patchcl COMMAND ...      remark", longer than a line.
std::string long_example(const std::string& line, size_t width) {
  const size_t gap = line.rfind("   ");
  const bool remarked = gap != std::string::npos && gap > line.find_first_not_of(' ');
  const std::string code = remarked ? line.substr(0, line.find_last_not_of(' ', gap) + 1) : line;
  const bool command = code.starts_with("  patchcl ");
  // A line of a plan or a file ends where it ends.
  std::string all = command ? wrapped(code, width - 2, kBehindName) : code;
  for (size_t at = all.find('\n'); command && at != std::string::npos; at = all.find('\n', at + 3))
    all.insert(at, " \\");
  if (!remarked) return all;
  return all + "\n" + std::string(kBehindName, ' ') +
         wrapped(line.substr(gap + 3), width, kBehindName, kBehindName);
}

}  // namespace

std::string help_entry(const std::string& name, const std::string& text, size_t column, size_t width) {
  const std::string left = wrapped("  " + name, width, kBehindName);
  if (text.empty()) return left + "\n";
  const bool beside = columns(left) < column;
  return (beside ? padded(left, column) : left + "\n" + std::string(column, ' ')) +
         wrapped(text, width, column, column) + "\n";
}

std::string help_examples(const std::string& text, size_t width) {
  std::string all;
  TextIn lines(text);
  for (std::string line; std::getline(lines, line);) {
    const bool example = line.starts_with(' ');
    if (columns(line) <= width) all += line;
    else all += example ? long_example(line, width) : wrapped(line, width);
    all += "\n";
  }
  return all;
}

// Options of a group stand further to the right.
std::string HelpFormat::make_option(const CLI::Option* option, bool is_positional) const {
  return help_entry(make_option_name(option, is_positional) + make_option_opts(option),
      make_option_desc(option), get_column_width(), width_ - kGroupIndent);
}

std::string HelpFormat::make_subcommand(const CLI::App* sub) const {
  return help_entry(sub->get_display_name(true), sub->get_description(), get_column_width(), width_);
}

std::string HelpFormat::make_description(const CLI::App* app) const {
  const std::string text = wrapped(Formatter::make_description(app), width_);
  return text.empty() ? text : text + "\n";
}

std::string HelpFormat::make_footer(const CLI::App* app) const {
  return help_examples(app->get_footer(), width_);
}

}  // namespace patchcl
