#include "train/evaluate/table.h"

#include <algorithm>
#include <cstdio>

namespace patchcl {

namespace {
// A bar would end the cell, the end of a line the table.
std::string markdown_cell(const std::string& text) {
  std::string cell;
  for (const char c : text) {
    if (c == '|') cell += '\\';
    cell += c == '\n' ? ' ' : c;
  }
  return cell;
}
}  // namespace

std::string fixed(double value, int digits) {
  char text[32];
  std::snprintf(text, sizeof text, "%.*f", digits, value);
  return text;
}

std::string csv_cell(const std::string& text) {
  if (text.find_first_of(",\"\r\n") == std::string::npos) return text;
  std::string quoted = "\"";
  for (const char c : text) quoted.append(c == '"' ? 2 : 1, c);
  return quoted + "\"";
}

std::vector<std::string> distinct(std::vector<std::string> names) {
  for (size_t i = 0; i < names.size(); ++i) {
    const std::string name = names[i];
    for (int n = 2;
         std::find(names.begin(), names.begin() + int64_t(i), names[i]) != names.begin() + int64_t(i); ++n)
      names[i] = name + " (" + std::to_string(n) + ")";
  }
  return names;
}

std::string markdown_table(const TableRow& head, const std::vector<TableRow>& rows) {
  const auto line = [](const TableRow& cells) {
    std::string s = "|";
    for (const std::string& cell : cells) s.append(" ").append(markdown_cell(cell)).append(" |");
    return s += "\n";
  };
  std::string s = line(head) + "|---|";
  for (size_t i = 1; i < head.size(); ++i) s += "---:|";
  s += "\n";
  for (const TableRow& row : rows) s += line(row);
  return s;
}

}  // namespace patchcl
