// What goes wrong around a command: standard output that takes nothing or is closed, names that hold
// anything, numbers that no machine has, masks and runs that would write over each other.
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "tensor/file.h"
#include "tensor/text.h"
#include "tests/command_line.h"
#include "tests/small_data.h"
#include "train/commands/grid.h"
#include "train/commands/inference_flags.h"
#include "train/evaluate/report.h"
#include "train/evaluate/table.h"

using namespace patchcl;
using namespace patchcl::test;
namespace fs = std::filesystem;

namespace {

const std::string kHearts = " --data phantom:cases=4,val=1,size=32,slices=2 ";
const std::string kSmall = " --size 16 --batch 2 --widths 2,4 --dropout 0,0.1 ";

std::string train(const std::string& run, const std::string& more = "") {
  return "train" + kHearts + "--labeled 2" + kSmall + "--threads 1 --device cpu --iters 2 --out " + run +
         " " + more;
}

TEST(Faults, OutputThatDoesNotArriveIsExitCode4) {
  TemporaryFolder folder;
  ASSERT_EQ(run_patchcl(train(folder / "run")).code, 0);
  const std::string weights = "--threads 1 --weights " + (folder / "run/best.safetensors");
  for (const std::string command :
      {"--help", "methods", "data check phantom:cases=2,size=32 --json", "audit ops linear"})
    EXPECT_EQ(run_patchcl(command + " > /dev/full").code, 4) << command;
  for (const std::string command : {"", "--json -", "--csv -"})
    EXPECT_EQ(run_patchcl("eval" + kHearts + weights + " " + command + " > /dev/full").code, 4) << command;
  // A run is trained to its end all the same.
  EXPECT_EQ(run_patchcl(train(folder / "full") + " > /dev/full").code, 4);
  EXPECT_TRUE(fs::exists(folder / "full/results.json"));
}

TEST(Faults, AReaderThatHasGoneIsExitCode4) {
  TemporaryFolder folder;
  const std::string code = folder / "code";
  // The reader ends before the program begins to write.
  const std::string command = "(trap '' PIPE; sleep 0.3; build/patchcl --help; echo $? > " + code +
                              ") 2> /dev/null | true; while [ ! -s " + code + " ]; do sleep 0.05; done";
  ASSERT_EQ(std::system(command.c_str()), 0);
  EXPECT_EQ(read_text(code), "4\n");
}

// `patchcl eval --help | head` has shown what was asked for; half a table has not.
TEST(Faults, AReaderThatHasGoneIsSaidOfResultsAndNotOfHelp) {
  TemporaryFolder folder;
  const auto said = [&](const std::string& command) {
    const std::string errors = folder / "errors";
    const std::string line =
        "bash -c '{ sleep 0.2; build/patchcl " + command + "; } 2> " + errors + " | true; sleep 0.5'";
    EXPECT_EQ(std::system(line.c_str()), 0);
    return read_text(errors);
  };
  for (const char* help : {"--help", "eval --help", "audit model --help"}) EXPECT_EQ(said(help), "") << help;
  EXPECT_TRUE(contains(said("methods"), "has its reader ended?"));
}

// Where nothing ignores SIGPIPE for it, as above a shell does.
TEST(Faults, AReaderThatHasGoneDoesNotEndATraining) {
  TemporaryFolder folder;
  const std::string run = folder / "run", command = "bash -c 'build/patchcl " + train(run) +
                                                    " 2> /dev/null | true; exit ${PIPESTATUS[0]}'";
  EXPECT_EQ(WEXITSTATUS(std::system(command.c_str())), 4);
  EXPECT_TRUE(fs::exists(run + "/results.json"));
}

TEST(Faults, ClosedStreamsAreNotTheNextFile) {
  TemporaryFolder folder;
  const std::string run = folder / "run";
  const std::string command = "build/patchcl " + train(run, "--log-every 1 --val-every 1") + " <&- >&- 2>&-";
  ASSERT_EQ(std::system(command.c_str()), 0);
  std::istringstream rows(read_text(run + "/metrics.jsonl"));
  int count = 0;
  for (std::string row; std::getline(rows, row); ++count) EXPECT_TRUE(nlohmann::json::accept(row)) << row;
  EXPECT_EQ(count, 4);
}

TEST(Faults, TwoImagesOfOneMaskAreRefusedBeforeAnyIsWritten) {
  TemporaryFolder folder;
  ASSERT_EQ(run_patchcl(train(folder / "run")).code, 0);
  const std::vector<uint8_t> pixels(16 * 16, 7);
  fs::create_directory(folder / "in");
  write_png(folder / "in/a.png", pixels.data(), 16, 16, 1);
  fs::copy_file(folder / "in/a.png", folder / "in/a.bmp");
  const Outcome o = run_patchcl("predict --threads 1 --weights " + (folder / "run/best.safetensors") + " " +
                                (folder / "in") + " " + (folder / "out"));
  EXPECT_EQ(o.code, 2) << o.output;
  EXPECT_TRUE(contains(o.output, "a.png") && contains(o.output, "a.bmp")) << o.output;
  EXPECT_TRUE(fs::is_empty(folder / "out"));
}

TEST(Faults, NumbersThatNoMachineHasAreRefusedInWords) {
  TemporaryFolder folder;
  for (const char* giant : {"--batch 9223372036854775807", "--threads 100000", "--widths 2000000000",
           "--size 1000000000", "--iters 9223372036854775807", "--lr inf"}) {
    const Outcome o = run_patchcl(train(folder / "run", giant));
    EXPECT_EQ(o.code, 2) << giant << ": " << o.output;
    EXPECT_TRUE(contains(o.output, std::string(giant).substr(0, 5))) << o.output;
  }
  for (const char* giant : {"--threads 100000", "--batch 9223372036854775807", "--size 1000000000"})
    EXPECT_EQ(run_patchcl("eval" + kHearts + "--weights x " + giant).code, 2) << giant;
  EXPECT_EQ(run_patchcl("bench --threads 100000").code, 2);
  const Outcome below = run_patchcl("calibrate --weights x --data phantom --out y --threads -3");
  EXPECT_EQ(below.code, 2);
  EXPECT_TRUE(contains(below.output, "--threads '-3' is not at least 0")) << below.output;
  EXPECT_EQ(run_patchcl("audit ops linear", "OMP_NUM_THREADS=100000").code, 0);
}

// Memory that ends at any moment ends the program in words, never by abort. Limits are counted from what the
// program needs to be loaded: a program with CUDA's libraries is many times as large as one without.
TEST(Faults, MemoryThatRunsOutIsExitCode8) {
#ifdef __SANITIZE_ADDRESS__
  GTEST_SKIP() << "AddressSanitizer reserves terabytes, which a limit forbids";
#endif
  TemporaryFolder folder;
  const auto run_within = [](int mib, const std::string& arguments) {
    const std::string limit =
        "(ulimit -c 0; ulimit -v " + std::to_string(mib << 10) + "; exec build/patchcl ";
    return run_patchcl("--help > /dev/null; " + limit + arguments + ")");
  };
  int loaded = 40;
  while (run_within(loaded, "--help").code != 0) {
    loaded += std::max(12, loaded / 16);
    ASSERT_LT(loaded, 16 << 10) << "the program does not load";
  }
  int refused = 0;
  for (int mib = loaded; mib < loaded + 360; mib += 12) {
    const Outcome o = run_within(mib, train(folder / std::to_string(mib), "--batch 64 --size 64"));
    EXPECT_TRUE(o.code == 0 || o.code == 8) << mib << " MiB: " << o.code << " " << o.output;
    refused += o.code == 8;
  }
  EXPECT_GT(refused, 0);
}

// The memory of a stream's text ends: a table cut short must not pass for the whole.
TEST(Faults, ATextThatFindsNoMemoryIsNoShorterText) {
  struct NoMemory : std::streambuf {
    int overflow(int) override { throw std::bad_alloc(); }
    int underflow() override { throw std::bad_alloc(); }
  } none;
  TextOut out;
  out.basic_ios::rdbuf(&none);
  EXPECT_THROW(out << "text", std::bad_alloc);
  TextIn in("a plan");
  in.basic_ios::rdbuf(&none);
  std::string line;
  EXPECT_THROW(std::getline(in, line), std::bad_alloc);
}

// One allocation after the other, before main too.
TEST(Faults, AnAllocationThatFailsIsExitCode8AndNoWrongPicture) {
#ifdef __SANITIZE_ADDRESS__
  GTEST_SKIP() << "AddressSanitizer has allocations of its own";
#endif
  TemporaryFolder folder;
  const std::string library = folder / "allocations.so";
  if (std::system(("cc -shared -fPIC -o " + library + " tests/campaigns/allocations.c -ldl").c_str()) != 0)
    GTEST_SKIP() << "no C compiler";
  const auto convert = [&](const std::string& to, const std::string& environment) {
    return run_patchcl("data convert phantom:cases=1,val=1,size=32,slices=1 " + (folder / to) + " --as png",
        environment + " LD_PRELOAD=" + library);
  };
  ASSERT_EQ(convert("whole", "FAIL_AT=0 TRACE=" + (folder / "count")).code, 0);
  const std::string picture = "/images/phantom000_slice_001.png";
  const int all = std::stoi(read_text(folder / "count")), step = all / 40 + 1;
  int refused = 0;
  for (int k = 1; k < all; k += step) {
    const std::string to = std::to_string(k);
    const Outcome o = convert(to, "FAIL_AT=" + to);
    EXPECT_TRUE(o.code == 0 || (o.code == 8 && contains(o.output, "[memory]"))) << k << ": " << o.output;
    if (fs::exists(folder / (to + picture))) {
      EXPECT_EQ(read_bytes(folder / (to + picture)), read_bytes(folder / ("whole" + picture))) << k;
    }
    refused += o.code == 8;
  }
  EXPECT_GT(refused, 0);
}

TEST(Faults, AGridWhoseScoresCannotBeReadEndsInWords) {
  TemporaryFolder folder;
  write_file(
      folder / "p.plan", "labeled 2\nseeds 1 2\ntrain" + kHearts + "\neval" + kHearts + "\nvariant a\n");
  for (const char* seed : {"1", "2"})
    fs::create_directories(folder / ("grid/a/labeled-2/seed-" + std::string(seed) + "/scores.json"));
  const Outcome o = run_patchcl("grid " + (folder / "p.plan") + " --jobs 2 --out " + (folder / "grid"));
  EXPECT_EQ(o.code, 3) << o.output;
  EXPECT_TRUE(contains(o.output, "scores.json: is no file")) << o.output;
}

TEST(Faults, AGridScoresAnewWhatIsTorn) {
  TemporaryFolder folder;
  const std::string plan = folder / "p.plan", grid = folder / "grid";
  write_file(plan, "labeled 2\nseeds 1\ntrain" + kHearts + kSmall + "--iters 2 --threads 1\neval" + kHearts +
                       "--threads 1\ncolumns accuracy pooled\nvariant a --method supervised\n");
  ASSERT_EQ(run_patchcl("grid " + plan + " --out " + grid).code, 0);
  const std::string scores = grid + "/a/labeled-2/seed-1/scores.json", before = read_text(scores);
  const std::string table = read_text(grid + "/table.md");
  const double accuracy = nlohmann::json::parse(before).at("pixel_accuracy");
  EXPECT_TRUE(contains(table, "| a | " + fixed(100 * accuracy, 2) + " | ")) << table;
  for (const std::string& torn : {before.substr(0, 100), std::string(), std::string("{}")}) {
    write_text(scores, torn);
    const Outcome o = run_patchcl("grid " + plan + " --out " + grid);
    EXPECT_EQ(o.code, 0) << o.output;
    EXPECT_EQ(read_text(scores), before);
    EXPECT_EQ(read_text(grid + "/table.md"), table);
  }
}

TEST(Faults, ARunOfAGridThatFailsGivesItsExitCode) {
  TemporaryFolder folder;
  write_file(folder / "p.plan", "labeled 2\nseeds 1\ntrain --data " + (folder / "nowhere") +
                                    "\neval --data phantom\nvariant a --method supervised\n");
  EXPECT_EQ(run_patchcl("grid " + (folder / "p.plan") + " --out " + (folder / "grid")).code, 3);
}

TEST(Faults, AVariantCannotLeaveTheGridsFolder) {
  for (const char* name : {"../x", "/x", "..", "a/b"})
    EXPECT_THROW(parse_plan("labeled 1\nseeds 1\nvariant " + std::string(name) + "\n", "p"), Error) << name;
}

TEST(Faults, AnOverlayStaysInItsFolder) {
  TemporaryFolder folder;
  Volume v;
  v.id = "../x";
  v.depth = 1;
  v.height = v.width = 8;
  v.channels = 1;
  v.image.assign(64, 0.5f);
  const std::vector<uint8_t> mask(64, 1);
  InferenceFlags flags;
  flags.overlays = folder / "overlays";
  save_overlay(flags.overlay_of(v.id), overlay(v, mask, {}));
  EXPECT_FALSE(fs::exists(folder / "x.svg"));
  EXPECT_TRUE(fs::exists(folder / "overlays/_.._x.svg"));
  v.id = std::string(300, 'a') + "/b";
  save_overlay(flags.overlay_of(v.id), overlay(v, mask, {}));
  EXPECT_TRUE(fs::exists(folder / ("overlays/" + std::string(200, 'a') + ".svg")));
}

TEST(Faults, NamesAreQuotedWhereTheyMustBe) {
  EXPECT_EQ(csv_cell("RV"), "RV");
  EXPECT_EQ(csv_cell("a,\"b\""), "\"a,\"\"b\"\"\"");
  EXPECT_EQ(csv_cell("a\nb"), "\"a\nb\"");
  EXPECT_EQ(markdown_table({"a|b", "c"}, {{"x\ny", "1"}}), "| a\\|b | c |\n|---|---:|\n| x y | 1 |\n");
  EXPECT_EQ(printable("a\x1b[2Jb\nc\x7f"), "a\\x1b[2Jb\nc\\x7f");
  EXPECT_EQ(printable("Gefäß"), "Gefäß");
  EXPECT_EQ(distinct({"a", "b", "a", "a (2)", "a"}),
      (std::vector<std::string>{"a", "b", "a (2)", "a (2) (2)", "a (3)"}));
}

TEST(Faults, NamesThatAreNotUtf8EndNoRun) {
  TemporaryFolder folder;
  const std::string tiles = folder / "tiles\xff", run = folder / "run";
  write_tiles(tiles, 32, 32);
  for (const char* sub : {"/images/", "/masks/"})
    fs::rename(tiles + sub + "tile_4.png", tiles + sub + "tile_4\xff\x1b[2J.png");
  const std::string data = " --threads 1 --data '" + tiles + "' ";
  const Outcome o = run_patchcl("train" + data + kSmall + "--device cpu --iters 2 --out " + run);
  ASSERT_EQ(o.code, 0) << o.output;
  const std::string scores = folder / "scores.json";
  const Outcome scored =
      run_patchcl("eval" + data + "--weights " + run + "/best.safetensors --json " + scores);
  EXPECT_EQ(scored.code, 0) << scored.output;
  EXPECT_FALSE(contains(scored.output, "\x1b[2J")) << "an escape of a file's name reached the terminal";
  EXPECT_TRUE(nlohmann::json::accept(read_text(scores)));
  EXPECT_TRUE(nlohmann::json::accept(read_text(run + "/run.json")));
  EXPECT_EQ(run_patchcl("train --resume " + run).code, 0);
}

}  // namespace
