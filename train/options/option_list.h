// OptionList: the options of a command or a method, each declared once: name, place of the value, range,
// meaning.
//
// One declaration serves the command line (--tau 0.2), TOML files (tau=0.2), the record of what ran, its
// check on resume, tests and --help. A value is set from text and printed as text; what was printed sets the
// same bits again. Every error about a value is made here.
#pragma once
#include <functional>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "tensor/error.h"

namespace CLI {
class App;
}

namespace patchcl {

// Names, without dashes, and texts: {"tau", "0.2"}, {"widths", "16,32"}.
using OptionValues = std::vector<std::pair<std::string, std::string>>;

// What a number may be; `open`: more than `least`, not equal to it; `open_above`: less than `most`.
struct Range {
  double least = -std::numeric_limits<double>::infinity(), most = std::numeric_limits<double>::infinity();
  bool open = false, open_above = false;
  bool holds(double v) const {
    return (open ? v > least : v >= least) && (open_above ? v < most : v <= most);
  }
  std::string text() const;  // "in [0,1]", "above 0"; empty: anything
};
constexpr Range kAnything{}, kShare{0, 1}, kShareBelowOne{0, 1, false, true},
    kPositive{0, std::numeric_limits<double>::infinity(), true}, kNotNegative{0};
constexpr Range at_least(double least) { return {least}; }

// The values of an enum by name.
template <class E> using Names = std::vector<std::pair<std::string, E>>;
// Those of an enum whose values count from 0 in the order of these names.
template <class E> Names<E> in_order(const std::vector<std::string>& words) {
  Names<E> names;
  for (const std::string& w : words) names.push_back({w, E(names.size())});
  return names;
}
template <class E> std::string name_of(E value, const Names<E>& names) {
  for (const auto& [name, v] : names)
    if (v == value) return name;
  fail(ExitCode::internal, "options", "a value without a name");
}
// Error(usage): `name` is none of `known`.
[[noreturn]] void no_such_name(
    const std::string& option, const std::string& name, const std::vector<std::string>& known);
// The value of that name; Error(usage) with all names for any other.
template <class E> E by_name(const std::string& option, const std::string& name, const Names<E>& names) {
  std::vector<std::string> known;
  for (const auto& [n, v] : names) {
    if (n == name) return v;
    known.push_back(n);
  }
  no_such_name(option, name, known);
}

// The one of `known` that a misspelt word most likely meant; empty when none is near.
std::string nearest(const std::string& word, const std::vector<std::string>& known);
// "; did you mean 'X'?", or nothing.
std::string did_you_mean(const std::string& word, const std::vector<std::string>& known);
// The first word that a parser did not know, and which option it may have meant.
std::string unknown_option(const CLI::App& app);
// The first key that a TOML file cannot set, and which it may have meant; `file` is read again.
std::string unknown_key(const CLI::App& app, const std::string& file);

class OptionList {
 public:
  // What is declared from here on stands under this title in --help.
  void group(const std::string& title) { title_ = title; }

  // T: int, int64_t, uint64_t, double, bool, std::string, std::vector<int>, std::vector<double>. What `value`
  // holds is the default; it must outlive the list.
  template <class T>
  void add(const std::string& name, T& value, const std::string& help, const Range& range = kAnything);
  template <class E>
  void choose(const std::string& name, E& value, const Names<E>& names, const std::string& help) {
    std::string kinds;
    for (const auto& [n, v] : names) kinds += (kinds.empty() ? "" : "|") + n;
    declare({title_, name, help, kinds,
        [&value, names, name](const std::string& text) { value = by_name(name, text, names); },
        [&value, names] { return name_of(value, names); }, Form::word});
  }

  // Error(usage) for an unknown name and for a value that is none or out of range.
  void set(const std::string& name, const std::string& text);
  void set(const OptionValues& values) {
    for (const auto& [name, text] : values) set(name, text);
  }
  // Error(usage) when one of these that is in the list is not at its default: `why` says what keeps it from
  // being read.
  void forbid(const std::vector<std::string>& names, const std::string& why) const;

  bool contains(const std::string& name) const { return find(name) != nullptr; }
  std::vector<std::string> names() const;
  OptionValues values() const;
  // One line per option, name=value; a text that is empty was not given and has no line.
  std::string toml() const;
  // As --NAME of a parser, with the present values as defaults.
  void declare_to(CLI::App& app);

 private:
  enum class Form { number, word, flag, list };
  struct Declaration {
    std::string title, name, help, kind;  // kind: "number in [0,1]", "a|b|c"
    std::function<void(const std::string&)> set;
    std::function<std::string()> get;
    Form form;
    std::string initial = get();
  };
  void declare(Declaration entry);
  const Declaration* find(const std::string& name) const;

  std::string title_;
  std::vector<Declaration> entries_;
};

}  // namespace patchcl
