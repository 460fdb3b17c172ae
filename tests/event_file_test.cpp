// Events for TensorBoard: records that its reader takes, of the numbers that metrics.csv has.
#include <gtest/gtest.h>

#include <cstring>
#include <filesystem>

#include "tensor/file.h"
#include "tests/command_line.h"

using namespace patchcl;
using namespace patchcl::test;

namespace {

// The only event file of a folder.
std::string events_of(const std::string& folder) {
  std::string found;
  for (const auto& entry : std::filesystem::directory_iterator(folder))
    if (contains(entry.path().filename().string(), "tfevents")) found = entry.path().string();
  return found;
}

// CRC-32C by its definition: the remainder of the bits as a polynomial.
uint32_t remainder_of(const std::string& bytes) {
  uint32_t r = 0xffffffff;
  for (const unsigned char byte : bytes)
    for (int bit = 0; bit < 8; ++bit) {
      const bool out = ((r ^ uint32_t(byte >> bit)) & 1) != 0;
      r = (r >> 1) ^ (out ? 0x82f63b78u : 0u);
    }
  return r ^ 0xffffffff;
}

const std::string kRun =
    "train --data phantom:cases=4,val=1,size=32 --size 32 --batch 2 --widths 4 8 --dropout 0.1 0.2 --iters 4 "
    "--val-every 2 --log-every 1 --threads 1 --tensorboard true --png true --out ";

}  // namespace

TEST(EventFile, IsAChainOfRecordsWithTheirSums) {
  EXPECT_EQ(remainder_of("123456789"), 0xe3069283u) << "the check value of CRC-32C";
  TemporaryFolder folder;
  ASSERT_EQ(run_patchcl(kRun + (folder / "run")).code, 0);
  const std::string bytes = read_text(events_of(folder / "run"));
  const auto word = [&](size_t at) {
    uint32_t v = 0;
    std::memcpy(&v, bytes.data() + at, 4);
    return v;
  };
  const auto masked = [](uint32_t c) { return (c >> 15 | c << 17) + 0xa282ead8u; };
  int records = 0, pictures = 0;
  for (size_t at = 0; at < bytes.size(); ++records) {
    ASSERT_LE(at + 16, bytes.size());
    uint64_t length = 0;
    std::memcpy(&length, bytes.data() + at, 8);
    EXPECT_EQ(word(at + 8), masked(remainder_of(bytes.substr(at, 8))));
    ASSERT_LE(at + 16 + length, bytes.size());
    const std::string event = bytes.substr(at + 12, length);
    EXPECT_EQ(word(at + 12 + length), masked(remainder_of(event)));
    pictures += contains(event, "\x89PNG");
    at += 16 + length;
  }
  EXPECT_GT(records, 4 * 3);
  EXPECT_GT(pictures, 1);
}

TEST(EventFile, TensorBoardReadsWhatTheTableHas) {
  const std::string python = "python3 -c 'import tensorboard' 2> /dev/null";
  if (std::system(python.c_str()) != 0) GTEST_SKIP() << "no tensorboard to read with";
  TemporaryFolder folder;
  const std::string run = folder / "run", seen = folder / "seen.txt", script = folder / "read.py";
  ASSERT_EQ(run_patchcl(kRun + run).code, 0);
  write_text(script,
      "import sys\n"
      "from tensorboard.backend.event_processing.event_accumulator import EventAccumulator\n"
      "a = EventAccumulator(sys.argv[1], size_guidance={'images': 0})\n"
      "a.Reload()\n"
      "for e in a.Scalars('loss'): print('loss', e.step, '%.5g' % e.value)\n"
      "image = a.Images(a.Tags()['images'][0])[-1]\n"
      "print('image', image.step, image.width > 0, image.encoded_image_string[1:4].decode())\n");
  ASSERT_EQ(std::system(("python3 " + script + " " + run + " > " + seen + " 2> /dev/null").c_str()), 0);
  const std::string text = read_text(seen), table = read_text(run + "/metrics.csv");
  EXPECT_TRUE(contains(text, "image 4 True PNG")) << text;
  const size_t row = table.find("\n1,");
  const std::string loss = table.substr(table.find(',', row + 3) + 1, 6);
  EXPECT_TRUE(contains(text, "loss 1 " + loss.substr(0, 5))) << text << table;
}
