#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <thread>

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
}

Peer::~Peer() {
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

double Peer::run(const std::string& what) {
  std::this_thread::sleep_for(
      std::chrono::milliseconds(20));  // the other peer's idle threads stop spinning meanwhile
  const std::string line = what + "\n";
  if (write(to_, line.data(), line.size()) != ssize_t(line.size()))
    fail(ExitCode::internal, "bench", "a peer is gone");
  return std::stod(read_line());
}

double Peer::peak_bytes() const {
  std::ifstream status("/proc/" + std::to_string(pid_) + "/status");
  for (std::string line; std::getline(status, line);)
    if (line.starts_with("VmHWM:")) return std::stod(line.substr(6)) * 1024;
  return 0;
}

void serve(Network& network, int steps) {
  std::cout << "ready" << std::endl;
  for (std::string what; std::getline(std::cin, what);) {
    const double start = now();
    for (int i = 0; i < steps; ++i) what == "train" ? network.train() : network.infer();
    network.wait();
    std::cout << (now() - start) / steps << std::endl;
  }
}

namespace {

using Environment = std::vector<std::pair<std::string, std::string>>;
struct Setting {
  std::string name, layout;  // layout of PyTorch's tensors; "" is this program itself, in f32
  Environment environment;
  std::string math = "f32", mode = "eager";
};

// The malloc settings keep PyTorch's activations in one heap of huge pages instead of mapping and unmapping
// each.
const Environment kTunedMalloc{{"GLIBC_TUNABLES", "glibc.malloc.hugetlb=1"},
    {"MALLOC_TOP_PAD_", "1073741824"}, {"MALLOC_TRIM_THRESHOLD_", "1099511627776"},
    {"MALLOC_MMAP_THRESHOLD_", "1099511627776"}};
const std::vector<Setting> kSettings = {{"PyTorch", "contiguous", {}},
    {"PyTorch, channels_last", "channels_last", {}}, {"PyTorch, tuned malloc", "contiguous", kTunedMalloc},
    {"PyTorch, channels_last, tuned malloc", "channels_last", kTunedMalloc},
    {"patchcl bf16 against its f32,", "", {}, "bf16"},
    {"PyTorch bf16, channels_last, tuned malloc", "channels_last", kTunedMalloc, "bf16"}};

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

// A Python that imports torch: the user's own first, then Debian's.
std::string find_python() {
  for (const char* python : {"python3", "/usr/bin/python3"})
    if (std::system((std::string(python) + " -c 'import torch' >/dev/null 2>&1").c_str()) == 0) return python;
  return {};
}

// A comparison stops early after so many seconds, but not before so many pairs: the large batches take long.
constexpr double kSeconds = 8;
constexpr int kLeastPairs = 3;

void compare_one(const CompareOptions& o, const std::string& python, const Setting& setting, int64_t images,
    std::vector<Comparison>& all) {
  const std::string batch = std::to_string(images), size = std::to_string(o.size),
                    team = std::to_string(threads());
  for (const char* what : {"train", "infer"}) {
    Comparison c;
    c.peer = setting.name;
    c.what = what;
    c.batch = images;
    c.size = o.size;
    try {
      const std::string device = o.device == Device::cuda ? "cuda" : "cpu";
      const auto us = [&](const std::string& math) {
        std::vector<std::string> command{"/proc/self/exe", "bench", "serve", "--batch", batch, "--size", size,
            "--threads", team, "--device", device, "--math", math};
        if (o.device == Device::cuda) command.push_back("--graph");
        return command;
      };
      std::vector<std::string> their_command = us("f32");
      if (!setting.layout.empty()) {
        if (python.empty()) fail(ExitCode::usage, "bench", "no python3 here can import torch");
        if (access(o.script.c_str(), R_OK))
          fail(ExitCode::usage, "bench", "no ", o.script, " here: run it from the repository");
        their_command = {
            python, o.script, setting.layout, batch, size, team, device, setting.math, setting.mode};
      }
      Peer ours(us(setting.math), {});
      Peer theirs(their_command, setting.environment);
      if (!setting.layout.empty()) c.version = theirs.greeting().substr(0, theirs.greeting().find(' '));
      std::vector<double> a, b, ratio;
      ours.run(what);  // the first of each warms up
      theirs.run(what);
      const double start = now();
      for (int pair = 0; pair < o.pairs && (pair < kLeastPairs || now() - start < kSeconds); ++pair) {
        a.push_back(ours.run(what));
        b.push_back(theirs.run(what));
        ratio.push_back(b.back() / a.back());
      }
      c.ours = median(a);
      c.theirs = median(b);
      c.ratio = median(ratio);
      c.our_bytes = ours.peak_bytes();
      c.their_bytes = theirs.peak_bytes();
    } catch (const Error& e) {
      c.not_run = e.what();
    }
    all.push_back(c);
    std::fprintf(stderr, "%s %s, batch %s: %s\n", setting.name.c_str(), what, batch.c_str(),
        c.not_run.empty() ? "done" : c.not_run.c_str());
  }
}

}  // namespace

std::vector<Comparison> compare(const CompareOptions& o) {
  const std::string python = find_python();
  std::vector<Comparison> all;
  for (int64_t batch : o.batches)
    for (const Setting& setting : o.device == Device::cuda ? gpu_settings() : kSettings)
      compare_one(o, python, setting, batch, all);
  return all;
}

}  // namespace patchcl::bench
