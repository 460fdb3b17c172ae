// patchcl data: what a data set holds, and the same data set in a form that other programs read.
#include <CLI/CLI.hpp>
#include <unistd.h>

#include <cstdio>
#include <nlohmann/json.hpp>

#include "data/layouts/check.h"
#include "data/layouts/convert.h"
#include "tensor/error.h"
#include "tensor/text.h"
#include "train/commands/command.h"
#include "train/commands/data_flags.h"
#include "train/options/option_list.h"

namespace patchcl {
namespace {

using nlohmann::ordered_json;

// "23/150" on a terminal, nothing elsewhere.
void show_progress(int64_t done, int64_t all) {
  if (!isatty(STDERR_FILENO)) return;
  std::fprintf(stderr, "\r%lld/%lld%s", static_cast<long long>(done), static_cast<long long>(all),
      done == all ? "\n" : "");
}

// One row of the table: what is counted, and its text for a split.
const std::pair<const char*, std::string (*)(const SplitReport&)> kRows[] = {
    {"images or volumes", [](const SplitReport& r) { return std::to_string(r.sources); }},
    {"  unlabelled", [](const SplitReport& r) { return std::to_string(r.unlabeled); }},
    {"patients", [](const SplitReport& r) { return std::to_string(r.groups); }},
    {"slices", [](const SplitReport& r) { return std::to_string(r.slices); }},
    {"  without foreground", [](const SplitReport& r) { return std::to_string(r.empty_slices); }},
    {"slices each", [](const SplitReport& r) { return r.depth.text(); }},
    {"height", [](const SplitReport& r) { return r.height.text(); }},
    {"width", [](const SplitReport& r) { return r.width.text(); }},
    {"channels", [](const SplitReport& r) { return r.channels.text(); }},
    {"slice distance, mm", [](const SplitReport& r) { return r.slice_mm.text(); }},
    {"row distance, mm", [](const SplitReport& r) { return r.row_mm.text(); }},
    {"column distance, mm", [](const SplitReport& r) { return r.column_mm.text(); }},
    {"values", [](const SplitReport& r) { return r.values.text(); }},
};

// "12345 (4.2 %)"
std::string share_text(const SplitReport& r, size_t k) {
  if (k >= r.pixels.size() || r.sources == r.unlabeled) return "-";
  int64_t all = 0;
  for (const int64_t n : r.pixels) all += n;
  char text[64];
  std::snprintf(text, sizeof text, "%lld (%.2f %%)", static_cast<long long>(r.pixels[k]),
      all ? 100 * double(r.pixels[k]) / double(all) : 0.0);
  return text;
}

void print_report(const DataReport& r, const std::string& where) {
  std::printf("%s, %s layout\n", where.c_str(), r.layout.c_str());
  for (const std::string& note : r.notes) std::printf("  %s\n", note.c_str());
  const auto row = [&](const std::string& name, const auto& text) {
    std::printf("%-22s %-20s %-20s", name.c_str(), text(r.train).c_str(), text(r.validation).c_str());
    std::printf(r.test.sources > 0 ? " %s\n" : "\n", text(r.test).c_str());
  };
  row("", [&](const SplitReport& split) -> std::string {
    if (&split == &r.train) return "training";
    return &split == &r.test ? "test" : "validation";
  });
  for (const auto& [name, text] : kRows) row(name, text);
  for (size_t k = 0; k < r.class_names.size(); ++k)
    row("pixels of " + std::to_string(k) + " " + r.class_names[k],
        [k](const SplitReport& split) { return share_text(split, k); });
  for (const std::string& p : r.problems) std::printf("problem: %s\n", p.c_str());
  std::printf("%zu problem%s\n", r.problems.size(), r.problems.size() == 1 ? "" : "s");
}

ordered_json to_json(const Extent& e) {
  return e.low > e.high ? ordered_json() : ordered_json{e.low, e.high};
}

ordered_json to_json(const SplitReport& r) {
  return {{"sources", r.sources}, {"unlabeled", r.unlabeled}, {"patients", r.groups}, {"slices", r.slices},
      {"empty_slices", r.empty_slices}, {"depth", to_json(r.depth)}, {"height", to_json(r.height)},
      {"width", to_json(r.width)}, {"channels", to_json(r.channels)}, {"slice_mm", to_json(r.slice_mm)},
      {"row_mm", to_json(r.row_mm)}, {"column_mm", to_json(r.column_mm)}, {"values", to_json(r.values)},
      {"pixels", r.pixels}};
}

ordered_json to_json(const DataReport& r) {
  return {{"layout", r.layout}, {"class_names", r.class_names}, {"train", to_json(r.train)},
      {"validation", to_json(r.validation)}, {"test", to_json(r.test)}, {"notes", r.notes},
      {"problems", r.problems}};
}

std::function<int()> add_check(CLI::App& app) {
  struct Flags {
    std::string data;
    bool json = false;
    ReadOptions read;
  };
  auto f = std::make_shared<Flags>();
  app.add_option("data", f->data, "Folder of a data set, or phantom[:...]")->required();
  app.add_flag("--json", f->json, "All numbers as JSON instead of the table");
  add_read_options(app, f->read);
  return [f] {
    const DataReport report = check_data(f->data, f->read, show_progress);
    if (f->json) std::printf("%s\n", to_json(report).dump(1).c_str());
    else print_report(report, f->data);
    return int(report.problems.empty() ? ExitCode::ok : ExitCode::data);
  };
}

std::function<int()> add_convert(CLI::App& app) {
  struct Flags {
    std::string from, to;
    Target target = Target::nnunet;
    ReadOptions read;
  };
  auto f = std::make_shared<Flags>();
  app.add_option("from", f->from, "Folder of a data set, or phantom[:...]")->required();
  app.add_option("to", f->to, "Folder to write; must not exist or be empty")->required();
  OptionList list;
  list.choose("as", f->target,
      {{"ssl4mis", Target::ssl4mis}, {"nnunet", Target::nnunet}, {"png", Target::png}},
      "ssl4mis (.h5), nnunet (.nii.gz) or png (images/ and masks/)");
  list.declare_to(app);
  app.get_option("--as")->required()->default_str("");
  add_read_options(app, f->read);
  return [f] {
    const ConvertReport r = convert_data(f->from, f->to, f->target, f->read, show_progress);
    std::printf("wrote %s, %s to %s; ", counted(r.cases, "case").c_str(), counted(r.slices, "slice").c_str(),
        f->to.c_str());
    if (r.rounded_cases == 0) std::printf("no value was rounded\n");
    else
      std::printf("not whole numbers of 16 bits, scaled and rounded: %s, by at most %.2g of their range\n",
          counted(r.rounded_cases, "case").c_str(), r.largest_error);
    return int(ExitCode::ok);
  };
}

AddCommand command{{
    .order = 40,
    .name = "data",
    .help = "Check a data set, or write it for other programs",
    .examples = "Examples:\n"
                "  patchcl data check ACDC                      sizes, labels, and every damaged or "
                "contradictory file\n"
                "  patchcl data convert ACDC acdc --as nnunet   SSL4MIS's slices as volumes for nnU-Net\n"
                "  patchcl data convert Task04_Hippocampus h5 --as ssl4mis\n"
                "  patchcl data convert phantom:cases=8 hearts --as png   generated hearts to look at\n"
                "check exits with 3 when there is a problem.",
    .add = [](CLI::App& app) -> std::function<int()> {
      return add_sub_commands(
          app, {{"check", "Read everything and report sizes, labels and problems", add_check},
                   {"convert", "Write the images and labels as .h5, NIfTI or PNG", add_convert}});
    },
}};

}  // namespace
}  // namespace patchcl
