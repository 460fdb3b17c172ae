// What stands at the place of an output stays what it is: links, pipes, devices and folders.
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>

#include "command_line.h"
#include "tensor/file.h"

using namespace patchcl;
using namespace patchcl::test;
namespace fs = std::filesystem;

namespace {

// What writing there, and looking at the place before the work, says.
std::string refusal(const std::string& path) {
  std::string said;
  for (const auto& write :
      {+[](const std::string& p) { write_text(p, "x"); }, +[](const std::string& p) { make_folder_of(p); }})
    try {
      write(path);
      ADD_FAILURE() << path;
    } catch (const Error& e) {
      EXPECT_EQ(e.code(), ExitCode::io);
      EXPECT_TRUE(said.empty() || said == e.what()) << e.what();
      said = e.what();
    }
  return said;
}

TEST(OutputFiles, AreWrittenThroughLinks) {
  const TemporaryFolder folder;
  fs::create_directory(folder / "store");
  write_text(folder / "store/old", "before");
  fs::create_symlink("store/old", folder / "near");
  fs::create_symlink(folder / "near", folder / "far");
  fs::create_symlink("store/new", folder / "dangling");
  write_text(folder / "far", "after");
  write_text(folder / "dangling", "fresh");
  EXPECT_EQ(read_text(folder / "store/old"), "after");
  EXPECT_EQ(read_text(folder / "store/new"), "fresh");
  for (const char* link : {"near", "far", "dangling"}) EXPECT_TRUE(fs::is_symlink(folder / link)) << link;
  EXPECT_EQ(std::distance(fs::directory_iterator(folder.path()), fs::directory_iterator()), 4);
  fs::create_symlink("circle", folder / "circle");
  EXPECT_THROW(write_text(folder / "circle", "x"), Error);
  EXPECT_TRUE(fs::is_symlink(folder / "circle"));
}

TEST(OutputFiles, DoNotTakeThePlaceOfPipesAndFolders) {
  const TemporaryFolder folder;
  ASSERT_EQ(mkfifo((folder / "pipe").c_str(), 0600), 0);
  fs::create_symlink("pipe", folder / "link");
  fs::create_directory(folder / "folder");
  for (const char* name : {"pipe", "link"}) {
    EXPECT_TRUE(contains(refusal(folder / name), std::string(name) + " is a device, pipe or socket")) << name;
    EXPECT_TRUE(fs::is_fifo(folder / name)) << name;
  }
  EXPECT_TRUE(contains(refusal(folder / "folder"), "folder is a folder"));
  EXPECT_EQ(std::distance(fs::directory_iterator(folder.path()), fs::directory_iterator()), 3);
}

TEST(OutputFiles, ACommandStopsBeforeItsWork) {
  const TemporaryFolder folder;
  ASSERT_EQ(mkfifo((folder / "pipe").c_str(), 0600), 0);
  // Neither mask is there: what is said first is said before any is read.
  const Outcome o = run_patchcl("score none.png none.png --json " + folder / "pipe");
  EXPECT_EQ(o.code, int(ExitCode::io)) << o.output;
  EXPECT_TRUE(contains(o.output, "pipe is a device, pipe or socket")) << o.output;
  EXPECT_TRUE(fs::is_fifo(folder / "pipe"));
}

}  // namespace
