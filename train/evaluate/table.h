// Tables in Markdown and CSV, as reports and the terminal show them, of names that may hold anything.
#pragma once
#include <string>
#include <vector>

namespace patchcl {

std::string fixed(double value, int digits);  // "0.81" for (0.8123, 2)

using TableRow = std::vector<std::string>;
// Columns behind the first are aligned to the right.
std::string markdown_table(const TableRow& head, const std::vector<TableRow>& rows);
// In quotes where it needs them (RFC 4180).
std::string csv_cell(const std::string& text);
// Names as keys: the second "tumour" becomes "tumour (2)".
std::vector<std::string> distinct(std::vector<std::string> names);

}  // namespace patchcl
