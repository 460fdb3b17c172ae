// What a file of each format means: scaling, axes, ranges, checksums.
#include <gtest/gtest.h>

#include <chrono>
#include <cstring>
#include <ctime>
#include <thread>

#include "data/formats/readers.h"
#include "data/stream/dataset.h"
#include "tensor/error.h"
#include "tensor/file.h"
#include "tests/command_line.h"
#include "tests/small_data.h"

using namespace patchcl;
using namespace patchcl::test;

namespace {

// Nothing where the library is there, else why not.
std::string missing(void (*use)()) {
  try {
    use();
  } catch (const Error& e) {
    if (std::string(e.what()).find("built without") != std::string::npos) return e.what();
  }
  return "";
}

class Nifti : public testing::Test {
 protected:
  void SetUp() override {
    const std::string why = missing([] { read_nifti_header("/nowhere.nii"); });
    if (!why.empty()) GTEST_SKIP() << why;
  }
  TemporaryFolder folder_;
};

// `value` at byte `at` of a file, in this machine's order.
template <class T> void put_value(const std::string& path, int64_t at, T value) {
  std::fstream f(path, std::ios::in | std::ios::out | std::ios::binary);
  f.seekp(at, at < 0 ? std::ios::end : std::ios::beg);
  f.write(reinterpret_cast<const char*>(&value), sizeof value);
}
template <class T> T value_at(const std::string& path, int64_t at) {
  T value{};
  std::ifstream f(path, std::ios::binary);
  f.seekg(at, at < 0 ? std::ios::end : std::ios::beg);
  f.read(reinterpret_cast<char*>(&value), sizeof value);
  return value;
}

// nifti1.h: float scl_slope at byte 112, scl_inter at 116; a slope of 0 or NaN says "as stored".
TEST_F(Nifti, ValuesAreSlopeTimesStoredPlusIntercept) {
  const std::string path = folder_ / "scaled.nii";
  const std::vector<double> stored{0, 1, 2, 40, 200, 255};
  write_nifti(path, grid_of(1, 2, 3, stored), NiftiType::u8);
  const auto expect_scaled = [&](float slope, float intercept, double a, double b) {
    put_value(path, 112, slope);
    put_value(path, 116, intercept);
    const Grid g = read_nifti(path);
    for (size_t i = 0; i < stored.size(); ++i) EXPECT_EQ(g.values[i], a * stored[i] + b) << slope;
    EXPECT_EQ(g.low, std::min(b, 255 * a + b)) << slope;
    EXPECT_EQ(g.high, std::max(b, 255 * a + b)) << slope;
  };
  expect_scaled(0.5f, -10, 0.5, -10);
  expect_scaled(-2, 3, -2, 3);
  expect_scaled(1, 1000, 1, 1000);
  expect_scaled(0, 7, 1, 0);
  expect_scaled(std::nanf(""), 7, 1, 0);
}

// nifti1.h: pixdim[1..3] at bytes 80, 84 and 88 belong to the fastest axis (our column), row and slice.
TEST_F(Nifti, SpacingIsThatOfSliceRowAndColumn) {
  const std::string path = folder_ / "spaced.nii";
  const Grid g = grid_of(2, 3, 4, std::vector<double>(24));
  write_nifti(path, g, NiftiType::u8);
  EXPECT_EQ(value_at<float>(path, 80), 1.25f);
  EXPECT_EQ(value_at<float>(path, 84), 1.5f);
  EXPECT_EQ(value_at<float>(path, 88), 3.f);
  EXPECT_EQ(read_nifti_header(path).spacing, (std::array<double, 3>{3, 1.5, 1.25}));
  EXPECT_EQ(read_nifti(path).spacing, (std::array<double, 3>{3, 1.5, 1.25}));
}

// Puts a name before the data of a gzip file (RFC 1952: FLG bit 3, zero-terminated, at byte 10), as long as
// it takes to begin the last 8 bytes, CRC-32 and length, at a multiple of every buffer a reader may have.
void push_checksum_into_the_next_buffer(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  std::string bytes((std::istreambuf_iterator<char>(in)), {});
  ASSERT_EQ(bytes[3], 0) << "has a name";
  constexpr size_t buffer = size_t(1) << 17;
  bytes[3] = 8;
  bytes.insert(10, std::string(buffer - 1 - (bytes.size() - 8) % buffer, 'n') + '\0');
  write_file(path, bytes);
}

// Two channels of scales of their own are read as a data set reads them. nifti1.h: short dim[8] at byte 40.
TEST_F(Nifti, ChannelsOfAFileAloneAreNormalisedEachByItself) {
  const std::string path = folder_ / "two.nii";
  write_nifti(path, grid_of(2, 1, 3, {0, 500, 1000, 10, 20, 30}), NiftiType::f32);
  const short dims[] = {4, 3, 1, 1, 2};
  for (size_t i = 0; i < 5; ++i) put_value(path, 40 + int64_t(2 * i), dims[i]);
  const Volume v = read_volume(path);
  EXPECT_EQ(v.channels, 2);
  EXPECT_EQ(v.image, (std::vector<float>{0, 0, 0.5, 0.5, 1, 1}));
}

// nibabel writes masks of 64 bits where nobody says otherwise. nifti1.h: datatype at byte 70, bitpix at 72.
TEST_F(Nifti, WholeNumbersOf64BitsAreRead) {
  const std::string path = folder_ / "long.nii";
  for (const short type : {1024, 1280}) {
    write_nifti(path, grid_of(1, 1, 3, {0, 0, 0}), NiftiType::f64);
    put_value(path, 70, type);
    for (int64_t i = 0; i < 3; ++i) put_value(path, 352 + 8 * i, i * i + 1);
    EXPECT_EQ(read_nifti(path).values, (std::vector<double>{1, 2, 5}));
  }
}

TEST_F(Nifti, EndingsMayBeCapitals) {
  const std::string path = folder_ / "A.NII.GZ";
  write_nifti(path, grid_of(1, 1, 3, {1, 2, 3}), NiftiType::u8);
  EXPECT_EQ(value_at<uint16_t>(path, 0), 0x8b1f) << "gzip";
  EXPECT_EQ(read_nifti(path).values, (std::vector<double>{1, 2, 3}));
  EXPECT_EQ(stem_of(path), "A");
}

// Such a reader has every voxel of a volume larger than its buffers before it sees the checksum.
TEST_F(Nifti, AWrongGzipChecksumIsRefused) {
  const std::string path = folder_ / "volume.nii.gz";
  write_nifti(path, grid_of(4, 256, 256, smooth_image(4, 256, 256, 1)), NiftiType::f32);
  for (int named = 0; named < 2; ++named) {
    EXPECT_NO_THROW(read_nifti(path));
    for (const int at : {-8, -4}) {
      const auto right = value_at<uint32_t>(path, at);
      put_value(path, at, right ^ 1);
      try {
        read_nifti(path);
        ADD_FAILURE() << "read, though the 4 bytes at " << at << " from the end are wrong";
      } catch (const Error& e) {
        EXPECT_EQ(e.code(), ExitCode::data);
        EXPECT_NE(std::string(e.what()).find(path), std::string::npos) << e.what();
      }
      put_value(path, at, right);
    }
    if (!named) push_checksum_into_the_next_buffer(path);
  }
}

class H5 : public testing::Test {
 protected:
  void SetUp() override {
    const std::string why = missing([] { read_h5("/nowhere.h5", "image"); });
    if (!why.empty()) GTEST_SKIP() << why;
  }
  // The smallest and the largest value that training sees of a slice with values from `low` to `high`.
  std::pair<float, float> seen(double low, double high) {
    const std::string dir = folder_ / "set";
    write_ssl4mis(dir);
    std::vector<double> image = smooth_image(1, 24, 20, 3);
    for (double& v : image) v = low + (high - low) * v;
    const auto label = square_label(1, 24, 20, 4);
    write_h5(dir + "/data/slices/patient001_frame01_slice_1.h5", {24, 20}, &image, &label);
    const Dataset data = Dataset::open(dir);
    const Slice s = data.item(0);
    const auto [least, most] = std::minmax_element(s.image, s.image + 24 * 20);
    return {*least, *most};
  }
  TemporaryFolder folder_;
};

// SSL4MIS normalises volumes before it cuts them: a dark slice must stay dark.
TEST_F(H5, TheSameNumbersAreTheSameBytesALaterSecond) {
  const auto image = smooth_image(1, 24, 20, 3);
  write_h5(folder_ / "a.h5", {24, 20}, &image, nullptr);
  const std::time_t then = std::time(nullptr);
  while (std::time(nullptr) == then) std::this_thread::sleep_for(std::chrono::milliseconds(20));
  write_h5(folder_ / "b.h5", {24, 20}, &image, nullptr);
  EXPECT_EQ(read_bytes(folder_ / "a.h5"), read_bytes(folder_ / "b.h5"));
}

TEST_F(H5, ASliceOfANormalisedVolumeIsNotNormalisedAgain) {
  EXPECT_EQ(seen(0.25, 0.75), (std::pair<float, float>{0.25f, 0.75f}));
  EXPECT_EQ(seen(0.125, 1), (std::pair<float, float>{0.125f, 1.f}));
}
TEST_F(H5, OtherValuesAreNormalisedToTheUnitInterval) {
  EXPECT_EQ(seen(0, 4095), (std::pair<float, float>{0.f, 1.f}));
  EXPECT_EQ(seen(-0.5, 0.75), (std::pair<float, float>{0.f, 1.f}));
}

}  // namespace
