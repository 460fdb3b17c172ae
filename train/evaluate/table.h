// Tables in Markdown, as reports and the terminal show them.
#pragma once
#include <string>
#include <vector>

namespace patchcl {

std::string fixed(double value, int digits);  // "0.81" for (0.8123, 2)

using TableRow = std::vector<std::string>;
// Columns behind the first are aligned to the right.
std::string markdown_table(const TableRow& head, const std::vector<TableRow>& rows);

}  // namespace patchcl
