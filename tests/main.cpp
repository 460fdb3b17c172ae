// Runs all tests and closes with one line that scripts can read: "N passed, N failed, N skipped".
#include <gtest/gtest.h>

#include <cstdio>

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  const int rc = RUN_ALL_TESTS();
  const testing::UnitTest& all = *testing::UnitTest::GetInstance();
  std::printf("%d passed, %d failed, %d skipped\n", all.successful_test_count(), all.failed_test_count(),
      all.skipped_test_count());
  // A filter that matches nothing, or a binary without tests, is no success.
  return rc || all.test_to_run_count() == 0;
}
