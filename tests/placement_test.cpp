// Masks of an image's size that lie elsewhere than it, by what their headers say.
#include <gtest/gtest.h>

#include "data/formats/readers.h"
#include "data/stream/dataset.h"
#include "tensor/error.h"
#include "tests/command_line.h"
#include "tests/small_data.h"

using namespace patchcl;
using namespace patchcl::test;

namespace {

constexpr std::array<double, 3> kMillimetres{5, 1, 1};  // slice, row, column

// The directions of column, row and slice as columns, in the scanner's frame, without the spacing.
using Matrix = std::array<std::array<double, 3>, 3>;
constexpr Matrix kAlong{{{1, 0, 0}, {0, 1, 0}, {0, 0, 1}}}, kMirrored{{{-1, 0, 0}, {0, 1, 0}, {0, 0, 1}}},
    kItk{{{-1, 0, 0}, {0, -1, 0}, {0, 0, 1}}};
Matrix turned(double degrees) {
  const double c = std::cos(degrees * M_PI / 180), s = std::sin(degrees * M_PI / 180);
  return {{{c, -s, 0}, {s, c, 0}, {0, 0, 1}}};
}

Grid with_frames(const std::vector<Matrix>& frames, std::array<double, 3> spacing = kMillimetres,
    double origin = 40, int64_t depth = 4) {
  Grid g = grid_of(depth, 8, 10, std::vector<double>(size_t(depth * 80)));
  for (size_t i = 0; i < g.values.size(); ++i) g.values[i] = double(i % 2);
  g.spacing = spacing;
  for (const Matrix& m : frames) {
    Frame f{{}, {origin, origin, origin}};
    for (size_t axis = 0; axis < 3; ++axis)
      for (size_t i = 0; i < 3; ++i) f.axes[axis][i] = m[i][2 - axis];
    g.frames.push_back(f);
  }
  return g;
}

// What is said of the pair; empty when nothing is.
std::string refused(const Grid& image, const Grid& mask) {
  try {
    to_volume("a", "a.nii", image, &mask, "a_mask.nii");
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), ExitCode::data);
    return e.what();
  }
  return "";
}

TEST(Placement, AMaskOfOtherSpacingIsRefusedWithBothSpacings) {
  const Grid image = with_frames({kAlong});
  const std::string why = refused(image, with_frames({kAlong}, {7, 3, 2}));
  for (const char* part : {"a.nii has voxels of 1x1x5 mm", "a_mask.nii of 2x3x7 mm", "resample the mask"})
    EXPECT_TRUE(contains(why, part)) << why;
  EXPECT_EQ(refused(image, with_frames({kAlong}, {5.01, 1, 0.99})), "") << "rounded";
  EXPECT_TRUE(contains(refused(image, with_frames({}, {5, 1, 2})), "different spacing"))
      << "without an affine";
}

TEST(Placement, AMirroredOrTurnedMaskIsRefusedWithBothOrientations) {
  const Grid image = with_frames({kAlong});
  const std::string why = refused(image, with_frames({kMirrored}));
  for (const char* part :
      {"a.nii has its axes towards RAS", "a_mask.nii towards LAS", "180 degrees", "reorient the mask"})
    EXPECT_TRUE(contains(why, part)) << why;
  EXPECT_TRUE(contains(refused(image, with_frames({turned(30)})), "up to 30 degrees"));
  EXPECT_EQ(refused(image, with_frames({turned(0.5)})), "") << "rounded";
  EXPECT_EQ(refused(image, with_frames({kAlong}, kMillimetres, -7)), "") << "an origin is often lost";
  const Matrix upside_down{{{1, 0, 0}, {0, 1, 0}, {0, 0, -1}}};
  EXPECT_NE(refused(image, with_frames({upside_down})), "");
  EXPECT_EQ(
      refused(with_frames({kAlong}, kMillimetres, 40, 1), with_frames({upside_down}, {9, 1, 1}, 40, 1)), "")
      << "a single slice has no slice axis";
}

TEST(Placement, OneOfTheFramesIsEnough) {
  EXPECT_EQ(refused(with_frames({turned(10), kAlong}), with_frames({kAlong})), "");
  EXPECT_EQ(refused(with_frames({kAlong}), with_frames({turned(10), kAlong})), "");
  EXPECT_NE(refused(with_frames({turned(10), kAlong}), with_frames({kMirrored})), "");
}

TEST(Placement, AHeaderThatNobodySetSaysNothing) {
  const Grid image = with_frames({kItk});
  constexpr std::array<double, 3> unit{1, 1, 1};
  EXPECT_EQ(refused(image, with_frames({}, unit)), "");
  EXPECT_EQ(refused(image, with_frames({kAlong}, unit, 0)), "") << "nibabel without an affine";
  EXPECT_EQ(refused(with_frames({kAlong}), with_frames({kItk, kItk}, unit, 0)), "") << "ITK";
  EXPECT_EQ(refused(with_frames({}, unit), with_frames({kMirrored})), "") << "an image without geometry";
  EXPECT_NE(refused(with_frames({kAlong}, unit), with_frames({kMirrored}, unit)), "");
  EXPECT_EQ(refused(image, with_frames({})), "") << "spacing alone";
}

// NIfTI-1: qform_code at byte 252, sform_code at 254, quaternion at 256, rows of the affine at 280.
template <class T> void put_value(const std::string& path, int64_t at, T value) {
  std::fstream f(path, std::ios::in | std::ios::out | std::ios::binary);
  f.seekp(at);
  f.write(reinterpret_cast<const char*>(&value), sizeof value);
}
void put_affine(const std::string& path, const Matrix& m, float origin) {
  put_value(path, 252, int16_t(0));
  put_value(path, 254, int16_t(1));
  for (int64_t row = 0; row < 3; ++row) {
    for (size_t column = 0; column < 3; ++column)
      put_value(path, 280 + 16 * row + 4 * int64_t(column),
          float(m[size_t(row)][column] * kMillimetres[2 - column]));
    put_value(path, 280 + 16 * row + 12, origin);
  }
}

class NiftiPlacement : public testing::Test {
 protected:
  void SetUp() override {
    try {
      read_nifti_header("/nowhere.nii");
    } catch (const Error& e) {
      if (contains(e.what(), "built without")) GTEST_SKIP() << e.what();
    }
    for (const char* sub : {"/images", "/masks"}) std::filesystem::create_directories(folder_.path() + sub);
    for (const std::string name : {"a", "b", "c"})
      for (const char* sub : {"images/", "masks/"})
        write_nifti(folder_ / sub + name + ".nii", with_frames({}), NiftiType::u8);
  }
  TemporaryFolder folder_;
};

TEST_F(NiftiPlacement, SformAndQformAreReadAsAxes) {
  const std::string path = folder_ / "images/a.nii";
  std::vector<Frame> frames = read_nifti(path).frames;  // the qform of write_nifti
  ASSERT_EQ(frames.size(), 1u);
  EXPECT_EQ(frames[0].axes, with_frames({kAlong}).frames[0].axes);
  put_value(path, 264, 1.f);  // a quaternion of (0, 0, 0, 1): half a turn around the slice axis
  EXPECT_EQ(read_nifti(path).frames.at(0).axes, with_frames({kItk}).frames[0].axes);
  put_affine(path, turned(30), 40);
  frames = read_nifti_header(path).frames;
  ASSERT_EQ(frames.size(), 1u);
  EXPECT_EQ(frames[0].origin[1], 40);
  for (size_t axis = 0; axis < 3; ++axis)
    for (size_t i = 0; i < 3; ++i)
      EXPECT_NEAR(frames[0].axes[axis][i], with_frames({turned(30)}).frames[0].axes[axis][i], 1e-6);
  for (const float broken : {0.f, std::nanf("")}) {
    for (int64_t row = 0; row < 3; ++row) put_value(path, 280 + 16 * row, broken);
    EXPECT_TRUE(read_nifti(path).frames.empty()) << "a column without a direction";
  }
}

TEST_F(NiftiPlacement, CheckTrainAndEvalNameAMirroredMask) {
  const std::string data = folder_.path(), mask = folder_ / "masks/a.nii", run = folder_ / "run",
                    small = " --size 8 --batch 2 --iters 2 --widths 4 6 --dropout 0 0 --threads 1 --out ";
  EXPECT_EQ(run_patchcl("data check " + data).code, 0);
  const Outcome good = run_patchcl("train --data " + data + small + run);
  EXPECT_EQ(good.code, 0) << good.output;
  put_affine(mask, kMirrored, 9);
  for (const std::string& command :
      {"data check " + data, "train --data " + data + small + folder_ / "second",
          "eval --split train --data " + data + " --weights " + run}) {
    const Outcome o = run_patchcl(command);
    EXPECT_EQ(o.code, 3) << command << o.output;
    for (const std::string& part : {folder_ / "images/a.nii has its axes towards RAS", mask + " towards LAS"})
      EXPECT_TRUE(contains(o.output, part)) << command << o.output;
  }
}

}  // namespace
