#include "train/evaluate/progress.h"

#include <algorithm>

#include "train/evaluate/table.h"
#include "train/evaluate/terminal.h"

namespace patchcl {

namespace {

constexpr double kTerminalSeconds = 0.5, kPlainSeconds = 10;
constexpr size_t kLeastWidth = 20;

// All parts of a line, in as many lines as they take.
std::string in_lines(std::string line, size_t width) {
  std::string all;
  while (!line.empty()) {
    const std::string part = fitted(line, std::max(width, kLeastWidth));
    all += (all.empty() ? "" : "\n") + part;
    line.erase(0, part.size());
    line.erase(0, line.find_first_not_of(' '));
  }
  return all;
}

double seconds_between(std::chrono::steady_clock::time_point a, std::chrono::steady_clock::time_point b) {
  return std::chrono::duration<double>(b - a).count();
}

}  // namespace

std::string duration(double seconds) {
  char s[32];
  const long t = long(seconds + 0.5);
  if (t >= 3600) std::snprintf(s, sizeof s, "%ld h %02ld min", t / 3600, t / 60 % 60);
  else if (t >= 60) std::snprintf(s, sizeof s, "%ld min %02ld s", t / 60, t % 60);
  else std::snprintf(s, sizeof s, "%ld s", t);
  return s;
}

std::string TimeLeft::left() const {
  return duration(seconds_between(start_, std::chrono::steady_clock::now()) / double(done_) * double(left_));
}

std::string fitted(const std::string& line, size_t width) {
  const std::string shown = first_columns(line, width);
  if (shown.size() == line.size()) return line;
  return line.substr(0, std::min(line.rfind("  ", shown.size()), shown.size()));
}

ProgressLine::ProgressLine(int64_t total, const Options& options)
    : options_(options), total_(total), terminal_(rewrites_lines(options.out)), start_(Clock::now()),
      printed_(start_) {}

std::string ProgressLine::text(int64_t done, double seconds, const std::string& detail) const {
  const Work first = options_.work(options_.first), now = options_.work(done), all = options_.work(total_);
  const auto rate = [&](double finished) { return seconds > 0 ? finished / seconds : 0; };
  const double speed = rate(now.cost - first.cost);
  std::string line = "ETA unknown";
  if (done >= total_) line = "done in " + duration(seconds);
  else if (speed > 0) line = "ETA " + duration((all.cost - now.cost) / speed);
  line += "  " + options_.item + " " + std::to_string(done) + "/" + std::to_string(total_);
  if (all.images > 0) line += "  " + fixed(rate(now.images - first.images), 1) + " images/s";
  return line + (detail.empty() ? "" : "  ") + detail;
}

void ProgressLine::update(int64_t done, const std::string& detail) {
  const auto now = Clock::now();
  if (done < total_ && seconds_between(printed_, now) < (terminal_ ? kTerminalSeconds : kPlainSeconds))
    return;
  // What was over at once needs no line.
  if (!terminal_ && done == total_ && options_.out == stderr && seconds_between(start_, now) < kPlainSeconds)
    return;
  printed_ = now;
  const std::string line = text(done, seconds_between(start_, now), detail);
  const size_t width = terminal_width(options_.out, 80) - 1;
  open_ = terminal_ && (done < total_ || options_.out == stderr);
  if (open_) std::fprintf(options_.out, "\r\x1b[K%s", fitted(line, width).c_str());
  else if (terminal_) std::fprintf(options_.out, "\r\x1b[K%s\n", in_lines(line, width).c_str());
  else std::fprintf(options_.out, "%s\n", line.c_str());
  std::fflush(options_.out);
}

void ProgressLine::clear() {
  if (open_) std::fprintf(options_.out, "\r\x1b[K");
  open_ = false;
}

void ProgressLine::say(const std::string& line) {
  clear();
  std::fprintf(options_.out, "%s\n", line.c_str());
  std::fflush(options_.out);
}

ProgressLine::~ProgressLine() {
  if (open_ && options_.out == stderr) clear();  // results follow
  else if (open_) std::fprintf(options_.out, "\n");
}

}  // namespace patchcl
