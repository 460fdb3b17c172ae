#include "train/evaluate/terminal.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <cstring>

#include "tensor/text.h"

namespace patchcl {

namespace {

constexpr size_t kLeastRoom = 20;  // less is no column of text any more

struct CodePoints {
  uint32_t first, last;
  bool hold(uint32_t code) const { return code >= first && code <= last; }
};
constexpr CodePoints kMarks[]{{0x300, 0x36f}, {0x200b, 0x200f}, {0xfe00, 0xfe0f}};
constexpr CodePoints kWide[]{{0x1100, 0x115f}, {0x2e80, 0xa4cf}, {0xac00, 0xd7a3}, {0xf900, 0xfaff},
    {0xff00, 0xff60}, {0x1f300, 0x3fffd}};

// The letter at `at`: its bytes and columns. What is no UTF-8 counts byte by byte.
struct Letter {
  size_t bytes = 1, columns = 1;
};
Letter letter_at(const std::string& text, size_t at) {
  const auto byte = [&](size_t i) { return at + i < text.size() ? uint8_t(text[at + i]) : uint8_t(0); };
  size_t bytes = 1;
  if (byte(0) >= 0xc2) bytes = 2;
  if (byte(0) >= 0xe0) bytes = 3;
  if (byte(0) >= 0xf0) bytes = 4;
  uint32_t code = bytes == 1 ? byte(0) : byte(0) & (0x7fu >> bytes);
  for (size_t i = 1; i < bytes; ++i) {
    if ((byte(i) & 0xc0) != 0x80) return {};
    code = code << 6 | (byte(i) & 0x3f);
  }
  const auto holds = [code](const CodePoints& range) { return range.hold(code); };
  if (std::any_of(std::begin(kMarks), std::end(kMarks), holds)) return {bytes, 0};
  return {bytes, std::any_of(std::begin(kWide), std::end(kWide), holds) ? 2u : 1u};
}

// Where a line of `text` that holds `width` columns ends, and where the next one begins.
struct LineEnd {
  size_t end, next;
};
LineEnd line_end(const std::string& text, size_t width) {
  const size_t fits = first_columns(text, width).size();
  if (fits == text.size()) return {fits, fits};
  const size_t begin = std::min(text.find_first_not_of(' '), text.size());
  size_t space = text.rfind(' ', fits);
  if (space == std::string::npos || space < begin) {
    const size_t within = fits == 0 ? std::string::npos : text.find_last_of("|,", fits - 1);
    if (within != std::string::npos && within > begin) return {within + 1, within + 1};
    space = text.find(' ', std::max(fits, begin));
    if (space == std::string::npos) return {text.size(), text.size()};
  }
  const size_t end = text.find_last_not_of(' ', space) + 1;
  return {end, std::min(text.find_first_not_of(' ', space), text.size())};
}

}  // namespace

size_t terminal_width(std::FILE* out, size_t otherwise) {
  winsize size{};
  return ioctl(fileno(out), TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : otherwise;
}

bool rewrites_lines(std::FILE* out) {
  const char* const kind = std::getenv("TERM");
  return isatty(fileno(out)) && (!kind || std::strcmp(kind, "dumb") != 0);
}

size_t columns(const std::string& text) {
  size_t sum = 0;
  for (size_t at = 0; at < text.size();) {
    const Letter letter = letter_at(text, at);
    at += letter.bytes;
    sum += letter.columns;
  }
  return sum;
}

std::string first_columns(const std::string& text, size_t width) {
  size_t at = 0;
  for (size_t sum = 0; at < text.size();) {
    const Letter letter = letter_at(text, at);
    sum += letter.columns;
    if (sum > width) break;
    at += letter.bytes;
  }
  return text.substr(0, at);
}

std::string padded(const std::string& text, size_t width) {
  const size_t taken = columns(text);
  return text + std::string(width > taken ? width - taken : 0, ' ');
}

std::string wrapped(const std::string& text, size_t width, size_t hanging, size_t begun) {
  std::string all;
  TextIn lines(text);
  for (std::string rest; std::getline(lines, rest);) {
    do {
      const size_t taken = all.empty() ? begun : hanging;
      const auto [end, next] = line_end(rest, std::max(width, taken + kLeastRoom) - taken);
      if (!all.empty()) all.append("\n").append(end > 0 ? hanging : 0, ' ');
      all += rest.substr(0, end);
      rest.erase(0, next);
    } while (!rest.empty());
  }
  return all;
}

}  // namespace patchcl
