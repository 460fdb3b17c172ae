// patchcl grid: trains and scores every run of a plan (train/commands/grid.h), --jobs at a time, and writes
// the tables, anew after each run. What is finished is not run again, so an interrupted grid goes on where it
// stopped. Runs side by side share the cores: two runs of one thread each finish sooner than two runs of two
// threads one after the other, with the same bits.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <mutex>
#include <optional>
#include <thread>

#include "tensor/file.h"
#include "tensor/json.h"
#include "train/commands/child_run.h"
#include "train/commands/command.h"
#include "train/commands/grid_page.h"
#include "train/commands/grid_record.h"
#include "train/evaluate/progress.h"
#include "train/loop/run_lock.h"
#include "train/loop/stop_signals.h"
#include "train/setup/config.h"
#include "train/setup/run_folder.h"
#include "train/setup/run_record.h"

namespace patchcl {
namespace {

using nlohmann::ordered_json;
namespace fs = std::filesystem;

struct GridFlags {
  std::string plan, out = "runs/grid", more;
  int jobs = 1;
  bool tables_only = false;
};

void append(std::vector<std::string>& to, const std::vector<std::string>& from) {
  to.insert(to.end(), from.begin(), from.end());
}

std::vector<std::string> threads_of_a_job(const GridFlags& flags) {
  if (flags.jobs == 1) return {};
  return {"--threads", std::to_string(std::max(1, int(std::thread::hardware_concurrency()) / flags.jobs))};
}

fs::path scores_file(const GridCell& c) { return c.folder / "scores.json"; }

// Of every run of a variant.
std::vector<std::string> train_options(const GridVariant& v, const GridPlan& plan, const GridFlags& flags) {
  std::vector<std::string> options = plan.train;
  append(options, v.options);
  append(options, words(flags.more, "--more"));
  return options;
}

std::vector<std::string> train_options(const GridCell& c, const GridPlan& plan, const GridFlags& flags) {
  std::vector<std::string> options = train_options(*c.variant, plan, flags);
  append(options, {"--labeled", std::to_string(c.labeled), "--seed", std::to_string(c.seed)});
  return options;
}

std::string record_now(const GridCell& c, const GridPlan& plan, const GridFlags& flags) {
  return cell_record(plan, train_options(c, plan, flags));
}

// A run that has begun goes on with its own options, on data that may have moved.
std::vector<std::string> train_command(const GridCell& c, const GridPlan& plan, const GridFlags& flags) {
  const std::vector<std::string> options = train_options(c, plan, flags);
  std::vector<std::string> train{"train"};
  if (fs::exists(c.folder / run_file::last)) {
    append(train, {"--resume", c.folder.string()});
    if (const std::string data = value_of(options, "--data"); !data.empty()) append(train, {"--data", data});
    return train;
  }
  append(train, options);
  append(train, {"--out", c.folder.string()});
  return train;
}

std::vector<std::string> eval_command(const GridCell& c, const GridPlan& plan, const GridFlags& flags) {
  std::vector<std::string> eval{"eval"};
  append(eval, plan.eval);
  append(eval, threads_of_a_job(flags));
  append(eval, {"--weights", (c.folder / (plan.weights + ".safetensors")).string(), "--json",
                   scores_file(c).string()});
  return eval;
}

// Otherwise a mistake in the plan's eval line would show after the first training only.
void check_eval_line(const GridCell& c, const GridPlan& plan, const GridFlags& flags) {
  const auto is_eval = [](const Command& command) { return command.name == "eval"; };
  CLI::App app;
  const auto unused = std::find_if(commands().begin(), commands().end(), is_eval)->add(app);
  std::vector<std::string> line = eval_command(c, plan, flags);
  std::reverse(line.begin(), line.end());  // as CLI11 takes words
  line.pop_back();
  try {
    app.parse(line);
  } catch (const CLI::ParseError& e) {
    const bool unknown = dynamic_cast<const CLI::ExtrasError*>(&e);
    const std::string what = unknown ? unknown_option(app) : e.what();
    const bool twice = flags.jobs > 1 && what.find("--threads") != std::string::npos;
    fail(ExitCode::usage, "grid", flags.plan, ", line 'eval': ", what,
        twice ? "; --jobs gives each run its --threads" : "");
  }
  if (app.count("--objects") > 0)
    fail(ExitCode::usage, "grid", flags.plan,
        ", line 'eval': --objects scores no classes, of which the tables are; leave it out, and score the "
        "finished runs with `patchcl eval --objects`");
}

double number(const ordered_json& v) { return v.is_null() ? NAN : v.get<double>(); }
ordered_json json_of(double v) { return std::isnan(v) ? ordered_json() : ordered_json(v); }

// Over the classes that occur; NaN in scores older than pooled Dice.
double mean_of_pooled(const ordered_json& scores) {
  const ordered_json pooled = scores.value("pooled", ordered_json::object());
  double sum = 0, count = 0;
  for (const ordered_json& of_class : pooled) {
    const double dice = number(of_class.at("dice"));
    if (std::isnan(dice)) continue;
    sum += dice;
    ++count;
  }
  return sum / count;
}

// Nothing where a run was not scored, or its scores cannot be read: it is scored anew.
std::optional<GridScore> read_scores(const fs::path& path) {
  if (!fs::exists(path)) return {};
  try {
    const ordered_json j = parse_json<ordered_json>(read_text(path.string()));
    const ordered_json& mean = j.at("mean_of_classes");
    GridScore s{number(mean.at("dice")), number(mean.at("hd95")), {}};
    s.jaccard = number(mean.at("jaccard"));
    s.asd = number(mean.at("asd"));
    s.accuracy = number(j.value("pixel_accuracy", ordered_json()));
    s.pooled = mean_of_pooled(j);
    for (const auto& [name, scores] : j.at("mean_of_cases").items())
      s.dice_of_class[name] = number(scores.at("dice"));
    return s;
  } catch (const nlohmann::json::exception&) {
    return {};
  }
}

// Trains and scores one cell; the exit code of what failed, or 0.
int run(const GridCell& c, const GridPlan& plan, const GridFlags& flags) {
  make_folders(c.folder);
  record_cell(c, record_now(c, plan, flags));
  const std::string log = (c.folder / "grid.log").string();
  std::vector<std::string> train = train_command(c, plan, flags);
  append(train, threads_of_a_job(flags));
  int code = run_self(train, log);
  if (code == 0 && !StopSignals::asked()) code = run_self(eval_command(c, plan, flags), log);
  if (code == int(ExitCode::interrupted) || StopSignals::asked())
    fail(ExitCode::interrupted, "grid", "stopped in ", c.folder.string(), "; the same command goes on");
  if (code == 0 && !read_scores(scores_file(c)))
    fail(ExitCode::internal, "grid", scores_file(c).string(), " holds no scores of classes, see ", log);
  if (code != 0) std::printf("%s failed with exit code %d, see %s\n", c.folder.c_str(), code, log.c_str());
  return code > int(ExitCode::interrupted) ? int(ExitCode::internal) : code;
}

// Of what is finished. Returns what the terminal shows.
std::string write_tables(const GridPlan& plan, const std::vector<GridCell>& cells, const fs::path& out) {
  GridScores scores;
  ordered_json runs = ordered_json::array();
  for (const GridCell& c : cells) {
    std::optional<GridScore> s = read_scores(scores_file(c));
    if (!s) continue;
    s->seed = c.seed;
    s->step_seconds = recorded_step_seconds(c.folder.string());
    scores[{c.variant->name, c.labeled}].push_back(*s);
    ordered_json run{{"variant", c.variant->name}, {"labeled", c.labeled}, {"seed", c.seed}};
    for (const GridColumn& column : kGridColumns) run[column.name] = json_of((*s).*column.score);
    run["dice_of_class"] = s->dice_of_class;
    runs.push_back(run);
  }
  std::string tables = in_markdown(grid_table(plan, scores));
  for (int64_t l : plan.labeled) tables += "\n" + in_markdown(grid_class_table(plan, scores, l));
  if (plan.variants.size() > 1) tables += "\n" + in_markdown(grid_differences(plan, scores));
  if (runs.size() < cells.size())
    tables +=
        "\n" + std::to_string(runs.size()) + " of " + std::to_string(cells.size()) + " runs are there.\n";
  make_folders(out);
  write_text((out / "table.md").string(), tables);
  write_text((out / "runs.json").string(), runs.dump(2) + "\n");
  const std::string cost = in_markdown(grid_cost_table(plan, scores));
  write_text((out / "cost.md").string(), cost);
  write_grid_page(plan, scores, cells, out);
  return tables + "\n" + cost;
}

// What the jobs of a grid share: which cell is next, and how those before ended.
class GridWork {
 public:
  GridWork(const std::vector<GridCell>& cells, const GridPlan& plan, const GridFlags& flags)
      : cells_(cells), plan_(plan), flags_(flags), time_(cells.size()) {}

  // Runs what is not there yet, `jobs` at a time in the order of the cells; the exit code of one that failed,
  // or 0. Stops at the first exception.
  int run_all() {
    {
      std::vector<std::jthread> others;
      for (int i = 1; i < flags_.jobs; ++i) others.emplace_back([this] { work(); });
      work();
    }
    if (stopped_) std::rethrow_exception(stopped_);
    return failed_;
  }

 private:
  void work() {
    std::unique_lock lock(mutex_);
    try {
      while (next_ < cells_.size() && !stopped_) run_next(lock);
    } catch (...) {
      if (!lock) lock.lock();
      stopped_ = std::current_exception();
    }
  }
  void run_next(std::unique_lock<std::mutex>& lock) {
    const GridCell& c = cells_[next_++];
    if (read_scores(scores_file(c))) return time_.skip();
    const std::string eta = time_.known() ? "  ETA " + time_.left() : "";
    std::printf("%zu/%zu %s%s\n", next_, cells_.size(), c.folder.c_str(), eta.c_str());
    std::fflush(stdout);
    lock.unlock();
    const int code = run(c, plan_, flags_);
    lock.lock();
    time_.finish();
    if (code != 0) failed_ = code;
    else write_tables(plan_, cells_, flags_.out);
  }

  const std::vector<GridCell>& cells_;
  const GridPlan& plan_;
  const GridFlags& flags_;
  std::mutex mutex_;
  size_t next_ = 0;
  int failed_ = 0;
  std::exception_ptr stopped_;
  TimeLeft time_;
};

void demand_a_run(const std::vector<GridCell>& cells, const GridFlags& flags) {
  const auto is_there = [](const GridCell& c) { return fs::exists(c.folder); };
  if (std::none_of(cells.begin(), cells.end(), is_there))
    fail(ExitCode::usage, "grid", flags.out, " holds no runs of ", flags.plan,
        "; say with --out where they are, or leave --tables-only out to train them");
}

int run_all(const std::vector<GridCell>& cells, const GridPlan& plan, const GridFlags& flags) {
  make_folders(flags.out);
  const RunLock lock(flags.out);
  const StopSignals signals(stop_children);
  return GridWork(cells, plan, flags).run_all();
}

// What `patchcl train` says against these options; empty where nothing.
std::string train_refusal(const std::vector<std::string>& options) {
  try {
    check_train_options(options);
  } catch (const Error& e) {
    return e.what();
  }
  return {};
}

// Now, not after hours. Where a line 'train' is refused alike with the variant's method alone, it is to
// blame.
void check_train_options_of(const GridVariant& v, const GridPlan& plan, const GridFlags& flags) {
  const std::vector<std::string> options = train_options(v, plan, flags);
  const std::string refusal = train_refusal(options);
  if (refusal.empty()) return;
  for (const GridLine& line : plan.train_lines) {
    std::vector<std::string> alone = line.options;
    append(alone, {"--method", method_of(options, TrainConfig().method)});
    if (train_refusal(alone) == refusal)
      fail(ExitCode::usage, "grid", line.where, ", line 'train': ", refusal);
  }
  fail(ExitCode::usage, "grid", v.where, ", variant '", v.name, "' with the plan's train options: ", refusal);
}

int grid(const GridFlags& flags) {
  const GridPlan plan = parse_plan(read_text(flags.plan), flags.plan);
  refuse_options_of_grid(words(flags.more, "--more"), "--more");
  for (const GridVariant& v : plan.variants) check_train_options_of(v, plan, flags);
  std::vector<GridCell> cells;
  for (int64_t seed : plan.seeds)  // seeds outermost: a first complete table comes early
    for (int64_t labeled : plan.labeled)
      for (const GridVariant& v : plan.variants)
        cells.push_back({&v, labeled, seed,
            fs::path(flags.out) / v.name / ("labeled-" + std::to_string(labeled)) /
                ("seed-" + std::to_string(seed))});
  for (const GridCell& c : cells)
    refuse_other_plan(c, record_now(c, plan, flags), read_scores(scores_file(c)).has_value());
  if (flags.tables_only) demand_a_run(cells, flags);
  else check_eval_line(cells.front(), plan, flags);
  const int failed = flags.tables_only ? 0 : run_all(cells, plan, flags);
  const std::string tables = write_tables(plan, cells, flags.out);
  std::printf("\n%s\nwrote %s, and report.html, runs.json and cost.md beside it\n", tables.c_str(),
      (fs::path(flags.out) / "table.md").c_str());
  return failed;
}

AddCommand grid_command{{55, "grid", "Run a plan of methods x labelled cases x seeds and write tables",
    "Examples:\n"
    "  patchcl grid train/experiments/acdc-cpu.plan --out runs/acdc-cpu --jobs 2\n"
    "  patchcl grid train/experiments/ablation.plan --out runs/ablation --more \"--iters 500\"\n"
    "\n"
    "A plan is a text file, lines of a word and what it says; names with blanks stand in quotes:\n"
    "  # behind this sign is a comment\n"
    "  labeled 3 7                                   numbers of labelled cases; -1: all\n"
    "  seeds   1337 1338                             of each number of cases a run with each seed\n"
    "  train   --data acdc --size 96 --iters 1000    options of every run of `patchcl train`\n"
    "  eval    --data acdc --preset ssl4mis          options of `patchcl eval`, which scores it\n"
    "  weights last                                  which are scored: last, or best (the default)\n"
    "  columns dice hd95                             scores in the table; also jaccard, asd, accuracy, "
    "pooled\n"
    "  variant base     --method base                a row of the table: its name and further options\n"
    "  variant patchcl  --method patchcl --warm-up 0\n"
    "A run is scored once; where its options have changed in the plan since, the grid says so and stops.\n"
    "The tables are written after each run, so they can be read while the others train.",
    [](CLI::App& app) -> std::function<int()> {
      auto flags = std::make_shared<GridFlags>();
      app.add_option("plan", flags->plan, "Plan file")->required();
      app.add_option("--out", flags->out, "Folder for the runs and the tables")->capture_default_str();
      app.add_option("--more", flags->more, "Further options of `patchcl train` for every run");
      app.add_option("--jobs", flags->jobs, "Runs at a time, each with its share of the cores")
          ->check(CLI::Range(1, kMostChildren))
          ->capture_default_str();
      app.add_flag("--tables-only", flags->tables_only, "Run nothing, write the tables of what is finished");
      return [flags] { return grid(*flags); };
    }}};

}  // namespace
}  // namespace patchcl
