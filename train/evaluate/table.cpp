#include "train/evaluate/table.h"

#include <cstdio>

namespace patchcl {

std::string fixed(double value, int digits) {
  char text[32];
  std::snprintf(text, sizeof text, "%.*f", digits, value);
  return text;
}

std::string markdown_table(const TableRow& head, const std::vector<TableRow>& rows) {
  const auto line = [](const TableRow& cells) {
    std::string s = "|";
    for (const std::string& cell : cells) s.append(" ").append(cell).append(" |");
    return s += "\n";
  };
  std::string s = line(head) + "|---|";
  for (size_t i = 1; i < head.size(); ++i) s += "---:|";
  s += "\n";
  for (const TableRow& row : rows) s += line(row);
  return s;
}

}  // namespace patchcl
