// How a training step grows: with the size of images, with the batch, with threads.
//
// Amdahl: of a step that takes T_1 seconds on one thread and T_n on n, the part s that threads do not share:
//   T_n = T_1 (s + (1 - s)/n)   =>   s = (n T_n/T_1 - 1) / (n - 1)
//   speed-up on m threads: 1 / (s + (1 - s)/m)
// Left out: memory bandwidth, which cores share, so that many cores gain less than this says.
#include "tensor/parallel.h"
#include "train/bench/bench.h"
#include "train/evaluate/table.h"

namespace patchcl::bench {

double serial_share(double one, double many, int threads) {
  const double share = (threads * many / one - 1) / (threads - 1);
  return std::clamp(share, 0., 1.);
}

double amdahl(double serial, int threads) { return 1 / (serial + (1 - serial) / threads); }

std::vector<StepTime> measure_scale(const std::vector<int64_t>& sizes, const std::vector<int64_t>& batches,
    const std::vector<int>& threads, const ScaleOptions& o) {
  std::vector<StepTime> all;
  for (const int n : threads) {
    set_threads(n);
    for (const int64_t size : sizes)
      for (const int64_t batch : batches) {
        if (batch * size * size > o.most_pixels) continue;
        Network network(batch, size);
        const double seconds = shortest(o.seconds, [&] { network.train(); });
        all.push_back({size, batch, n, seconds, network.planned_bytes()});
        std::fprintf(stderr, "%lld of %lldx%lld, %d threads: %.1f ms\n", (long long)batch, (long long)size,
            (long long)size, n, seconds * 1e3);
      }
  }
  return all;
}

namespace {

const StepTime* find(const std::vector<StepTime>& all, int64_t size, int64_t batch, int threads) {
  const auto at = std::find_if(all.begin(), all.end(),
      [&](const StepTime& t) { return t.size == size && t.batch == batch && t.threads == threads; });
  return at == all.end() ? nullptr : &*at;
}

// A row for each size, a column for each batch.
template <class F>
std::string grid(const std::vector<int64_t>& sizes, const std::vector<int64_t>& batches, F cell) {
  TableRow head{"images"};
  for (const int64_t b : batches) head.push_back("batch " + std::to_string(b));
  std::vector<TableRow> rows;
  for (const int64_t size : sizes) {
    rows.push_back({std::to_string(size) + "x" + std::to_string(size)});
    for (const int64_t b : batches) rows.back().push_back(cell(size, b));
  }
  return markdown_table(head, rows);
}

}  // namespace

std::string scale_tables(const std::vector<StepTime>& all, const std::vector<int64_t>& sizes,
    const std::vector<int64_t>& batches, const std::vector<int>& threads) {
  const int few = threads.front(), many = threads.back();
  const auto per_pixel = [&](double StepTime::*what, double scale, int digits) {
    return [&all, many, what, scale, digits](int64_t size, int64_t batch) -> std::string {
      const StepTime* const t = find(all, size, batch, many);
      return t ? fixed(t->*what * scale / double(batch * size * size), digits) : "-";
    };
  };
  const std::string count = std::to_string(many);
  std::string text = "A training step on " + count + " threads, nanoseconds per pixel:\n\n" +
                     grid(sizes, batches, per_pixel(&StepTime::seconds, 1e9, 0)) +
                     "\nActivations of a step, bytes per pixel:\n\n" +
                     grid(sizes, batches, per_pixel(&StepTime::bytes, 1, 0));
  if (few == many) return text;
  const auto serial = [&](int64_t size, int64_t batch) -> std::string {
    const StepTime *const a = find(all, size, batch, few), *const b = find(all, size, batch, many);
    if (!a || !b) return "-";
    const double s = serial_share(a->seconds, b->seconds, many);
    return fixed(a->seconds / b->seconds, 2) + " (" + fixed(100 * s, 1) + " %): " + fixed(amdahl(s, 16), 1) +
           ", " + fixed(amdahl(s, 64), 1);
  };
  return text + "\nSpeed-up of " + count +
         " threads over one (share that threads do not share): what that "
         "gives on 16 and 64 cores by Amdahl's law, memory bandwidth left out:\n\n" +
         grid(sizes, batches, serial);
}

}  // namespace patchcl::bench
