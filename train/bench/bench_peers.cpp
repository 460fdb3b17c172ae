// Other programs as processes that answer with seconds, in turns with this one.
#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <map>
#include <sstream>

#include "tensor/device.h"
#include "tensor/error.h"
#include "tensor/parallel.h"
#include "train/bench/bench.h"

namespace patchcl::bench {

Peer::Peer(const std::vector<std::string>& command,
    const std::vector<std::pair<std::string, std::string>>& environment) {
  int in[2], out[2];
  if (pipe2(in, O_CLOEXEC) || pipe2(out, O_CLOEXEC))
    fail(ExitCode::internal, "bench", "no pipe for ", command[0]);
  pid_ = fork();
  if (pid_ == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);  // stopped as it may be, it ends with us
    dup2(in[0], 0);
    dup2(out[1], 1);
    for (const auto& [name, value] : environment) setenv(name.c_str(), value.c_str(), 1);
    std::vector<char*> argv;
    for (const std::string& a : command) argv.push_back(const_cast<char*>(a.c_str()));
    argv.push_back(nullptr);
    execvp(argv[0], argv.data());
    _exit(127);
  }
  close(in[0]);
  close(out[1]);
  to_ = in[1];
  from_ = out[0];
  greeting_ = read_line();
  kill(pid_, SIGSTOP);
}

Peer::~Peer() {
  kill(pid_, SIGCONT);
  close(to_);  // its loop over lines ends
  close(from_);
  waitpid(pid_, nullptr, 0);
}

std::string Peer::read_line() {
  size_t end;
  while ((end = buffer_.find('\n')) == std::string::npos) {
    char chunk[256];
    const ssize_t n = read(from_, chunk, sizeof chunk);
    if (n <= 0) {
      close(to_);
      close(from_);
      waitpid(pid_, nullptr, 0);
      fail(ExitCode::usage, "bench", "it stopped without an answer");
    }
    buffer_.append(chunk, size_t(n));
  }
  std::string line = buffer_.substr(0, end);
  buffer_.erase(0, end + 1);
  return line;
}

// Between its runs it is stopped: idle threads that spin would take the other's cores.
double Peer::run(const std::string& what) {
  kill(pid_, SIGCONT);
  const std::string line = what + "\n";
  if (write(to_, line.data(), line.size()) != ssize_t(line.size()))
    fail(ExitCode::internal, "bench", "a peer is gone");
  const double seconds = std::stod(read_line());
  kill(pid_, SIGSTOP);
  return seconds;
}

double Peer::cpu_seconds() const {
  std::ifstream stat("/proc/" + std::to_string(pid_) + "/stat");
  std::string line;
  std::getline(stat, line);
  std::istringstream fields(line.substr(line.rfind(')') + 1));  // the name before may hold blanks
  std::string skipped;
  for (int i = 0; i < 11; ++i) fields >> skipped;
  double user = 0, system = 0;
  fields >> user >> system;
  return (user + system) / double(sysconf(_SC_CLK_TCK));
}

double Peer::peak_bytes() const {
  std::ifstream status("/proc/" + std::to_string(pid_) + "/status");
  for (std::string line; std::getline(status, line);)
    if (line.starts_with("VmHWM:")) return std::stod(line.substr(6)) * 1024;
  return 0;
}

void serve(const std::function<void(const std::string& what)>& run, int steps) {
  std::cout << "ready" << std::endl;
  for (std::string what; std::getline(std::cin, what);) {
    const double start = now();
    run(what);
    std::cout << (now() - start) / steps << std::endl;
  }
}

namespace {

using Environment = std::vector<std::pair<std::string, std::string>>;
enum class PeerKind { torch, onnx, jax, itself, contrast };
struct Setting {
  std::string name, variant;  // PyTorch's layout, or the engine that runs ONNX
  Environment environment = {};
  std::string math = "f32", mode = "eager";
  PeerKind kind = PeerKind::torch;
};

// The malloc settings keep PyTorch's activations in one heap of huge pages instead of mapping and unmapping
// each.
const Environment kTunedMalloc{{"GLIBC_TUNABLES", "glibc.malloc.hugetlb=1"},
    {"MALLOC_TOP_PAD_", "1073741824"}, {"MALLOC_TRIM_THRESHOLD_", "1099511627776"},
    {"MALLOC_MMAP_THRESHOLD_", "1099511627776"}};
const std::vector<Setting> kSettings = {{"PyTorch", "contiguous"},
    {"PyTorch, channels_last", "channels_last"}, {"PyTorch, tuned malloc", "contiguous", kTunedMalloc},
    {"PyTorch, channels_last, tuned malloc", "channels_last", kTunedMalloc},
    {"PyTorch compiled, channels_last, tuned malloc", "channels_last", kTunedMalloc, "f32", "compile"},
    {"PyTorch bf16, channels_last, tuned malloc", "channels_last", kTunedMalloc, "bf16"},
    {"PyTorch bf16 compiled, channels_last, tuned malloc", "channels_last", kTunedMalloc, "bf16", "compile"},
    {"JAX", "channels_last", kTunedMalloc, "f32", "jit", PeerKind::jax},
    {"JAX bf16", "channels_last", kTunedMalloc, "bf16", "jit", PeerKind::jax},
    {"ONNX Runtime", "onnxruntime", {}, "f32", "eager", PeerKind::onnx},
    {"OpenVINO", "openvino", {}, "f32", "eager", PeerKind::onnx},
    {"OpenVINO bf16", "openvino", {}, "bf16", "eager", PeerKind::onnx},
    {"ONNX Runtime int8", "onnxruntime", {}, "int8", "eager", PeerKind::onnx},
    {"OpenVINO int8", "openvino", {}, "int8", "eager", PeerKind::onnx},
    {"this program in f32, ours in bf16", "", {}, "bf16", "eager", PeerKind::itself},
    {"this program in f32, ours in int8", "", {}, "int8", "eager", PeerKind::itself}};

// On the GPU, each kind of arithmetic against the same of ours.
std::vector<Setting> gpu_settings() {
  std::vector<Setting> all;
  for (const char* math : {"f32", "tf32", "bf16"})
    for (const auto& [mode, layout] : {std::pair("eager", "contiguous"), {"eager", "channels_last"},
             {"compile", "channels_last"}, {"graph", "channels_last"}})
      all.push_back(
          {std::string("PyTorch ") + math + ", " + layout + ", " + mode + ",", layout, {}, math, mode});
  return all;
}

// A Python that imports these: the user's own first, then Debian's. Looked for once: imports take seconds.
std::string find_python(const std::string& modules) {
  static std::map<std::string, std::string> found;
  if (found.contains(modules)) return found[modules];
  for (const char* python : {"python3", "/usr/bin/python3"})
    if (std::system((std::string(python) + " -c 'import " + modules + "' >/dev/null 2>&1").c_str()) == 0)
      return found[modules] = python;
  fail(ExitCode::usage, "bench", "no python3 here can import ", modules);
}

// What a setting is asked for.
std::vector<std::string> calls_of(const Setting& setting) {
  if (setting.kind == PeerKind::contrast) return {"contrast"};
  if (setting.kind == PeerKind::onnx || setting.math == "int8") return {"infer"};
  return {"train", "infer"};
}

// The command of a server of steps; below, of one of contrasts.
std::vector<std::string> ours(const CompareOptions& o, int64_t images, const std::string& math) {
  std::vector<std::string> command{"/proc/self/exe", "bench", "serve", "--batch", std::to_string(images),
      "--size", std::to_string(o.size), "--threads", std::to_string(threads()), "--device",
      o.device == Device::cuda ? "cuda" : "cpu", "--math", math};
  if (o.device == Device::cuda) command.push_back("--graph");
  return command;
}
std::vector<std::string> ours(int64_t vectors) {
  return {"/proc/self/exe", "bench", "serve", "--vectors", std::to_string(vectors), "--threads",
      std::to_string(threads())};
}
std::string readable(const std::string& script) {
  if (access(script.c_str(), R_OK))
    fail(ExitCode::usage, "bench", "no ", script, " here: run it from the repository");
  return script;
}
// Of a peer in Python: the script, and what it imports.
std::pair<std::string, std::string> script_of(const CompareOptions& o, const Setting& setting) {
  if (setting.kind == PeerKind::jax) return {o.jax_script, "jax"};
  if (setting.kind == PeerKind::onnx) return {o.onnx_script, "onnx, numpy, " + setting.variant};
  return {o.torch_script, "torch"};
}
std::vector<std::string> theirs(const CompareOptions& o, int64_t images, const Setting& setting) {
  if (setting.kind == PeerKind::itself) return ours(o, images, "f32");
  if (setting.kind == PeerKind::contrast)
    return {
        find_python("torch"), readable(o.contrast_script), std::to_string(images), std::to_string(threads())};
  const auto& [script, modules] = script_of(o, setting);
  return {find_python(modules), readable(script), setting.variant, std::to_string(images),
      std::to_string(o.size), std::to_string(threads()), o.device == Device::cuda ? "cuda" : "cpu",
      setting.math, setting.mode};
}

// A comparison stops early after so many seconds, but not before so many pairs: the large batches take long.
constexpr double kSeconds = 8;
constexpr int kLeastPairs = 3;

// Seconds that all cores together were busy since the machine started; 0 where no /proc tells.
double busy_seconds() {
  std::ifstream stat("/proc/stat");
  std::string cpu;
  double user = 0, nice = 0, system = 0, idle = 0, waiting = 0, interrupts = 0, soft = 0, stolen = 0;
  stat >> cpu >> user >> nice >> system >> idle >> waiting >> interrupts >> soft >> stolen;
  return (user + nice + system + interrupts + soft + stolen) / double(sysconf(_SC_CLK_TCK));
}

// What others than the two peers took of the machine while they were compared, as a share.
class Others {
 public:
  Others(const Peer& a, const Peer& b) : a_(a), b_(b), start_(now()), busy_(busy_seconds() - known()) {}
  double share() const {
    const double cores = double(sysconf(_SC_NPROCESSORS_ONLN));
    return (busy_seconds() - known() - busy_) / ((now() - start_) * cores);
  }

 private:
  double known() const { return a_.cpu_seconds() + b_.cpu_seconds(); }
  const Peer &a_, &b_;
  double start_, busy_;
};
// Above this a ratio says more about the others.
constexpr double kMostOfOthers = 0.1;

void compare_one(
    const CompareOptions& o, const Setting& setting, int64_t images, std::vector<Comparison>& all) {
  const bool contrast = setting.kind == PeerKind::contrast;
  const std::string side = std::to_string(o.size), count = std::to_string(images);
  for (const std::string& what : calls_of(setting)) {
    Comparison c;
    c.peer = setting.name;
    c.what = what;
    c.input = contrast ? count + " vectors" : count + " of " + side + "x" + side;
    c.batch = images;
    c.size = contrast ? 0 : o.size;
    try {
      Peer mine(contrast ? ours(images) : ours(o, images, setting.math), {});
      Peer other(theirs(o, images, setting), setting.environment);
      if (setting.kind != PeerKind::itself)
        c.version = other.greeting().substr(0, other.greeting().find(' '));
      std::vector<double> a, b, ratio;
      mine.run(what);  // the first of each warms up
      other.run(what);
      const Others others(mine, other);
      const double start = now();
      for (int pair = 0; pair < o.pairs && (pair < kLeastPairs || now() - start < kSeconds); ++pair) {
        a.push_back(mine.run(what));
        b.push_back(other.run(what));
        ratio.push_back(b.back() / a.back());
      }
      c.others = others.share();
      if (c.others > kMostOfOthers)
        fail(ExitCode::usage, "bench", "others took ", int(100 * c.others),
            " % of the machine; run it where nothing else runs");
      c.ours = median(a);
      c.theirs = median(b);
      c.ratio = median(ratio);
      c.our_bytes = mine.peak_bytes();
      c.their_bytes = other.peak_bytes();
    } catch (const Error& e) {
      c.not_run = e.what();
    }
    all.push_back(c);
    std::fprintf(stderr, "%s %s, %s: %s\n", setting.name.c_str(), what.c_str(), c.input.c_str(),
        c.not_run.empty() ? "done" : c.not_run.c_str());
  }
}

}  // namespace

std::vector<Comparison> compare(const CompareOptions& o) {
  std::vector<Comparison> all;
  for (int64_t batch : o.batches)
    for (const Setting& setting : o.device == Device::cuda ? gpu_settings() : kSettings)
      compare_one(o, setting, batch, all);
  return all;
}

std::vector<Comparison> compare_contrasts(const std::vector<int64_t>& vectors, const CompareOptions& o) {
  std::vector<Comparison> all;
  for (int64_t n : vectors)
    compare_one(o, {"PyTorch, one matrix", "", {}, "f32", "eager", PeerKind::contrast}, n, all);
  return all;
}

}  // namespace patchcl::bench
