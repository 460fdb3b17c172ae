#include "train/options/option_list.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cctype>
#include <charconv>
#include <cmath>
#include <map>
#include <numeric>

#include "tensor/file.h"
#include "tensor/text.h"
#include "train/options/toml.h"

namespace patchcl {

namespace {

template <class T> std::string print(const T& value) {
  char text[64];
  const auto [end, error] = std::to_chars(text, text + sizeof text, value);  // the shortest that reads back
  return {text, end};
}
std::string print(const std::string& value) { return value; }
std::string print(bool value) { return value ? "true" : "false"; }
template <class T> std::string print(const std::vector<T>& values) {
  std::string all;
  for (const T& v : values) all += (all.empty() ? "" : ",") + print(v);
  return all;
}

constexpr double kBeyondUse = 1e9;  // a bound up there only keeps numbers computable

[[noreturn]] void no_value(const std::string& name, const std::string& text, const std::string& wanted) {
  fail(ExitCode::usage, "options", "--", name, " '", text, "' is not ", wanted);
}

template <class T>
void parse(const std::string& name, const std::string& text, const Range& range, T& value) {
  T parsed{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), parsed);
  const bool whole = std::is_integral_v<T>;
  if (error == std::errc::result_out_of_range) no_value(name, text, "a number that fits");
  if (error != std::errc{} || end != text.data() + text.size() || !std::isfinite(double(parsed)))
    no_value(name, text, whole ? "a whole number" : "a number");
  if (range.holds(double(parsed))) {
    value = parsed;
    return;
  }
  no_value(name, text,
      double(parsed) > range.most && range.most >= kBeyondUse ? "at most " + print(range.most)
                                                              : range.text());
}
void parse(const std::string&, const std::string& text, const Range&, std::string& value) { value = text; }
void parse(const std::string& name, const std::string& text, const Range&, bool& value) {
  static const std::map<std::string, bool> words{{"true", true}, {"on", true}, {"yes", true}, {"1", true},
      {"", true}, {"false", false}, {"off", false}, {"no", false}, {"0", false}};
  const auto found = words.find(text);
  if (found == words.end()) no_value(name, text, "true or false");
  value = found->second;
}
template <class T>
void parse(const std::string& name, const std::string& text, const Range& range, std::vector<T>& values) {
  std::vector<T> parsed;
  std::string rest = text;
  std::replace(rest.begin(), rest.end(), ',', ' ');
  TextIn words(rest);
  for (std::string word; words >> word;) parse(name, word, range, parsed.emplace_back());
  if (parsed.empty()) no_value(name, text, "a list of numbers, such as 16,32,64");
  values = parsed;
}

template <class T> struct Kind {
  static constexpr bool is_list = false, is_flag = std::is_same_v<T, bool>;
  static constexpr bool is_word = std::is_same_v<T, std::string>;
  static std::string text(const Range& range) {
    if (is_word) return "text";
    if (is_flag) return "true|false";
    return std::string(std::is_integral_v<T> ? "whole number" : "number") +
           (range.text().empty() ? "" : " ") + range.text();
  }
};
template <class T> struct Kind<std::vector<T>> {
  static constexpr bool is_list = true, is_flag = false, is_word = false;
  static std::string text(const Range& range) { return Kind<T>::text(range) + ", ..."; }
};

// What options of other programs are called here: PyTorch's, nnU-Net's, SSL4MIS's.
const std::map<std::string, std::string> kElsewhere{{"batch-size", "batch"}, {"labeled-bs", "labeled-batch"},
    {"epochs", "iters"}, {"num-epochs", "iters"}, {"max-epochs", "iters"}, {"max-iterations", "iters"},
    {"iterations", "iters"}, {"steps", "iters"}, {"learning-rate", "lr"}, {"base-lr", "lr"},
    {"initial-lr", "lr"}, {"gpu", "device"}, {"gpus", "device"}, {"cuda", "device"}, {"exp", "out"},
    {"output", "out"}, {"output-dir", "out"}, {"save-dir", "out"}, {"root-path", "data"},
    {"data-path", "data"}, {"dataset", "data"}, {"labeled-num", "labeled"}, {"label-num", "labeled"},
    {"patch-size", "size"}, {"image-size", "size"}, {"img-size", "size"}, {"num-workers", "threads"},
    {"workers", "threads"}, {"model", "method"}, {"ema-decay", "ema"}, {"checkpoint", "weights"},
    {"pretrained", "weights"}, {"amp", "math"}, {"fp16", "math"}};

std::string lower(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(), [](unsigned char c) { return std::tolower(c); });
  return text;
}

// "--Batch_Size=8" as "batch-size".
std::string bare(const std::string& option) {
  std::string name = lower(option.substr(0, option.find('=')));
  name.erase(0, name.find_first_not_of('-'));
  std::replace(name.begin(), name.end(), '_', '-');
  return name;
}

// An option, with or without dashes before it, by what it is called elsewhere or else by its letters.
std::string meant_option(const std::string& word, const std::vector<std::string>& known) {
  const auto elsewhere = kElsewhere.find(bare(word));
  for (const std::string& k : known)
    if (bare(k) == bare(word) || (elsewhere != kElsewhere.end() && bare(k) == elsewhere->second))
      return "; did you mean '" + k + "'?";
  return did_you_mean(word, known);
}

// Edits (insert, drop, replace a letter) that turn a into b.
size_t distance(const std::string& a, const std::string& b) {
  std::vector<size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), 0);
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = row[0];
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t replaced = diagonal + (a[i - 1] != b[j - 1]);
      diagonal = row[j];
      row[j] = std::min({row[j] + 1, row[j - 1] + 1, replaced});
    }
  }
  return row.back();
}

// Of the words of a list that was given several times: CLI11 puts an empty one between them.
std::vector<std::string> of_last_occurrence(const std::vector<std::string>& words) {
  const auto separator = std::find(words.rbegin(), words.rend(), "");
  return {separator.base(), words.end()};
}

// Those of groups of options and of sub-commands too: `audit model`.
std::vector<const CLI::Option*> all_options(const CLI::App& app) {
  std::vector<const CLI::Option*> all = app.get_options();
  for (const CLI::App* inner : app.get_subcommands([](const CLI::App*) { return true; }))
    for (const CLI::Option* o : all_options(*inner)) all.push_back(o);
  return all;
}

// TOML's whole numbers have 63 bits.
bool is_beyond_toml(const std::string& value) {
  return value.size() > 18 && value.find_first_not_of("0123456789") == std::string::npos;
}

}  // namespace

std::string Range::text() const {
  const bool low = least > -std::numeric_limits<double>::infinity(), high = most < kBeyondUse;
  if (low && high)
    return std::string("in ") + (open ? "(" : "[") + print(least) + "," + print(most) +
           (open_above ? ")" : "]");
  if (low) return (open ? "above " : "at least ") + print(least);
  if (high) return "at most " + print(most);
  return "";
}

std::string nearest(const std::string& word, const std::vector<std::string>& known) {
  std::string best;
  size_t least = std::max<size_t>(2, word.size() / 3) + 1;
  for (const std::string& k : known) {
    const size_t d = distance(lower(word), lower(k));
    if (d >= least) continue;
    least = d;
    best = k;
  }
  return best;
}

std::string did_you_mean(const std::string& word, const std::vector<std::string>& known) {
  const std::string near = nearest(word, known);
  return near.empty() ? "" : "; did you mean '" + near + "'?";
}

std::string unknown_option(const CLI::App& app) {
  std::vector<std::string> known;
  for (const CLI::Option* o : all_options(app))
    for (const std::string& name : o->get_lnames()) known.push_back("--" + name);
  const std::string word = app.remaining(/*recurse=*/true).at(0);
  if (word.starts_with('-')) return "'" + word + "' is not an option here" + meant_option(word, known);
  return "'" + word + "' is one word too many here; a name with blanks stands in quotes" +
         (app.get_option_no_throw("input") ? ", and of several images their folder is named" : "");
}

std::string unknown_key(const CLI::App& app, const std::string& file) {
  std::vector<std::string> known;
  for (const CLI::Option* o : all_options(app))
    if (o->get_configurable())
      for (const std::string& name : o->get_lnames()) known.push_back(name);
  try {
    for (const auto& [name, value] : toml_values(read_text(file, ExitCode::usage)))
      if (std::find(known.begin(), known.end(), name) == known.end())
        return "'" + name + "' is no option of a file" + meant_option(name, known);
  } catch (const Error& e) {
    const std::string what = e.what();
    return what.substr(what.find("] ") + 2);  // behind "[where]"
  }
  return "is not understood";
}

void no_such_name(const std::string& option, const std::string& name, const std::vector<std::string>& known) {
  fail(ExitCode::usage, "options", "--", option, " '", name, "' is none of ", listed(known, ", "),
      did_you_mean(name, known));
}

template <class T>
void OptionList::add(const std::string& name, T& value, const std::string& help, const Range& range) {
  using K = Kind<T>;
  Form form = Form::number;
  if (K::is_list) form = Form::list;
  if (K::is_flag) form = Form::flag;
  if (K::is_word) form = Form::word;
  declare({title_, name, help, K::text(range),
      [&value, name, range](const std::string& text) { parse(name, text, range, value); },
      [&value] { return print(value); }, form});
}
template void OptionList::add(const std::string&, int&, const std::string&, const Range&);
template void OptionList::add(const std::string&, int64_t&, const std::string&, const Range&);
template void OptionList::add(const std::string&, uint64_t&, const std::string&, const Range&);
template void OptionList::add(const std::string&, double&, const std::string&, const Range&);
template void OptionList::add(const std::string&, bool&, const std::string&, const Range&);
template void OptionList::add(const std::string&, std::string&, const std::string&, const Range&);
template void OptionList::add(const std::string&, std::vector<int>&, const std::string&, const Range&);
template void OptionList::add(const std::string&, std::vector<double>&, const std::string&, const Range&);

void OptionList::declare(Declaration entry) {
  require(!contains(entry.name), "options", "--", entry.name, " is declared twice");
  entries_.push_back(std::move(entry));
}

const OptionList::Declaration* OptionList::find(const std::string& name) const {
  for (const Declaration& e : entries_)
    if (e.name == name) return &e;
  return nullptr;
}

void OptionList::set(const std::string& name, const std::string& text) {
  const Declaration* const e = find(name);
  if (!e) fail(ExitCode::usage, "options", "there is no option --", name, did_you_mean(name, names()));
  e->set(text);
}

void OptionList::forbid(const std::vector<std::string>& names, const std::string& why) const {
  for (const std::string& name : names) {
    const Declaration* const e = find(name);
    if (e && e->get() != e->initial)
      fail(ExitCode::usage, "options", "--", name, " ", e->get(), " has no effect ", why, "; leave it out");
  }
}

std::vector<std::string> OptionList::names() const {
  std::vector<std::string> all;
  for (const Declaration& e : entries_) all.push_back(e.name);
  return all;
}

OptionValues OptionList::values() const {
  OptionValues all;
  for (const Declaration& e : entries_) all.push_back({e.name, e.get()});
  return all;
}

std::string OptionList::toml() const {
  std::string all;
  for (const Declaration& e : entries_) {
    std::string value = e.get();
    if (value.empty()) continue;
    if (e.form == Form::list) value = "[" + value + "]";
    if (e.form == Form::word || is_beyond_toml(value)) value = toml_text(value);
    all += e.name + "=" + value + "\n";
  }
  return all;
}

void OptionList::declare_to(CLI::App& app) {
  std::map<std::string, CLI::App*> groups;
  for (const Declaration& e : entries_) {
    CLI::App*& group = groups[e.title];
    if (!group) group = e.title.empty() ? &app : app.add_option_group(e.title);
    const auto take = [e](const std::vector<std::string>& words) {
      std::string text;
      for (const std::string& w : of_last_occurrence(words)) text += (text.empty() ? "" : ",") + w;
      if (e.form == Form::flag && text == "{}") text = "true";
      e.set(e.form == Form::list || words.empty() ? text : words.back());
    };
    CLI::Option* option = group->add_option_function<std::vector<std::string>>("--" + e.name, take, e.help);
    option->type_name(e.kind)->default_str(e.get())->multi_option_policy(CLI::MultiOptionPolicy::TakeLast);
    if (e.form == Form::list) option->expected(1, 1 << 20)->inject_separator();
    else option->expected(e.form == Form::flag ? 0 : 1, 1)->allow_extra_args(false);
  }
}

}  // namespace patchcl
