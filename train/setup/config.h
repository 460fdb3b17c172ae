// TrainConfig: every option of `patchcl train` with its default, in one struct; those of the method beside
// it.
//
// What a run folder's config.toml holds is what ran: resolve() turns "the method decides", "all cores" and
// "auto" into values before anything is written. The same names serve the command line (--batch 8), a TOML
// file (--config FILE with batch=8) and a resume, which reads the run's own file.
#pragma once
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "data/stream/augment.h"
#include "data/stream/dataset.h"
#include "tensor/device.h"
#include "train/setup/learner.h"

namespace CLI {
class App;
}

namespace patchcl {

enum class DeviceChoice { automatic, cpu, cuda };
extern const Names<DType> kFloatTypes;  // f32, f64
extern const Names<Kernels> kKernelNames;
extern const Names<MathMode> kMathNames;
extern const Names<DeviceChoice> kDeviceNames;
extern const Names<std::optional<Fit>> kFitNames;  // empty: auto
// The device that a choice means here; Error(device) says what cuda lacks.
Device device_of(DeviceChoice choice);

// CPU threads, 0: all; and those that a command asks for.
void declare_threads(OptionList& options, int& threads);
void use_threads(int threads);

// What the values or colours of masks mean.
void declare_label_options(OptionList& options, ReadOptions& read);

// That and what else a folder does not say of itself, for every command that reads one.
void declare_read_options(OptionList& options, ReadOptions& read);

// What the UNet is made of: widths, norms, dropout, upsampling, UAFS.
void declare_network_options(OptionList& options, UNetConfig& network);

// The registered methods, for an option that names one.
Names<std::string> method_choices();

// What a machine may be asked for: far more than one has, far less than overflows.
constexpr Range kBatches{1, 1 << 24}, kSides{1, kLargestSide};

struct TrainConfig {
  std::string method = "supervised";
  OptionValues method_options;  // those that differ from the method's defaults; resolved: all of them
  // Data
  std::string data = "phantom";  // folder, or "phantom:cases=40,size=96"
  std::string labeled = "-1";    // labelled cases: count, share or file; -1: all
  int64_t val = -1;              // held-out patients (DatasetOptions::validation)
  int64_t tune = 0;              // training cases to validate on instead
  std::string fold;              // "2/5"
  ReadOptions read;
  int64_t border = 0;        // pixels of the border class; 0: there is none
  double border_weight = 0;  // what such a pixel weighs beyond 1 in the cross-entropy
  int64_t size = 256;
  std::optional<Fit> fit;  // empty, until a run has opened its data: as the data set's pictures suggest
  bool bilinear_labels = false;
  Augmentation augment = Augmentation::ssl4mis;
  int64_t window = 0;  // side of what the network trains on; 0: size
  WindowAt window_at = WindowAt::centre;
  double whole_share = 0;   // of the iterations, the last ones, on whole images
  int64_t whole_batch = 0;  // images in a step there; 0: batch
  // Optimisation
  int64_t iters = 30000, batch = 24;
  OptimizerOptions optimizer;
  double lr = 0.01;
  Schedule schedule = Schedule::automatic;
  int64_t lr_warm_up = 0;
  uint64_t seed = 1337;
  // Network
  UNetConfig network;
  DType dtype = DType::f32;
  // Running
  std::string out = "runs/last";
  std::string resume;             // run folder or checkpoint file
  std::string weights;            // file to start from
  bool allow_other_bits = false;  // of a resume on another CPU
  int64_t extend = 0;             // steps beyond those of the resumed run
  std::string remarks;            // lines of config.toml with a # before: what no option says
  int64_t val_every = 200;
  int64_t checkpoint_every = 200;  // beside those of validations
  int64_t log_every = 10;
  int64_t picture_every = 0;  // 0: at the end only
  int64_t audit_every = 0;    // 0: never
  int threads = 0;            // 0: all cores
  Kernels kernels = Kernels::fast;
  DeviceChoice device = DeviceChoice::automatic;
  MathMode math = MathMode::f32;
  bool graph = false;
  bool anomaly = false;
  bool tensorboard = false, png = false;

  // All of them but the method's, `remarks`, `resume` and `weights`, which a resumed run has no use for.
  void declare(OptionList& options);
  // Threads and device as this machine has them, --fit as the data suggest; sets the process's threads,
  // kernels and math mode. Error(usage) for what does not fit together.
  void resolve(const Dataset& data);
  // "run: base, 3000 steps of 12 images, CPU (avx512), 2 threads, into runs/last" and how images meet the
  // network's input, once resolved.
  std::string describe() const;
  // `step` where the first held-out case is pictured after it, about eight times in a run and at its end;
  // else 0.
  int64_t pictured(int64_t step) const;
  std::string picture_type() const { return png ? ".png" : ".svg"; }
  // Error(usage) where `labeled` can only be a file and is none, Error(data) where the data of a run that
  // goes on are gone.
  DatasetOptions dataset_options() const;
  Fit fit_of(const Dataset& data) const { return fit.value_or(data.fit(size)); }
  LearnerOptions learner_options(const Dataset& data) const;
  RunShape run_shape() const;  // Error(usage) for what no network is
};

// The options of `config` and of its method, which is known already, as a parser's. An option that only other
// methods read is an error that says so. The method holds the values once the parser has run.
std::shared_ptr<Method> declare_options(CLI::App& app, TrainConfig& config);
// Those of a method alone.
void declare_method_options(CLI::App& app, Method& method);
// The value of the last --NAME in a command line (`flag`: with its dashes); empty when there is none.
std::string value_of(const std::vector<std::string>& arguments, const std::string& flag);
// The method that these arguments ask for: --method, or the one of a --config or --resume.
std::string method_of(const std::vector<std::string>& arguments, const std::string& otherwise);

// Error(usage) when `patchcl train` would refuse these options before it looks at data.
void check_train_options(const std::vector<std::string>& arguments);

// A configuration as config.toml has it, resolved, with the options of `method`; remarks first.
std::string to_toml(TrainConfig config, const Method& method);
// And back, remarks included. Error(checkpoint) naming `where` when it cannot be read.
TrainConfig from_toml(const std::string& text, const std::string& where);
// Name and value of each of its options, known or not. Error(checkpoint) naming `where` likewise.
std::map<std::string, std::string> values_in(const std::string& toml, const std::string& where);

// The configuration of a run to go on with (folder or checkpoint): its config.toml, or where that is missing
// or damaged, what the checkpoint says. `note`, for people: what was damaged, or which options the run is
// older than; those take their defaults.
struct SavedConfig {
  std::string toml, note;
};
SavedConfig saved_config(const std::string& run);

}  // namespace patchcl
