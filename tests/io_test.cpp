// safetensors: what is written comes back; what is damaged is refused by name; a full disk loses nothing.
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <functional>

#include "tensor/file.h"
#include "tensor/io.h"

using namespace patchcl;
namespace fs = std::filesystem;

namespace {
// What happens instead of fsync while a test watches; the argument is the path that would be flushed.
std::function<int(const std::string&)> watch_fsync;
}  // namespace

// Takes the place of the C library's function in this program.
extern "C" int fsync(int fd) {
  if (watch_fsync) return watch_fsync(fs::read_symlink("/proc/self/fd/" + std::to_string(fd)));
  return int(syscall(SYS_fsync, fd));
}

namespace {
class SafeTensors : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = fs::temp_directory_path() / ("patchcl_io_" + std::to_string(getpid()));
    fs::create_directories(folder_);
    path_ = folder_ / "w.safetensors";
    const Tensor a = arena_.empty({2, 3}, DType::f32), b = arena_.empty({4}, DType::i64);
    for (int i = 0; i < 6; ++i) a.data<float>()[i] = 0.5f * float(i);
    for (int i = 0; i < 4; ++i) b.data<int64_t>()[i] = -i;
    file_ = {{{"a", a}, {"b", b}}, {{"note", "x"}}};
    save_tensors(path_, file_);
  }
  void TearDown() override { fs::remove_all(folder_); }

  // Loads a changed copy of the file and returns the refusal.
  std::string refusal(const std::function<void(std::string&)>& change) {
    std::ifstream in(path_, std::ios::binary);
    std::string bytes((std::istreambuf_iterator<char>(in)), {});
    change(bytes);
    const std::string bad = folder_ / "bad.safetensors";
    std::ofstream(bad, std::ios::binary) << bytes;
    try {
      load_tensors(bad, arena_);
    } catch (const Error& e) {
      EXPECT_EQ(e.code(), ExitCode::checkpoint);
      EXPECT_NE(std::string(e.what()).find(bad), std::string::npos) << e.what();
      return e.what();
    }
    return "";
  }
  static void replace(std::string& s, const std::string& from, const std::string& to) {
    ASSERT_EQ(from.size(), to.size());
    ASSERT_NE(s.find(from), std::string::npos) << from;
    s.replace(s.find(from), from.size(), to);
  }

  Arena arena_{"test"};
  fs::path folder_;
  std::string path_;
  TensorFile file_;
};

TEST_F(SafeTensors, ComesBackAsItWas) {
  const TensorFile back = load_tensors(path_, arena_);
  ASSERT_EQ(back.tensors.size(), 2u);
  EXPECT_EQ(back.tensors.at("a").shape(), (Shape{2, 3}));
  EXPECT_EQ(back.tensors.at("a").item(5), 2.5);
  EXPECT_EQ(back.tensors.at("b").item(3), -3);
  EXPECT_EQ(back.metadata.at("note"), "x");
}

TEST_F(SafeTensors, ATypeThatNoFileHoldsIsNotWritten) {
  TensorFile file = file_;
  file.tensors["c"] = arena_.zeros({2}, DType::bf16);
  EXPECT_THROW(save_tensors(path_, file), Error);
  EXPECT_NO_THROW(load_tensors(path_, arena_));
}

TEST_F(SafeTensors, DamageIsRefusedByName) {
  EXPECT_NE(refusal([](std::string& s) { s.resize(s.size() - 5); }), "");
  EXPECT_NE(refusal([](std::string& s) { s.resize(4); }), "");
  EXPECT_NE(refusal([](std::string& s) { s.resize(20); }), "");
  EXPECT_NE(refusal([](std::string& s) { s[7] = '\x7f'; }), "");  // header length of exabytes
  EXPECT_NE(refusal([](std::string& s) { s[8] = '['; }), "");     // no JSON object
  EXPECT_NE(refusal([](std::string& s) { replace(s, "[0,24]", "[8,24]"); }), "");  // overlap and wrong size
  EXPECT_NE(refusal([](std::string& s) { replace(s, "[2,3]", "[9,9]"); }), "");    // larger than the file
  EXPECT_NE(refusal([](std::string& s) { replace(s, "[2,3]", "[2.5]"); }), "");    // no whole numbers
  EXPECT_NE(refusal([](std::string& s) { replace(s, "[2,3]", "[-23]"); }), "");
  EXPECT_NE(refusal([](std::string& s) { replace(s, "F32", "F99"); }), "");
  EXPECT_NE(refusal([](std::string& s) { s += "tail"; }), "");
  EXPECT_NE(refusal([](std::string& s) { s.back() ^= 1; }).find("checksum"), std::string::npos);
}

TEST_F(SafeTensors, AMissingFileIsAnErrorThatNamesIt) {
  EXPECT_THROW(load_tensors(folder_ / "nothing.safetensors", arena_), Error);
}

TEST_F(SafeTensors, AFullDiskLeavesTheOldFileAndNoTemporary) {
  rlimit before{};
  getrlimit(RLIMIT_FSIZE, &before);
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  const rlimit small{64, before.rlim_max};  // writing stops in the middle of the header
  setrlimit(RLIMIT_FSIZE, &small);
  TensorFile other = file_;
  other.metadata["note"] = "newer";
  try {
    save_tensors(path_, other);
    ADD_FAILURE() << "writing beyond the limit went through";
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), ExitCode::io);
  }
  setrlimit(RLIMIT_FSIZE, &before);
  std::signal(SIGXFSZ, handler);
  EXPECT_EQ(load_tensors(path_, arena_).metadata.at("note"), "x");
  EXPECT_EQ(std::distance(fs::directory_iterator(folder_), fs::directory_iterator()), 1);
}
// A power cut can neither leave an empty file under the name nor lose the name: data, then rename, then
// folder.
TEST_F(SafeTensors, DataReachTheDiskBeforeTheNameDoes) {
  TensorFile newer = file_;
  newer.metadata["note"] = "newer";
  std::vector<std::string> flushed;
  watch_fsync = [&](const std::string& path) {
    flushed.push_back(path);
    const bool renamed = load_tensors(path_, arena_).metadata.at("note") == "newer";
    EXPECT_EQ(renamed, path == folder_) << path;
    if (!renamed) {
      EXPECT_EQ(load_tensors(path, arena_).metadata.at("note"), "newer") << "flushed before it was whole";
    }
    return 0;
  };
  save_tensors(path_, newer);
  watch_fsync = nullptr;
  EXPECT_EQ(flushed, (std::vector<std::string>{path_ + ".tmp", folder_}));
}

TEST_F(SafeTensors, ADiskThatCannotFlushLeavesTheOldFile) {
  watch_fsync = [](const std::string&) {
    errno = EIO;
    return -1;
  };
  EXPECT_THROW(save_tensors(path_, {}), Error);
  watch_fsync = nullptr;
  EXPECT_EQ(load_tensors(path_, arena_).metadata.at("note"), "x");
  EXPECT_EQ(std::distance(fs::directory_iterator(folder_), fs::directory_iterator()), 1);
}

TEST_F(SafeTensors, AFolderIsFlushedIntoTheOneAbove) {
  std::vector<std::string> flushed;
  watch_fsync = [&](const std::string& path) {
    flushed.push_back(path);
    return 0;
  };
  for (int again = 0; again < 2; ++again) make_folders(folder_ / "a/b/");
  watch_fsync = nullptr;
  EXPECT_TRUE(fs::is_directory(folder_ / "a/b"));
  EXPECT_EQ(flushed, (std::vector<std::string>{folder_, folder_ / "a"}));
  write_text(folder_ / "file", "");
  EXPECT_THROW(make_folders(folder_ / "file/c"), Error);
}
}  // namespace
