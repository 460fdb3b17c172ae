#include "train/evaluate/html.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "tensor/file.h"

namespace patchcl::html {
namespace {

const char* const kColours[] = {"#4878a8", "#d1605e", "#6a9f58", "#e49444", "#a87c9f", "#7b848f"};
const char* colour(size_t i) { return kColours[i % std::size(kColours)]; }

std::string number(double v) {
  char s[32];
  std::snprintf(s, sizeof s, "%.3g", v);
  return s;
}

std::string attribute(const char* name, double v) {
  char s[32];
  std::snprintf(s, sizeof s, "%.1f", v);
  return std::string(" ") + name + "=\"" + s + "\"";
}

std::string line(double x1, double y1, double x2, double y2, const std::string& style) {
  return std::string("<line") + attribute("x1", x1) + attribute("y1", y1) + attribute("x2", x2) +
         attribute("y2", y2) + " " + style + "/>";
}
std::string rect(
    double x, double y, double w, double h, const std::string& fill, const std::string& hint = {}) {
  return std::string("<rect") + attribute("x", x) + attribute("y", y) + attribute("width", w) +
         attribute("height", h) + " fill=\"" + fill + "\"><title>" + in_markup(hint) + "</title></rect>";
}
std::string text(double x, double y, const std::string& s, const char* anchor = "start") {
  return std::string("<text") + attribute("x", x) + attribute("y", y) + " text-anchor=\"" + anchor + "\">" +
         in_markup(s) + "</text>";
}
std::string svg(double w, double h, const std::string& content) {
  return std::string("<svg xmlns=\"http://www.w3.org/2000/svg\"") + attribute("width", w) +
         attribute("height", h) + " viewBox=\"0 0 " + number(w) + " " + number(h) +
         "\" font-family=\"sans-serif\" font-size=\"11\">" + content + "</svg>";
}

bool shown(double v) { return std::isfinite(v) && v > 0; }

// Maps values to [0,1], linearly from 0 or by logarithm over the decades that occur.
struct Axis {
  bool logarithmic;
  double low = 0, high = 1;
  Axis(const std::vector<Series>& series, bool log, double also) : logarithmic(log) {
    double least = HUGE_VAL, most = 0;
    const auto see = [&](double v) {
      if (!shown(v)) return;
      least = std::min(least, v);
      most = std::max(most, v);
    };
    for (const Series& s : series)
      for (double v : s.values) see(v);
    see(also);
    if (most == 0) return;
    low = log ? std::max(std::floor(std::log10(least)), std::log10(most) - 14) : 0;
    high = log ? std::max(std::ceil(std::log10(most)), low + 1) : most;
  }
  double at(double v) const {
    if (!shown(v)) return std::isfinite(v) ? 0 : 1;
    return std::clamp(((logarithmic ? std::log10(v) : v) - low) / (high - low), 0., 1.);
  }
  std::vector<double> ticks() const {
    std::vector<double> t;
    if (!logarithmic) return {0, high / 2, high};
    const double step = std::max(1., std::ceil((high - low) / 8));
    for (double e = std::ceil(low); e <= high; e += step) t.push_back(std::pow(10, e));
    return t;
  }
};

std::string legend(const std::vector<Series>& series, double x, double y) {
  std::string s;
  if (series.size() < 2) return s;
  for (size_t k = 0; k < series.size(); ++k) {
    s += rect(x, y - 9, 10, 10, colour(k)) + text(x + 14, y, series[k].name);
    x += 34 + 6.5 * double(series[k].name.size());
  }
  return s;
}

double widest(const std::vector<std::string>& labels) {
  size_t n = 0;
  for (const std::string& s : labels) n = std::max(n, s.size());
  return 12 + 6.2 * double(n);
}

}  // namespace

std::string bars(
    const std::vector<std::string>& labels, const std::vector<Series>& series, const BarOptions& options) {
  const Axis axis(series, options.logarithmic, options.limit);
  const double left = widest(labels), width = 560, bar = series.size() > 1 ? 6 : 11,
               row = bar * double(series.size()) + 6, top = 22;
  const double bottom = top + row * double(labels.size());
  std::string s = legend(series, left, 12);
  for (double t : axis.ticks()) {
    const double x = left + width * axis.at(t);
    s += line(x, top, x, bottom, "stroke=\"#ddd\"") + text(x, bottom + 14, number(t), "middle");
  }
  for (size_t i = 0; i < labels.size(); ++i) {
    const double y = top + row * double(i);
    s += text(left - 6, y + row / 2 + 3, labels[i], "end");
    for (size_t k = 0; k < series.size(); ++k) {
      const double v = series[k].values[i];
      s += rect(left, y + 3 + bar * double(k), std::max(1., width * axis.at(v)), bar - 1,
          options.limit > 0 && !(v <= options.limit) ? "#c00" : colour(k),
          labels[i] + " " + series[k].name + " " + number(v));
    }
  }
  if (options.limit > 0) {
    const double x = left + width * axis.at(options.limit);
    s += line(x, top, x, bottom, "stroke=\"#c00\" stroke-dasharray=\"4 3\"");
  }
  return svg(left + width + 40, bottom + 22, s);
}

std::string plot(const std::vector<Curve>& lines, const std::string& x_axis, bool logarithmic) {
  std::vector<Series> series;
  double last = 0;
  for (const Curve& l : lines) {
    series.push_back({l.name, l.y});
    for (const double x : l.x) last = std::max(last, x);
  }
  if (last <= 0) last = 1;
  const Axis axis(series, logarithmic, 0);
  const double left = 60, top = 10, width = 520, height = 260;
  std::string s;
  for (const double t : axis.ticks()) {
    const double y = top + height * (1 - axis.at(t));
    s += line(left, y, left + width, y, "stroke=\"#ddd\"") + text(left - 6, y + 4, number(t), "end");
  }
  for (size_t k = 0; k < lines.size(); ++k) {
    std::string path;
    for (size_t i = 0; i < lines[k].x.size(); ++i)
      path += number(left + width * lines[k].x[i] / last) + "," +
              number(top + height * (1 - axis.at(lines[k].y[i]))) + " ";
    s += "<polyline fill=\"none\" stroke-width=\"1.5\" stroke=\"" + std::string(colour(k)) + "\"" +
         (k >= std::size(kColours) ? " stroke-dasharray=\"4 2\"" : "") + " points=\"" + path + "\"/>";
    if (lines[k].x.size() == 1)  // a line of one point shows nothing
      s += "<circle r=\"3\" fill=\"" + std::string(colour(k)) + "\"" +
           attribute("cx", left + width * lines[k].x[0] / last) +
           attribute("cy", top + height * (1 - axis.at(lines[k].y[0]))) + "/>";
    s += rect(left + width + 16, top + 16 * double(k), 10, 10, colour(k)) +
         text(left + width + 30, top + 9 + 16 * double(k), lines[k].name);
  }
  s += text(left, top + height + 18, x_axis + " 0") +
       text(left + width, top + height + 18,
           last == std::floor(last) ? std::to_string(int64_t(last)) : number(last), "end");
  return svg(left + width + 220, std::max(top + height, top + 16 * double(lines.size())) + 26, s);
}

std::string curves(const std::vector<Series>& series, const std::string& x_axis) {
  std::vector<Curve> lines;
  for (const Series& s : series) {
    lines.push_back({s.name, {}, s.values});
    for (size_t i = 0; i < s.values.size(); ++i) lines.back().x.push_back(double(i));
  }
  return plot(lines, x_axis, /*logarithmic=*/true);
}

std::string picture(const std::string& path) {
  if (path.ends_with(".svg")) return read_text(path, ExitCode::io);
  const Bytes bytes = read_bytes(path, ExitCode::io);
  return "<img alt=\"\" src=\"data:image/png;base64," + base64(bytes.data(), bytes.size()) + "\">";
}

std::string script(const std::string& name, const nlohmann::ordered_json& data, const std::string& code) {
  std::string json = data.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  // Text in it that looks like the end of the script.
  for (size_t at = json.find("</"); at != std::string::npos; at = json.find("</", at))
    json.replace(at, 2, "<\\/");
  return "<script>\n(() => {\nconst " + name + " = " + json + ";\n" + code + "})();\n</script>\n";
}

std::string histogram(const std::vector<double>& values, int bins) {
  double most = 0;
  for (double v : values)
    if (std::isfinite(v)) most = std::max(most, std::fabs(v));
  std::vector<int> count(static_cast<size_t>(bins));
  for (double v : values)
    if (std::isfinite(v))
      ++count[size_t(most > 0 ? std::min(bins - 1., (v / most + 1) / 2 * bins) : bins / 2)];
  const double peak = *std::max_element(count.begin(), count.end()), w = 3, h = 26;
  std::string s = line(bins * w / 2, 0, bins * w / 2, h, "stroke=\"#ccc\"");
  for (int i = 0; i < bins; ++i)
    if (count[size_t(i)])
      s += std::string("<rect") + attribute("x", i * w) +
           attribute("y", h - std::max(1., h * count[size_t(i)] / peak)) + attribute("width", w - 0.5) +
           attribute("height", std::max(1., h * count[size_t(i)] / peak)) + " fill=\"#4878a8\"/>";
  return svg(bins * w, h, s) + " &#177;" + number(most);
}

std::string heat(const std::vector<std::string>& rows, const std::vector<Series>& columns) {
  const double left = widest(rows), cell = 110, row = 18, top = 20;
  std::string s;
  for (size_t k = 0; k < columns.size(); ++k)
    s += text(left + cell * (double(k) + 0.5), 12, columns[k].name, "middle");
  for (size_t i = 0; i < rows.size(); ++i) {
    const double y = top + row * double(i);
    s += text(left - 6, y + 13, rows[i], "end");
    for (size_t k = 0; k < columns.size(); ++k) {
      const double v = columns[k].values[i];
      const int fade = std::isfinite(v) ? int(255 * (1 - 0.5 * std::min(1., std::fabs(v)))) : 245;
      char fill[32];
      if (v > 0) std::snprintf(fill, sizeof fill, "rgb(%d,%d,255)", fade, fade);
      else std::snprintf(fill, sizeof fill, "rgb(255,%d,%d)", fade, fade);
      s += rect(left + cell * double(k), y, cell - 2, row - 2, std::isfinite(v) ? fill : "#f5f5f5",
          rows[i] + " " + columns[k].name);
      s += text(left + cell * (double(k) + 0.5), y + 13, std::isfinite(v) ? number(v) : "-", "middle");
    }
  }
  return svg(left + cell * double(columns.size()) + 10, top + row * double(rows.size()) + 6, s);
}

Page::Page(const std::string& title) {
  body_ =
      "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" "
      "content=\"width=device-width\"><title>" +
      in_markup(title) + "</title>\n<style>" +
      "body{font:14px/1.5 sans-serif;max-width:1100px;margin:2em auto;padding:0 "
      "1em;color:#222}h1,h2{font-weight:600}"
      "table{border-collapse:collapse;font-size:13px}td,th{padding:2px "
      "10px;text-align:left;border-bottom:1px solid #eee;white-space:nowrap}"
      "th{background:#f6f6f6}figure{margin:1em "
      "0;overflow-x:auto}svg,img{max-width:100%;height:auto}pre{background:#f6f6f6;padding:1em;overflow-x:"
      "auto}"
      "figcaption{color:#555;max-width:70em}.wide{overflow-x:auto}.bad{color:#c00;font-weight:600}"
      "</style></head><body>\n<h1>" +
      in_markup(title) + "</h1>\n";
}
void Page::heading(const std::string& text) { body_ += "<h2>" + in_markup(text) + "</h2>\n"; }
void Page::paragraph(const std::string& text) { body_ += "<p>" + in_markup(text) + "</p>\n"; }
void Page::preformatted(const std::string& text) { body_ += "<pre>" + in_markup(text) + "</pre>\n"; }
void Page::raw(const std::string& text) { body_ += text; }
void Page::figure(const std::string& svg, const std::string& caption) {
  body_ += "<figure>" + svg + "<figcaption>" + in_markup(caption) + "</figcaption></figure>\n";
}
void Page::table(const std::vector<std::string>& header, const std::vector<std::vector<std::string>>& rows) {
  body_ += "<div class=\"wide\"><table><tr>";
  for (const std::string& h : header) body_ += "<th>" + in_markup(h) + "</th>";
  body_ += "</tr>\n";
  for (const auto& row : rows) {
    body_ += "<tr>";
    for (const std::string& cell : row) body_ += "<td>" + cell + "</td>";
    body_ += "</tr>\n";
  }
  body_ += "</table></div>\n";
}
void Page::save(const std::string& path) const { write_text(path, body_ + "</body></html>\n"); }

}  // namespace patchcl::html
