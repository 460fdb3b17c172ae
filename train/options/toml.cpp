#include "train/options/toml.h"

#include <toml++/toml.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <charconv>
#include <nlohmann/json.hpp>

#include "tensor/text.h"

namespace patchcl {

namespace {

std::string with_bytes_as_characters(const std::string& text) {
  std::string out;
  for (size_t i = 0; i < text.size();) {
    const uint8_t byte = uint8_t(text[i]);
    size_t length = byte < 0x80;  // of a character
    for (size_t n = 2; length == 0 && n <= 4; ++n)
      if (nlohmann::json::accept('"' + text.substr(i, n) + '"')) length = n;
    if (length > 0) out += text.substr(i, length);
    else out += {char(0xEF), char(0x9E | (byte >> 6 & 1)), char(0x80 | (byte & 0x3F))};
    i += std::max<size_t>(length, 1);
  }
  return out;
}

std::string with_characters_as_bytes(const std::string& text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    const bool stands_for_byte =
        i + 2 < text.size() && uint8_t(text[i]) == 0xEF && (uint8_t(text[i + 1]) | 1) == 0x9F;
    if (stands_for_byte) {
      out += char(0x80 | (uint8_t(text[i + 1]) & 1) << 6 | (uint8_t(text[i + 2]) & 0x3F));
      i += 2;
    } else {
      out += text[i];
    }
  }
  return out;
}

std::string text_of(const std::string& key, const toml::node& node) {
  if (const auto text = node.as_string()) return with_characters_as_bytes(text->get());
  if (const auto truth = node.as_boolean()) return truth->get() ? "true" : "false";
  if (const auto whole = node.as_integer()) return std::to_string(whole->get());
  if (const auto number = node.as_floating_point()) {
    char digits[64];
    const auto end = std::to_chars(digits, digits + sizeof digits, number->get()).ptr;
    return {digits, end};  // the shortest that reads back
  }
  if (node.is_table()) fail(ExitCode::usage, "options", "[", key, "] is a section; options stand in none");
  fail(ExitCode::usage, "options", "'", key, "' is no text, number or list of numbers");
}

class TomlReader : public CLI::Config {
 public:
  std::vector<CLI::ConfigItem> from_config(std::istream& in) const override {
    std::vector<CLI::ConfigItem> items;
    try {
      for (const auto& [name, value] : toml_values({std::istreambuf_iterator<char>(in), {}})) {
        items.emplace_back();
        items.back().name = name;
        items.back().inputs = {value};
      }
    } catch (const Error& e) {
      throw CLI::ConfigError(e.what(), CLI::ExitCodes::ConfigError);
    }
    return items;
  }
  std::string to_config(const CLI::App*, bool, bool, std::string) const override { return {}; }
};

}  // namespace

OptionValues toml_values(const std::string& text) {
  OptionValues values;
  try {
    for (const auto& [key, node] : toml::parse(with_bytes_as_characters(text))) {
      const std::string name(key.str());
      const toml::array* const list = node.as_array();
      std::vector<std::string> texts;
      for (size_t i = 0; list && i < list->size(); ++i) texts.push_back(text_of(name, *list->get(i)));
      values.push_back({name, list ? listed(texts) : text_of(name, node)});
    }
  } catch (const toml::parse_error& e) {
    fail(ExitCode::usage, "options", "line ", e.source().begin.line,
        " is no TOML: ", std::string(e.description()), "; texts stand in quotes");
  }
  return values;
}

std::string toml_text(const std::string& text) {
  return nlohmann::json(with_bytes_as_characters(text)).dump();  // JSON's strings are TOML's too
}

std::shared_ptr<CLI::Config> toml_reader() { return std::make_shared<TomlReader>(); }

}  // namespace patchcl
