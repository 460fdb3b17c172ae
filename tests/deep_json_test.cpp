// Files of a few hundred kilobytes in which JSON nests without end: whoever follows it runs out of stack.
#include <gtest/gtest.h>

#include <cstring>
#include <filesystem>

#include "tensor/file.h"
#include "tensor/io.h"
#include "tensor/json.h"
#include "tests/command_line.h"

using namespace patchcl;
using namespace patchcl::test;
namespace fs = std::filesystem;

namespace {

std::string nested(size_t levels) { return std::string(levels, '[') + std::string(levels, ']'); }
const std::string kDeep = nested(200000);
const std::string kPhantom = "phantom:cases=4,val=1,size=16,slices=2";

std::string small(const std::string& run) {
  return "train --data " + kPhantom +
         " --size 16 --batch 2 --widths 2,4 --dropout 0,0 --threads 1 --device cpu --iters 2 --out " + run;
}

void expect_refused(const std::string& command, int code, const std::string& said) {
  const Outcome o = run_patchcl(command);
  EXPECT_EQ(o.code, code) << command << ": " << o.output;
  EXPECT_TRUE(contains(o.output, said)) << command << ": " << o.output.substr(0, 1000);
  EXPECT_LT(o.output.size(), 20000u) << command;
}

TEST(DeepJson, ThirtyTwoLevelsAreReadAndNoMore) {
  std::string why;
  EXPECT_FALSE(parse_json(nested(33)).is_discarded());
  EXPECT_TRUE(parse_json(nested(34), &why).is_discarded());
  EXPECT_TRUE(contains(why, "more than 32 deep")) << why;
  EXPECT_TRUE(parse_json("{\"a\":" + kDeep + "}").is_discarded());
  EXPECT_TRUE(parse_json(std::string(400000, '[')).is_discarded());
  EXPECT_TRUE(parse_json("[1,", &why).is_discarded());
  EXPECT_TRUE(contains(why, "parse error")) << why;
  EXPECT_EQ(parse_json("{\"a\":[1,2]}").at("a").at(1), 2);
}

TEST(DeepJson, InWeightsIsExitCode6) {
  const TemporaryFolder folder;
  const std::string run = folder / "run", made = folder / "made.safetensors";
  ASSERT_EQ(run_patchcl(small(run)).code, 0);
  const std::string eval = "eval --threads 1 --data " + kPhantom + " --weights ";
  for (const std::string& header :
      {kDeep, "{\"x\":" + kDeep + "}", "{\"__metadata__\":{\"a\":" + kDeep + "}}",
          "{\"x\":{\"dtype\":\"F32\",\"shape\":" + kDeep + ",\"data_offsets\":[0,4]}}"}) {
    const uint64_t size = header.size();
    std::string file(8, '\0');
    std::memcpy(file.data(), &size, 8);
    write_text(made, file + header + "1234");
    expect_refused(eval + made, 6, "a header that is not JSON");
  }
  const TensorFile weights = load_tensors(run + "/last.safetensors", Arena("test"));
  for (const char* key : {"network", "class_names"}) {
    TensorFile edited = weights;
    edited.metadata[key] = kDeep;
    save_tensors(made, edited);
    expect_refused(eval + made, 6, "more than 32 deep");
  }
}

TEST(DeepJson, InADataSetIsExitCode3) {
  const TemporaryFolder folder;
  const std::string data = folder / "data";
  ASSERT_EQ(run_patchcl("data convert " + kPhantom + " " + data + " --as nnunet").code, 0);
  write_text(data + "/splits_final.json", kDeep);
  expect_refused(
      "train --data " + data + " --fold 1/2 --out " + (folder / "run"), 3, "splits_final.json is broken");
  for (const std::string& json : {kDeep, "{\"labels\":" + kDeep + "}",
           "{\"channel_names\":{\"0\":\"a\"},\"labels\":{\"a\":" + kDeep + "}}"}) {
    write_text(data + "/dataset.json", json);
    expect_refused("data check " + data, 3, "dataset.json is broken");
  }
}

// Of what a run wrote: it is not needed, or made again.
TEST(DeepJson, InALogOrARecordEndsNoRun) {
  const TemporaryFolder folder;
  const std::string run = folder / "run";
  ASSERT_EQ(run_patchcl(small(run)).code, 0);
  for (const char* file : {"/run.json", "/metrics.jsonl", "/best.json", "/results.json"})
    write_text(
        run + file, (file == std::string("/metrics.jsonl") ? "{\"iteration\":" + kDeep + "}" : kDeep) + "\n");
  const Outcome page = run_patchcl("report " + run);
  EXPECT_EQ(page.code, 0) << page.output.substr(0, 1000);
  const Outcome resumed = run_patchcl("train --extend 2 --resume " + run);
  EXPECT_EQ(resumed.code, 0) << resumed.output.substr(0, 1000);
}

}  // namespace
