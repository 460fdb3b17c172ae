// patchcl bench: how fast, against what ceiling, against whom?
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>

#include "tensor/device.h"
#include "tensor/parallel.h"
#include "train/bench/bench.h"
#include "train/commands/command.h"
#include "train/evaluate/table.h"
#include "train/setup/config.h"

namespace patchcl {
namespace {

struct BenchOptions {
  std::vector<std::string> kernels{"direct", "fast"};
  std::string out = "runs/bench";
  int threads = 0;
  int64_t batch = 4, served_vectors = 0;
  std::vector<int64_t> vectors{3200, 12800}, sizes{64, 128, 256, 512, 1024};
  int64_t most_pixels = 1 << 22;
  double seconds = 0.2;
  bool skip_kernels = false, skip_peers = false, graph = false;
  DeviceChoice device = DeviceChoice::cpu;
  MathMode math = MathMode::f32;
  bench::CompareOptions compare;
};

int report(const bench::Results& r, const std::string& folder) {
  std::fputs(bench::markdown(r).c_str(), stdout);
  bench::write_report(r, folder);
  std::printf(
      "written: %s/bench.md, bench.json%s\n", folder.c_str(), r.kernels.empty() ? "" : ", roofline.svg");
  return 0;
}

// The GPU's tables: its ceilings and whole steps against PyTorch.
int run_gpu(const BenchOptions& o) {
  bench::Results r;
  for (const MathMode math :
      {MathMode::bf16, MathMode::tf32, MathMode::f32}) {  // f32 last: the report names it
    set_math_mode(math);
    r.machine = bench::measure_gpu();
    std::printf("%s, %s: %.1f Tflop/s of matrix products, %.0f GB/s triad\n", r.machine.name.c_str(),
        r.machine.isa.c_str(), r.machine.flops / 1e12, r.machine.bytes / 1e9);
  }
  bench::CompareOptions compare = o.compare;
  compare.device = Device::cuda;
  if (o.skip_peers) return report(r, o.out);
  for (const int64_t batch : o.compare.batches) {
    compare.batches = {batch};
    const std::vector<bench::Comparison> of_batch = bench::compare(compare);
    r.comparisons.insert(r.comparisons.end(), of_batch.begin(), of_batch.end());
    bench::write_report(r, o.out);  // these take many minutes: what was measured is kept
  }
  return report(r, o.out);
}

int run_all(const BenchOptions& o) {
  if (device_of(o.device) == Device::cuda) return run_gpu(o);
  bench::Results r{.machine = bench::measure_machine(), .kernels = {}, .comparisons = {}};
  if (!o.skip_kernels) r.kernels = bench::measure_kernels(o.batch, o.kernels, o.seconds);
  if (!o.skip_peers) r.comparisons = bench::compare(o.compare);
  return report(r, o.out);
}

int run_profile(const BenchOptions& o) {
  if (o.math == MathMode::int8)
    fail(ExitCode::usage, "bench", "a training step has no --math int8; profile it in f32 or bf16");
  set_math_mode(o.math);
  bench::Network network(o.batch, o.compare.size, device_of(o.device));
  constexpr int steps = 9;
  double total = 0;
  for (const bench::OpTime& t : bench::profile(network, steps)) {
    std::printf("%9.3f ms  %3d x  %-18s %-8s %s\n", t.seconds * 1e3, t.calls, t.op.c_str(),
        t.backward ? "backward" : "forward", t.shape.c_str());
    total += t.seconds;
  }
  std::printf("%9.3f ms  all ops of a step\n", total * 1e3);
  return 0;
}

int run_methods(const BenchOptions& o) {
  const auto times = bench::measure_methods(method_names(), o.batch, o.compare.size, o.compare.pairs);
  const auto is_base = [](const bench::MethodTime& t) { return t.method == "mean-teacher"; };
  const double mean_teacher = std::find_if(times.begin(), times.end(), is_base)->seconds;
  std::vector<TableRow> rows;
  for (const bench::MethodTime& t : times)
    rows.push_back({t.method, fixed(t.seconds * 1e3, 1), fixed(t.seconds / mean_teacher, 2)});
  std::fputs(markdown_table({"step of", "ms", "of mean-teacher"}, rows).c_str(), stdout);
  return 0;
}

int run_contrasts(const BenchOptions& o) {
  bench::Results r{.machine = bench::measure_machine(), .kernels = {}, .comparisons = {}};
  r.comparisons = bench::compare_contrasts(o.vectors, o.compare);
  return report(r, o.out);
}

// One thread and all; where there is one core, only that.
int run_scale(const BenchOptions& o) {
  const int most = threads();
  const std::vector<int> counts = most > 1 ? std::vector<int>{1, most} : std::vector<int>{1};
  bench::ScaleOptions options{.seconds = o.seconds, .most_pixels = o.most_pixels};
  const auto times = bench::measure_scale(o.sizes, o.compare.batches, counts, options);
  std::fputs(bench::scale_tables(times, o.sizes, o.compare.batches, counts).c_str(), stdout);
  return 0;
}

int run_server(const BenchOptions& o) {
  if (o.served_vectors > 0) {
    bench::ContrastStep step(o.served_vectors);
    bench::serve([&](const std::string&) { step.run(); }, 1);
    return 0;
  }
  set_math_mode(o.math);
  const Device device = device_of(o.device);
  bench::Network network(o.batch, o.compare.size, device, o.graph);
  const int steps = device == Device::cuda ? 10 : 1;
  const auto run = [&](const std::string& what) {
    for (int i = 0; i < steps; ++i) what == "train" ? network.train() : network.infer();
    network.wait();
  };
  bench::serve(run, steps);
  return 0;
}

void declare(CLI::App& app, BenchOptions& o) {
  app.add_option("--size", o.compare.size, "image side of whole steps")
      ->capture_default_str()
      ->check(CLI::PositiveNumber);
  app.add_option("--batch", o.batch, "images per kernel call, or of the profile")
      ->capture_default_str()
      ->check(CLI::PositiveNumber);
  app.add_option("--kernels", o.kernels, "kernels to measure")
      ->delimiter(',')
      ->capture_default_str()
      ->check(CLI::IsMember(kernel_names()));
  app.add_option("--batches", o.compare.batches, "batch sizes of whole steps")
      ->delimiter(',')
      ->capture_default_str();
  app.add_option("--pairs", o.compare.pairs, "pairs of runs per comparison, fewer where they take long")
      ->capture_default_str()
      ->check(CLI::PositiveNumber);
  app.add_option("--seconds", o.seconds, "time for each kernel")->capture_default_str();
  app.add_option("--out", o.out, "folder of the report")->capture_default_str();
  OptionList list;
  declare_threads(list, o.threads);
  list.choose(
      "device", o.device, kDeviceNames, "cpu, or cuda: whole steps in f32, TF32 and bf16 (and `profile`)");
  list.choose("math", o.math, kMathNames, "of the profile");
  list.declare_to(app);
  app.add_flag("--graph", o.graph, "of `serve`: record a step and replay it")->group("");
  app.add_flag("--skip-kernels", o.skip_kernels, "no kernel table");
  app.add_flag("--skip-peers", o.skip_peers, "no comparison with PyTorch");
}

// Something else than the whole bench, by its name.
struct BenchPart {
  CLI::App* app;
  int (*run)(const BenchOptions&);
};

std::vector<BenchPart> declare_parts(CLI::App& app, BenchOptions& o) {
  CLI::App* const contrast = app.add_subcommand("contrast", "Supervised contrast of pixels against PyTorch");
  contrast->add_option("--vectors", o.vectors, "how many are compared with each other")
      ->delimiter(',')
      ->capture_default_str()
      ->check(CLI::PositiveNumber);
  CLI::App* const scale =
      app.add_subcommand("scale", "Training steps of these --batches by size and threads");
  scale->add_option("--sizes", o.sizes, "sides of images")->delimiter(',')->capture_default_str();
  scale->add_option("--most-pixels", o.most_pixels, "steps of more pixels are left out")
      ->capture_default_str();
  CLI::App* const serve =
      app.add_subcommand("serve", "Answer \"train\" and \"infer\" on standard input with seconds")->group("");
  serve->add_option("--vectors", o.served_vectors, "contrast so many instead of a network");
  return {{app.add_subcommand("profile", "Time per op of a training step"), run_profile},
      {app.add_subcommand("methods", "Training steps of every method, in turns"), run_methods},
      {contrast, run_contrasts}, {scale, run_scale}, {serve, run_server}};
}

AddCommand bench_command{{80, "bench", "Measure speed: machine, kernels, training steps against PyTorch",
    "Examples:\n"
    "  patchcl bench                      everything; a table, JSON and a roofline in runs/bench\n"
    "  patchcl bench --skip-peers         only this program\n"
    "  patchcl bench profile --batch 4    where a training step spends its time\n"
    "  patchcl bench methods --batch 8    what PatchCL costs over mean-teacher\n"
    "  patchcl bench contrast             local contrast of pixels against PyTorch's matrix\n"
    "  patchcl bench scale                cost and memory per pixel, and what more cores would give\n"
    "  patchcl bench --device cuda        whole steps on the GPU against PyTorch there",
    [](CLI::App& app) {
      auto o = std::make_shared<BenchOptions>();
      declare(app, *o);
      app.fallthrough();
      const std::vector<BenchPart> parts = declare_parts(app, *o);
      return [=]() -> int {
        use_threads(o->threads);
        for (const BenchPart& part : parts)
          if (part.app->parsed()) return part.run(*o);
        return run_all(*o);
      };
    }}};

}  // namespace
}  // namespace patchcl
