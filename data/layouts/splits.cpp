#include "data/layouts/splits.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <filesystem>

#include "tensor/error.h"
#include "tensor/text.h"

namespace patchcl {

namespace {

using Groups = std::set<std::string>;

// Takes the sources of these groups out.
std::vector<Source> take(std::vector<Source>& from, const Groups& groups) {
  const auto split = std::stable_partition(
      from.begin(), from.end(), [&](const Source& s) { return !groups.contains(s.group); });
  std::vector<Source> taken(split, from.end());
  from.erase(split, from.end());
  return taken;
}

// The last `cases` labelled patients.
std::vector<Source> take_last(std::vector<Source>& train, int64_t cases, const char* option) {
  const std::vector<std::string> groups = groups_of(train, /*labeled_only=*/true);
  const int64_t n = int64_t(groups.size());
  if (cases >= n && n > 0)
    fail(ExitCode::usage, "data", option, " ", cases, " of ", n, " cases leaves none to train on");
  return take(train, Groups(groups.end() - std::min(cases, n), groups.end()));
}

// The last patients of the training list. Of a list of its own the first `cases` stay.
void hold_out(Layout& layout, int64_t cases) {
  if (!layout.validation.empty()) {
    const std::vector<std::string> groups = groups_of(layout.validation, /*labeled_only=*/true);
    const int64_t n = int64_t(groups.size());
    if (cases > n) fail(ExitCode::usage, "data", "--val ", cases, " of ", n, " validation cases");
    take(layout.validation, Groups(groups.begin() + cases, groups.end()));
    return;
  }
  if (cases < 0) cases = int64_t(groups_of(layout.train, /*labeled_only=*/true).size()) / 5;
  layout.validation = take_last(layout.train, cases, "--val");
}

struct FoldNumber {
  int64_t number, of;
};
FoldNumber parse_fold(const std::string& text) {
  FoldNumber f{0, 0};
  char slash = 0;
  TextIn in(text);
  if (!(in >> f.number >> slash >> f.of) || slash != '/' || !in.eof() || f.number < 1 || f.number > f.of)
    fail(ExitCode::usage, "data", "--fold '", text, "' wants the number of a fold and of how many: 2/5");
  return f;
}

// Each name stands for a source or for all of a patient; in the order of the names.
std::vector<Source> chosen(const std::vector<Source>& all, const std::vector<std::string>& names) {
  std::vector<Source> sources;
  for (const std::string& name : names) {
    const size_t before = sources.size();
    std::copy_if(all.begin(), all.end(), std::back_inserter(sources),
        [&](const Source& s) { return s.id == name || s.group == name; });
    if (sources.size() == before)
      fail(ExitCode::data, "data", "splits_final.json names '", name, "', which is not in the folder");
  }
  return sources;
}

void use_listed_fold(Layout& layout, size_t number) {
  std::vector<Source> all = layout.train, unlabeled;
  std::copy_if(
      all.begin(), all.end(), std::back_inserter(unlabeled), [](const Source& s) { return !s.labeled(); });
  layout.validation = chosen(all, layout.folds[number].validation);
  layout.train = chosen(all, layout.folds[number].train);
  Groups known;
  for (const std::vector<Source>* part : {&layout.train, &layout.validation})
    for (const Source& s : *part) known.insert(s.id);
  for (const Source& s : unlabeled)
    if (!known.contains(s.id)) layout.train.push_back(s);
}

// Patient i of the list belongs to fold i mod of.
void cut_fold(Layout& layout, const FoldNumber& fold) {
  if (fold.of < 2)
    fail(ExitCode::usage, "data",
        "--fold 1/1 is for a splits_final.json of one fold, which this data has not; here all cases would be "
        "held out, say 1/2 or more");
  const std::vector<std::string> groups = groups_of(layout.train, /*labeled_only=*/true);
  if (int64_t(groups.size()) < fold.of)
    fail(ExitCode::usage, "data", "--fold ", fold.number, "/", fold.of, " of ", groups.size(), " cases");
  Groups held;
  for (size_t i = size_t(fold.number - 1); i < groups.size(); i += size_t(fold.of)) held.insert(groups[i]);
  if (!layout.validation.empty())
    layout.notes.push_back(
        "the folder's own validation cases are left aside: folds are of its training cases");
  layout.validation = take(layout.train, held);
}

void use_fold(Layout& layout, const std::string& text) {
  const bool listed = !layout.folds.empty();
  const FoldNumber fold = text.empty() ? FoldNumber{1, int64_t(layout.folds.size())} : parse_fold(text);
  if (listed && fold.of != int64_t(layout.folds.size()))
    fail(ExitCode::usage, "data", "--fold ", text, ", but splits_final.json lists ", layout.folds.size(),
        " folds");
  if (listed) use_listed_fold(layout, size_t(fold.number - 1));
  else cut_fold(layout, fold);
  layout.notes.push_back("fold " + std::to_string(fold.number) + " of " + std::to_string(fold.of) +
                         (listed ? " of splits_final.json" : ", patients dealt out in turn"));
}

void refuse_shared_patients(const Layout& layout) {
  const std::pair<const char*, const std::vector<Source>*> parts[] = {
      {"training", &layout.train}, {"validation", &layout.validation}, {"test", &layout.test}};
  for (size_t i = 0; i < 3; ++i)
    for (size_t j = i + 1; j < 3; ++j) {
      const std::vector<std::string> groups = groups_of(*parts[i].second);
      const Groups known(groups.begin(), groups.end());
      for (const Source& s : *parts[j].second)
        if (known.contains(s.group))
          fail(ExitCode::data, "data", "'", s.group, "' is in the ", parts[i].first, " and in the ",
              parts[j].first, " split; mend the lists or folders, or say with --group who is a patient");
    }
}

// Of the sources with a label that are so called, or whose patient is.
std::set<std::string> ids_of(const std::vector<Source>& train, const std::set<std::string>& names) {
  std::set<std::string> ids;
  for (const Source& s : train)
    if (s.labeled() && (names.contains(s.id) || names.contains(s.group))) ids.insert(s.id);
  return ids;
}

enum class BudgetKind { count, share, file };
struct AskedBudget {
  BudgetKind kind;
  double number;  // of a count, or a share in percent
};
// What is no number can only be a file.
AskedBudget asked(const Budget& budget) {
  const std::string& text = budget.text;
  char* end = nullptr;
  const double number = std::strtod(text.c_str(), &end);
  if (std::string(end) == "%" && number > 0 && number <= 100) return {BudgetKind::share, number};
  if (!text.empty() && *end == 0 && number == std::floor(number) && number >= -1)
    return {BudgetKind::count, number};
  return {BudgetKind::file, 0};
}

// Why no label of that name may be read.
[[noreturn]] void refuse_name(const std::string& file, const std::string& name, const Layout& divided) {
  const auto is_it = [&](const Source& s) { return s.id == name || s.group == name; };
  const auto holds = [&](const std::vector<Source>& all) {
    return std::any_of(all.begin(), all.end(), is_it);
  };
  std::string why =
      "which is no case; a line is the name of a case, without folder and ending, or of a patient: '" +
      divided.train.front().id + "'";
  if (holds(divided.train)) why = "which has no label; take the line out";
  if (holds(divided.validation) || holds(divided.test))
    why = "which is held out and not trained on; take the line out, or hold others out (--val, --fold)";
  fail(ExitCode::usage, "data", file, " names '", name, "', ", why);
}

}  // namespace

bool Budget::is_file() const { return asked(*this).kind == BudgetKind::file; }

void Budget::check() const {
  if (is_file() && !std::filesystem::is_regular_file(text))
    fail(ExitCode::usage, "data", "--labeled '", text,
        "': there is no such file; say a count (7), a share (10%), -1 for all, or a file that names cases");
}

std::vector<std::string> groups_of(const std::vector<Source>& sources, bool labeled_only) {
  std::vector<std::string> order;
  Groups seen;
  for (const Source& s : sources)
    if ((!labeled_only || s.labeled()) && seen.insert(s.group).second) order.push_back(s.group);
  return order;
}

void divide(Layout& layout, const DatasetOptions& options) {
  if (!options.fold.empty() || (!layout.folds.empty() && layout.validation.empty()))
    use_fold(layout, options.fold);
  refuse_shared_patients(layout);
  if (layout.validation.empty() || options.validation >= 0) hold_out(layout, options.validation);
  if (options.tune < 0)
    fail(ExitCode::usage, "data", "--tune ", options.tune, "; wants a number of patients");
  if (options.tune > 0) {
    const size_t untouched = layout.validation.size();
    layout.validation = take_last(layout.train, options.tune, "--tune");
    layout.notes.push_back("TUNING: the last " + std::to_string(options.tune) +
                           " labelled training patients are not trained on and are what is validated; the " +
                           std::to_string(untouched) + " validation cases are not read");
  }
}

std::set<std::string> labeled_ids(const Layout& divided, const Budget& budget) {
  const std::vector<Source>& train = divided.train;
  const std::vector<std::string> groups = groups_of(train, /*labeled_only=*/true);
  const int64_t n = int64_t(groups.size());
  if (n == 0)
    fail(ExitCode::data, "data",
        "no training image has a label; masks are looked for in masks/ or labels/ beside images/, by the "
        "image's name or NAME_mask, in the image's folder as NAME_mask, NAME_label, NAME_seg or NAME_gt, in "
        "labelsTr/ (MSD, nnU-Net) and as \"label\" in .h5 files (SSL4MIS)");
  budget.check();
  const auto [kind, number] = asked(budget);
  const auto first = [&](int64_t patients) {
    return ids_of(train, {groups.begin(), groups.begin() + patients});
  };
  if (kind == BudgetKind::share) return first(std::max<int64_t>(1, int64_t(double(n) * number / 100)));
  if (kind == BudgetKind::count && number == 0)
    fail(ExitCode::data, "data", "zero labelled cases; --labeled wants 1 to ", n);
  if (kind == BudgetKind::count && number > double(n))
    fail(ExitCode::usage, "data", "--labeled ", budget.text, " of ", n, " training cases with labels");
  if (kind == BudgetKind::count) return first(number < 0 ? n : int64_t(number));
  std::set<std::string> named;
  for (const std::string& name : read_list(budget.text)) {
    const std::set<std::string> ids = ids_of(train, {name});
    if (ids.empty()) refuse_name(budget.text, name, divided);
    named.insert(ids.begin(), ids.end());
  }
  if (named.empty()) fail(ExitCode::data, "data", budget.text, " names no labelled case");
  return named;
}

}  // namespace patchcl
