// What becomes of a crash while a library reads a file.
#include "data/formats/crash_guard.h"

#include <thread>

#include "tests/image_files.h"

using namespace patchcl;
using namespace patchcl::test;

namespace {

TEST(CrashGuard, AFileThatLibhdf5CrashesOverIsRefusedInWords) {
  if (!built_with(h5)) GTEST_SKIP() << "built without the library";
  const Bytes bytes = read_bytes("tests/hostile/library-crash.h5");
  EXPECT_EXIT(
      {
        std::cerr << refusal(h5, bytes);  // by a library that does not crash
        _exit(int(ExitCode::data));
      },
      testing::ExitedWithCode(int(ExitCode::data)), "\\[h5\\] x.*damaged");
}

TEST(CrashGuard, NamesTheFileWithoutItsEscapes) {
  EXPECT_EXIT(
      {
        const CrashGuard guard("h5", "a\x1b[1m.h5");
        std::raise(SIGSEGV);
      },
      testing::ExitedWithCode(int(ExitCode::data)), "error: \\[h5\\] a[^\x1b]*: the library .* crashed");
}

#ifndef __SANITIZE_ADDRESS__  // which has handlers of its own
TEST(CrashGuard, OthersCrashAsEver) {
  EXPECT_EXIT(
      {
        const CrashGuard guard("h5", "a.h5");
        std::thread([] { std::raise(SIGSEGV); }).join();
      },
      testing::KilledBySignal(SIGSEGV), "");
  EXPECT_EXIT(
      {
        { const CrashGuard guard("h5", "a.h5"); }
        std::raise(SIGSEGV);
      },
      testing::KilledBySignal(SIGSEGV), "");
}
#endif

}  // namespace
