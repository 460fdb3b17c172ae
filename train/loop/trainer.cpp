#include "train/loop/trainer.h"

#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <csignal>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "tensor/parallel.h"
#include "train/setup/batches.h"
#include "train/methods/factory.h"
#include "train/methods/terms.h"
#include "train/loop/progress.h"
#include "train/evaluate/report.h"
#include "train/audit/run_audit.h"
#include "train/optim/schedule.h"

namespace patchcl {

namespace fs = std::filesystem;

namespace {

volatile std::sig_atomic_t g_stop = 0;
void ask_to_stop(int) { g_stop = 1; }

// While it lives, SIGINT and SIGTERM ask for a stop; a second one kills.
class StopSignals {
 public:
  StopSignals() {
    g_stop = 0;
    struct sigaction a {};
    a.sa_handler = ask_to_stop;
    a.sa_flags = SA_RESETHAND;
    sigaction(SIGINT, &a, &old_int_);
    sigaction(SIGTERM, &a, &old_term_);
  }
  ~StopSignals() {
    sigaction(SIGINT, &old_int_, nullptr);
    sigaction(SIGTERM, &old_term_, nullptr);
  }

 private:
  struct sigaction old_int_, old_term_;
};

std::string mib(size_t bytes) { return std::to_string((bytes + (1 << 19)) >> 20) + " MiB"; }

std::unique_ptr<Optimizer> make_optimizer(const TrainConfig& c, const ParamStore& store, const Arena& arena) {
  const int64_t size = store.values().numel();
  if (c.optimizer == "adam")
    return std::make_unique<Adam>(AdamRule{.weight_decay = c.weight_decay}, size, store.dtype(), arena);
  return std::make_unique<Sgd>(
      SgdRule{.momentum = c.momentum, .weight_decay = c.weight_decay}, size, store.dtype(), arena);
}

ModelInfo model_info(const TrainConfig& c, const Dataset& data) {
  ModelInfo info;
  info.unet = {.in_channels = int(data.channels()),
      .classes = int(data.classes()),
      .widths = c.widths,
      .dropout = c.dropout,
      .fused = c.fused};
  info.size = c.size;
  info.class_names = data.class_names();
  info.fit = data.fit(c.size);
  return info;
}

Tensor in_f64(const Tensor& f32) {
  const Tensor t = Arena("conversion").empty(f32.shape(), DType::f64);
  std::copy_n(f32.data<float>(), f32.numel(), t.data<double>());
  return t;
}

}  // namespace

Trainer::Trainer(const TrainConfig& config, const std::string& resolved)
    : config_(config), resolved_(resolved), device_(parse_device(config.device)),
      dtype_(parse_dtype(config.dtype)),
      dataset_(Dataset::open(config.data, {.labeled = config.labeled, .validation = config.val})),
      method_(make_method(config.method, config.methods)), info_(model_info(config, dataset_)),
      parameters_("parameters", device_), activations_("activations", device_),
      staging_(Arena("inputs", device_)) {
  if (config_.threads > 0) set_threads(config_.threads);
  set_kernels(parse_kernels(config_.kernels));
  set_math_mode(parse_math(config_.math));
  if (config_.graph && (device_ != Device::cuda || !method_->recordable()))
    fail(ExitCode::usage, "train",
        "--graph true records the GPU's work for the methods supervised, mean-teacher, ua-mt and fixmatch; "
        "here it is ",
        config_.method, " on the ", device_ == Device::cuda ? "GPU" : "CPU", "; leave it out");
  unet_ = std::make_unique<UNet>(layout_, info_.unet);
  if (config_.size % unet_->size_multiple())
    fail(ExitCode::usage, "train", "--size ", config_.size, " is no multiple of ", unet_->size_multiple(),
        ", which a UNet of ", config_.widths.size(), " levels needs");
  method_->declare(layout_, info_.unet);
  student_ = std::make_unique<ParamStore>(layout_, parameters_, dtype_, /*with_grad=*/true);
  student_->init(config_.seed);
  if (method_->has_teacher()) {
    teacher_ = std::make_unique<ParamStore>(layout_, parameters_, dtype_, /*with_grad=*/false);
    teacher_->copy_from(*student_);
  }
  optimizer_ = make_optimizer(config_, *student_, parameters_);
  rng_ = parameters_.zeros({2}, DType::i64);

  std::error_code error;
  fs::create_directories(config_.out, error);
  if (error)
    fail(ExitCode::io, "train", "cannot create ", config_.out, ": ", error.message(),
        "; choose another --out");
  if (!config_.resume.empty())
    progress_ = load_checkpoint(checkpoint_path(config_.resume), state(), *method_, *optimizer_, resolved_);
  else if (fs::exists(fs::path(config_.out) / "last.safetensors"))
    fail(ExitCode::usage, "train", config_.out, " holds a run already; go on with --resume ", config_.out,
        ", or choose another --out");
  write_text((fs::path(config_.out) / "config.toml").string(), resolved_);
  log_ = std::make_unique<Log>(config_.out, progress_.iteration);
  method_->start(state());
  plan_memory();
}

Trainer::~Trainer() = default;

// The run's two metric files, cut back to the checkpoint on resume so that no step appears twice.
struct Trainer::Log {
  Log(const std::string& dir, int64_t iteration)
      : jsonl_path(dir + "/metrics.jsonl"), csv_path(dir + "/metrics.csv") {
    cut(jsonl_path, iteration, "{\"iteration\":");
    cut(csv_path, iteration, "");
    jsonl.open(jsonl_path, std::ios::app);
    csv.open(csv_path, std::ios::app);
    std::string header;
    std::getline(std::ifstream(csv_path), header);
    std::istringstream names(header);
    for (std::string name; std::getline(names, name, ',');) columns.push_back(name);
  }

  static void cut(const std::string& path, int64_t iteration, const std::string& prefix) {
    std::ifstream in(path);
    std::string kept;
    for (std::string line; std::getline(in, line);) {
      const bool numbered = line.compare(0, prefix.size(), prefix) == 0 &&
                            std::isdigit(static_cast<unsigned char>(line[prefix.size()]));
      if (iteration > 0 && (!numbered || std::stoll(line.substr(prefix.size())) <= iteration))
        kept += line + "\n";
    }
    in.close();
    write_text(path, kept);
  }

  void write(int64_t iteration, const std::vector<std::pair<std::string, double>>& values) {
    std::ostringstream j, c;
    j.precision(9);
    c.precision(9);
    j << "{\"iteration\":" << iteration;
    for (const auto& [name, v] : values) {
      if (std::isfinite(v)) j << ",\"" << name << "\":" << v;
      else j << ",\"" << name << "\":null";
    }
    jsonl << j.str() << "}\n" << std::flush;
    widen(values);
    c << iteration;
    for (size_t k = 1; k < columns.size(); ++k) {
      c << ',';
      for (const auto& [name, v] : values)
        if (name == columns[k]) c << v;
    }
    csv << c.str() << '\n' << std::flush;
    if (!jsonl || !csv)
      fail(ExitCode::io, "train", "cannot write ", jsonl_path, " or ", csv_path, ": is the disk full?");
  }
  // Gives the table columns for values that it has none for: a method's later stage logs more than its
  // warm-up.
  void widen(const std::vector<std::pair<std::string, double>>& values) {
    if (columns.empty()) columns.push_back("iteration");
    const size_t before = columns.size();
    for (const auto& [name, v] : values)
      if (std::find(columns.begin(), columns.end(), name) == columns.end()) columns.push_back(name);
    if (columns.size() == before) return;
    std::string table;
    for (const std::string& name : columns) table += (table.empty() ? "" : ",") + name;
    table += "\n";
    std::ifstream in(csv_path);
    std::string line;
    std::getline(in, line);  // the old header
    while (std::getline(in, line)) table += line + std::string(columns.size() - before, ',') + "\n";
    in.close();
    csv.close();
    write_text(csv_path, table);
    csv.open(csv_path, std::ios::app);
  }
  void write_validation(int64_t iteration, const std::string& json) {
    jsonl << "{\"iteration\":" << iteration << ",\"validation\":" << json << "}\n" << std::flush;
    if (!jsonl) fail(ExitCode::io, "train", "cannot write ", jsonl_path, ": is the disk full?");
  }

  std::string jsonl_path, csv_path;
  std::ofstream jsonl, csv;
  std::vector<std::string> columns;  // of the table
};

TrainState Trainer::state() {
  TrainState s;
  s.model = unet_.get();
  s.student = student_.get();
  s.teacher = teacher_.get();
  s.arena = &activations_;
  s.rng = rng_;
  s.seed = config_.seed;
  s.iteration = progress_.iteration;
  s.iterations = config_.iters;
  return s;
}

// A batch of the right shapes over memory that nobody will read: for the dry run.
Batch Trainer::batch_shape(const Arena& arena) const {
  Batch b;
  const int64_t n = config_.batch, size = config_.size;
  b.images = arena.empty({n, size, size, dataset_.channels()}, dtype_);
  b.labels = arena.empty({n, size, size}, DType::u8);
  if (method_->wants_strong()) b.strong = arena.empty(b.images.shape(), dtype_);
  b.labeled = method_->wants_unlabeled() ? (config_.labeled_batch ? config_.labeled_batch : n / 2) : n;
  b.ids.resize(size_t(n));
  return b;
}

void Trainer::plan_memory() {
  const Arena plan = Arena::plan("plan", device_);
  size_t peak = 0;
  {
    const Arena inputs = Arena::plan("inputs", device_);
    TrainState s = state();
    s.arena = &plan;
    const Batch b = batch_shape(inputs);
    Tape tape(plan);
    LossTerms log;
    tape.backward(method_->loss(tape, s, b, log));
    peak = plan.stats().peak;
  }
  const size_t fixed = parameters_.stats().live;
  std::printf(
      "memory: parameters, gradients, optimiser%s %s, activations %s; %lld parameters, batch %lld of "
      "%lldx%lldx%lld\n",
      teacher_ ? ", teacher" : "", mib(fixed).c_str(), mib(peak).c_str(),
      static_cast<long long>(layout_.parameter_count()), static_cast<long long>(config_.batch),
      static_cast<long long>(config_.size), static_cast<long long>(config_.size),
      static_cast<long long>(dataset_.channels()));
  // Parameters are there already, which free GPU memory shows and the machine's total does not.
  const size_t free = free_memory(device_), room = device_ == Device::cuda ? free
                                                   : free > fixed          ? free - fixed
                                                                           : 0;
  if (peak > room) {
    const int64_t fits =
        std::max<int64_t>(1, int64_t(double(config_.batch) * double(room) / double(peak) * 0.9));
    fail(ExitCode::device, "memory", "the step's activations need ", mib(peak), ", the ",
        device_ == Device::cuda ? "GPU" : "machine", " has ", mib(room), " for them; try --batch ", fits);
  }
  activations_.reserve(peak);
}

// In the type of the weights, and in the GPU's memory where the run is there.
Batch Trainer::to_device(const Batch& host) {
  Batch b = host;
  if (dtype_ == DType::f64) {
    b.images = in_f64(host.images);
    if (host.strong) b.strong = in_f64(host.strong);
  }
  return device_ == Device::cpu ? b : staging_(b);
}

// What differs from step to step lies in device memory: the random state and the optimiser's rates.
double Trainer::set_step() {
  const int64_t words[2] = {int64_t(config_.seed), progress_.iteration};
  copy_bytes(rng_.raw(), device_, words, Device::cpu, sizeof words);
  const double lr = poly_lr(config_.lr, progress_.iteration, config_.iters);
  optimizer_->set(lr, progress_.iteration + 1);
  method_->prepare(state());
  return lr;
}

void Trainer::step(const Batch& batch, bool log_now) {
  const TrainState s = state();
  const double lr = set_step();
  student_->zero_grad();
  Tape tape(activations_, {.check_finite = config_.anomaly});
  LossTerms log;  // after the tape: its Vars must go first
  {
    const Var loss = method_->loss(tape, s, batch, log);
    tape.backward(loss);
    // Reading a loss waits for the device, so a GPU run looks at it only when it logs.
    if (device_ == Device::cpu || log_now) {
      const bool finite =
          std::isfinite(loss.value().item()) && (device_ != Device::cpu || all_finite(student_->grads()));
      if (!finite) {
        log = {};
        explain_non_finite(batch);
      }
    }
    if (log_now) log_step(lr, loss, log);
  }
  optimizer_->step(student_->values(), student_->grads());
  method_->after_step(s);
  ++progress_.iteration;
}

void Trainer::log_step(double lr, const Var& loss, const LossTerms& log) {
  std::vector<std::pair<std::string, double>> values{{"lr", lr}, {"loss", loss.value().item()}};
  for (const auto* list : {&log.terms, &log.readings})
    for (const auto& [name, v] : *list) values.push_back({name, v.value().item()});
  values.insert(values.end(), log.values.begin(), log.values.end());
  log_->write(progress_.iteration + 1, values);
  std::ostringstream text;
  text.precision(4);
  for (const auto& [name, v] : values)
    if (name != "lr") text << (name == "loss" ? "" : "  ") << name << ' ' << v;
  terms_text_ = text.str();
}

// The update has happened when the loss is looked at: a loss that is not finite costs the weights in memory,
// no checkpoint.
void Trainer::step_recorded(const Batch& batch, bool log_now) {
  const TrainState s = state();
  if (recorded_ && method_->stage(s) != recorded_stage_) recorded_.reset();
  if (!recorded_batch_.images) {
    recorded_batch_ = batch;
    for (Tensor* t : {&recorded_batch_.images, &recorded_batch_.strong, &recorded_batch_.labels})
      if (*t) *t = parameters_.empty(t->shape(), t->dtype());  // where the recorded kernels read
  }
  if (!recorded_) {
    recorded_stage_ = method_->stage(s);
    recorded_ = std::make_unique<RecordedStep>(activations_, [this](Tape& tape, LossTerms& log) {
      student_->zero_grad();
      const Var loss = method_->loss(tape, state(), recorded_batch_, log);
      tape.backward(loss);
      optimizer_->step(student_->values(), student_->grads());
      return loss;
    });
  }
  copy(batch.images, recorded_batch_.images);
  copy(batch.labels, recorded_batch_.labels);
  if (batch.strong) copy(batch.strong, recorded_batch_.strong);
  const double lr = set_step();
  recorded_->run();
  if (log_now && !std::isfinite(recorded_->loss().value().item())) explain_non_finite(batch);
  if (log_now) log_step(lr, recorded_->loss(), recorded_->log());
  method_->after_step(s);
  ++progress_.iteration;
}

// Runs the step again with every value checked, so that the message names the first op that went wrong.
void Trainer::explain_non_finite(const Batch& batch) {
  std::string ids;
  for (size_t i = 0; i < batch.ids.size(); ++i)
    ids += (i ? ", " : "") + std::to_string(i) + " " + batch.ids[i];
  const std::string context = "; step " + std::to_string(progress_.iteration + 1) + ", images: " + ids +
                              "; the last checkpoint is untouched. Try a lower --lr, or look at the image";
  try {
    const Arena arena("anomaly", device_);
    TrainState s = state();
    s.arena = &arena;
    Tape tape(arena, {.check_finite = true});
    LossTerms log;
    student_->zero_grad();
    tape.backward(method_->loss(tape, s, batch, log));
  } catch (const Error& e) {
    throw Error(ExitCode::non_finite, e.what() + context);
  }
  fail(ExitCode::non_finite, "train", "loss or gradient is not finite, but no single op's value is", context);
}

Outcome Trainer::run(int64_t until) {
  until = until < 0 ? config_.iters : std::min(until, config_.iters);
  const Sampler sampler = training_sampler(config_, method_->wants_unlabeled(), dataset_);
  Loader loader(
      dataset_, sampler, loader_options(config_, method_->wants_strong(), dataset_), progress_.iteration);

  const StopSignals signals;
  ProgressLine line(progress_.iteration, config_.iters, config_.batch);
  int64_t validated = -1;
  while (progress_.iteration < until) {
    const int64_t next = progress_.iteration + 1;
    const Batch batch = to_device(loader.next());
    if (config_.audit_every > 0 && next % config_.audit_every == 0) audit(batch);
    const bool log_now = next % config_.log_every == 0 || next == config_.iters;
    config_.graph ? step_recorded(batch, log_now) : step(batch, log_now);
    if (g_stop) {
      checkpoint();
      line.say("interrupted at step " + std::to_string(progress_.iteration) +
               "; go on with: patchcl train --resume " + config_.out);
      return Outcome::interrupted;
    }
    const bool last = next == config_.iters;
    if (last || (config_.picture_every > 0 && next % config_.picture_every == 0)) draw_pictures(batch);
    if (dataset_.validation_cases() > 0 &&
        (last || (config_.val_every > 0 && next % config_.val_every == 0))) {
      validate_now();
      validated = next;
      line.say("step " + std::to_string(next) + "  validation " + one_line(validation_, info_.class_names) +
               (progress_.best_iteration == next ? "  (best)" : ""));
      checkpoint();
    }
    line.update(progress_.iteration, terms_text_);
  }
  if (validated != progress_.iteration) checkpoint();
  if (progress_.iteration == config_.iters) write_results();
  return Outcome::finished;
}

void Trainer::validate_now() {
  const MetricOptions metrics = MetricOptions::ssl4mis();
  const InferenceOptions inference{.fit = info_.fit, .size = config_.size};
  const std::string folder = config_.out + "/overlays";
  int64_t drawn = 0;
  // Dice alone decides; distances cost seconds per volume and wait for results or `patchcl eval`.
  validation_ = validate(
      *unet_, *student_, dataset_.validation_cases(), [&](int64_t i) { return dataset_.validation(i); },
      inference, metrics, activations_,
      [&](const Volume& v, const std::vector<uint8_t>& prediction, const CaseScores&) {
        if (drawn++ < 4) draw_overlay(folder, v, prediction);
      });
  const double dice = validation_.mean.dice;
  log_->write_validation(progress_.iteration, to_json(validation_, info_.class_names));
  if (dice > progress_.best_dice) {
    progress_.best_dice = dice;
    progress_.best_iteration = progress_.iteration;
    info_.iteration = progress_.iteration;
    TensorFile file;
    put_model_info(file, info_);
    put_weights(file, *student_, progress_.iteration);
    save_tensors(config_.out + "/best.safetensors", file);
    write_text(config_.out + "/best.json", to_json(validation_, info_.class_names));
  }
}

// Before the step, so that a wrong gradient moves no weight.
void Trainer::audit(const Batch& batch) {
  Batch host = batch;
  for (Tensor* t : {&host.images, &host.strong, &host.labels})
    if (*t) *t = on_host(*t);
  const SpotCheck spot =
      spot_check(*audit_of(config_, *method_, state(), host), config_.seed, progress_.iteration);
  std::ofstream out(config_.out + "/audit.jsonl", std::ios::app);
  if (!(out << spot.json << "\n" << std::flush))
    fail(ExitCode::io, "train", "cannot write ", config_.out, "/audit.jsonl: is the disk full?");
  demand(spot, progress_.iteration);
}

void Trainer::draw_pictures(const Batch& batch) {
  const fs::path folder = fs::path(config_.out) / "pictures";
  for (const auto& [name, canvas] : method_->pictures(state(), batch, info_.class_names)) {
    fs::create_directories(folder);
    canvas.save((folder / (name + "-" + std::to_string(progress_.iteration) + ".png")).string());
  }
}

void Trainer::checkpoint() {
  info_.iteration = progress_.iteration;
  save_checkpoint(config_.out, info_, state(), *method_, *optimizer_, progress_, resolved_);
}

void Trainer::write_results() const {
  if (dataset_.validation_cases() == 0) return;
  const std::string table = to_table(validation_, info_.class_names);
  std::printf("\n%s after %lld steps (best mean Dice %.4f at step %lld: %s/best.safetensors)\n%s",
      config_.method.c_str(), static_cast<long long>(progress_.iteration), progress_.best_dice,
      static_cast<long long>(progress_.best_iteration), config_.out.c_str(), table.c_str());
  write_text(config_.out + "/results.md", table);
  write_text(config_.out + "/results.json", to_json(validation_, info_.class_names));
}

}  // namespace patchcl
