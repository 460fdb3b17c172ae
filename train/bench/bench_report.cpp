// What was measured as Markdown, JSON and a roofline.
#include <cstdlib>
#include <map>
#include <nlohmann/json.hpp>

#include "tensor/file.h"
#include "tensor/text.h"
#include "train/bench/bench.h"
#include "train/evaluate/table.h"

namespace patchcl::bench {

namespace {

// All passes of one kind over the UNet's layers.
struct LayerTotal {
  double flop = 0, seconds = 0;
};

bool is_inner(const KernelTime& k) {  // a 3x3 layer with 16 or more channels on both sides
  return k.layer.ends_with("3x3") && !k.layer.starts_with("1 ->") &&
         k.layer.find("-> 4,") == std::string::npos;
}

void kernel_table(std::ostream& s, const Results& r) {
  if (r.kernels.empty()) return;
  std::map<std::string, std::map<std::string, double>> cell;
  std::vector<std::string> rows, kernels, columns;
  std::map<std::string, LayerTotal> total;
  const auto remember = [](std::vector<std::string>& list, const std::string& name) {
    if (std::find(list.begin(), list.end(), name) == list.end()) list.push_back(name);
  };
  for (const KernelTime& k : r.kernels) {
    const std::string column = k.pass + ", " + k.kernels;
    remember(rows, k.layer);
    remember(kernels, k.kernels);
    cell[k.layer][column] = k.flop / k.seconds / r.machine.flops;
    if (!is_inner(k)) continue;
    total[column].flop += k.times * k.flop;
    total[column].seconds += k.times * k.seconds;
  }
  for (const std::string& k : kernels)
    for (const char* pass : {"forward", "data gradient", "weight gradient"})
      columns.push_back(pass + (", " + k));
  TableRow head{"layer"}, all{"**3x3 with 16 or more channels, as often as the UNet has them**"};
  head.insert(head.end(), columns.begin(), columns.end());
  std::vector<TableRow> table;
  for (const std::string& row : rows) {
    table.push_back({row});
    for (const std::string& c : columns)
      table.back().push_back(cell[row].count(c) ? fixed(cell[row][c], 2) : "-");
  }
  for (const std::string& c : columns)
    all.push_back("**" + fixed(total[c].flop / total[c].seconds / r.machine.flops, 2) + "**");
  table.push_back(all);
  s << "Convolutions as fractions of the multiply-add ceiling, counting the operations of the direct sums "
       "(Winograd may exceed 1):\n\n"
    << markdown_table(head, table) << '\n';
}

void comparison_table(std::ostream& s, const Results& r) {
  if (r.comparisons.empty()) return;
  std::vector<TableRow> rows;
  for (const Comparison& c : r.comparisons) {
    rows.push_back({c.peer + " " + c.version, c.input, c.what});
    TableRow figures{fixed(c.ours * 1e3, 1), fixed(c.theirs * 1e3, 1), fixed(c.ratio, 2),
        fixed(c.our_bytes / 1048576, 0), fixed(c.their_bytes / 1048576, 0), fixed(c.others * 100, 0)};
    if (!c.not_run.empty()) figures = {"not run: " + c.not_run, "", "", "", "", ""};
    rows.back().insert(rows.back().end(), figures.begin(), figures.end());
  }
  s << "Medians of pairs taken in turn; ratio = theirs / ours; train and infer are of the whole UNet:\n\n"
    << markdown_table({"peer", "input", "what", "ours, ms", "theirs, ms", "ratio", "our peak memory, MiB",
                          "theirs", "others, % of the machine"},
           rows)
    << '\n';
}

nlohmann::json to_json(const Results& r) {
  nlohmann::json j;
  j["machine"] = {{"cpu", r.machine.name}, {"isa", r.machine.isa}, {"threads", r.machine.threads},
      {"flops", r.machine.flops}, {"bytes_per_second", r.machine.bytes}};
  for (const KernelTime& k : r.kernels)
    j["kernels"].push_back({{"layer", k.layer}, {"pass", k.pass}, {"kernels", k.kernels}, {"times", k.times},
        {"flop", k.flop}, {"bytes", k.bytes}, {"seconds", k.seconds}});
  for (const Comparison& c : r.comparisons) {
    nlohmann::json row{{"peer", c.peer}, {"what", c.what}, {"batch", c.batch}, {"size", c.size}};
    if (!c.not_run.empty()) row["not_run"] = c.not_run;
    else
      row.update(
          {{"version", c.version}, {"our_seconds", c.ours}, {"their_seconds", c.theirs}, {"ratio", c.ratio},
              {"our_peak_bytes", c.our_bytes}, {"their_peak_bytes", c.their_bytes}, {"others", c.others}});
    j["comparisons"].push_back(row);
  }
  return j;
}

// The roofline: operations per second over operations per byte, each kernel a point under the two ceilings.
void roofline(const Results& r, const std::string& folder) {
  std::map<std::string, std::string> points;
  for (const KernelTime& k : r.kernels)
    points[k.kernels + ", " + k.pass] +=
        fixed(k.flop / k.bytes, 3) + " " + fixed(k.flop / k.seconds * 1e-9, 2) + "\n";
  if (points.empty()) return;
  TextOut g;
  g << "set terminal svg size 900,600 background 'white'\nset output '" << folder
    << "/roofline.svg'\nset logscale xy\n"
    << "set xlabel 'operations per byte moved at least'\nset ylabel 'Gflop/s (direct-equivalent)'\nset key "
       "bottom right\nset grid\n"
    << "set title '" << r.machine.name << ", " << r.machine.threads << " threads, " << r.machine.isa << "'\n";
  std::string plots = "plot [1:1000] (x * " + fixed(r.machine.bytes * 1e-9, 2) + " < " +
                      fixed(r.machine.flops * 1e-9, 2) + " ? x * " + fixed(r.machine.bytes * 1e-9, 2) +
                      " : " + fixed(r.machine.flops * 1e-9, 2) + ") title 'ceiling' lw 2 lc 'black'";
  std::string data;
  for (const auto& [name, rows] : points) {
    plots += ", '-' with points pt 7 title '" + name + "'";
    data += rows + "e\n";
  }
  write_text(folder + "/roofline.gnuplot", g.str() + plots + "\n" + data);
  if (std::system(("gnuplot '" + folder + "/roofline.gnuplot' 2>/dev/null").c_str()))
    std::fprintf(stderr, "roofline.svg: not run (no gnuplot here); its script is %s/roofline.gnuplot\n",
        folder.c_str());
}

}  // namespace

std::string markdown(const Results& r) {
  TextOut s;
  s << r.machine.name << ", " << r.machine.isa << ", " << r.machine.threads
    << " threads: " << fixed(r.machine.flops * 1e-9, 0) << " Gflop/s of f32 multiply-adds, "
    << fixed(r.machine.bytes * 1e-9, 1) << " GB/s triad.\n\n";
  kernel_table(s, r);
  comparison_table(s, r);
  return s.str();
}

void write_report(const Results& r, const std::string& folder) {
  make_folders(folder);
  write_text(folder + "/bench.md", markdown(r));
  write_text(folder + "/bench.json", to_json(r).dump(2) + "\n");
  roofline(r, folder);
}

}  // namespace patchcl::bench
