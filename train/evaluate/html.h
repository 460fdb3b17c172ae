// A report as one HTML file that needs nothing else: tables, and figures drawn as inline SVG.
#pragma once
#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

namespace patchcl::html {

struct Series {
  std::string name;
  std::vector<double> values;
};

// Horizontal bars: one row per label, one bar per series. Logarithmic: a bar starts at the smallest positive
// value shown. `limit` > 0 draws a line there (a tolerance).
struct BarOptions {
  bool logarithmic = true;
  double limit = 0;
};
std::string bars(const std::vector<std::string>& labels, const std::vector<Series>& series,
    const BarOptions& options = {});
// Curves over any x from 0 on, y on a linear axis from 0 or on a logarithmic one of the decades that occur.
struct Curve {
  std::string name;
  std::vector<double> x, y;
};
std::string plot(const std::vector<Curve>& lines, const std::string& x_axis, bool logarithmic = false);
// A PNG or SVG file, within the page. Throws Error(io).
std::string picture(const std::string& path);
// A script over `data` under that name, in a scope of its own.
std::string script(const std::string& name, const nlohmann::ordered_json& data, const std::string& code);
// Curves over 0, 1, 2, ... on a logarithmic axis.
std::string curves(const std::vector<Series>& series, const std::string& x_axis);
// The distribution of values as a small picture, to stand in a table's cell.
std::string histogram(const std::vector<double>& values, int bins = 41);
// Numbers in [-1, 1] as coloured cells: red against, blue along.
std::string heat(const std::vector<std::string>& rows, const std::vector<Series>& columns);

class Page {
 public:
  explicit Page(const std::string& title);
  void heading(const std::string& text);
  void paragraph(const std::string& text);
  void preformatted(const std::string& text);
  void raw(const std::string& markup);  // as it is: scripts and what they act on
  void figure(const std::string& svg, const std::string& caption);
  // Cells are HTML: in_markup() of what may hold markup.
  void table(const std::vector<std::string>& header, const std::vector<std::vector<std::string>>& rows);
  // Throws Error(io).
  void save(const std::string& path) const;

 private:
  std::string body_;
};

}  // namespace patchcl::html
