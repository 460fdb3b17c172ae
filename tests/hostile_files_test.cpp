// Files that are damaged, lie about their size, or were made to break a reader: each reader refuses them by
// name and takes no memory for what they only claim. tests/hostile holds those that once did break it.
#include <cmath>
#include <cstring>

#include "tests/image_files.h"

using namespace patchcl;
using namespace patchcl::test;

namespace {

struct Sample {
  const char* name;
  Reader read;
  Bytes (*make)(const TemporaryFolder&);
};
const Sample kSamples[] = {
    {"png", png, [](const TemporaryFolder&) { return encoded_png(LCT_RGB, 8, Bytes(9 * 8 * 3, 77), 8, 9); }},
    {"png_palette", png_mask,
        [](const TemporaryFolder&) { return encoded_png(LCT_PALETTE, 2, Bytes(18, 0x1b), 8, 9, 4); }},
    {"jpeg", png, [](const TemporaryFolder&) { return encoded_jpeg(20, 24, false); }},
    {"jpeg_progressive", png, [](const TemporaryFolder&) { return encoded_jpeg(20, 24, true); }},
    {"bmp", png, [](const TemporaryFolder&) { return encoded_bmp(24); }},
    {"bmp_palette", png, [](const TemporaryFolder&) { return encoded_bmp(8); }},
    {"tiff", tiff, [](const TemporaryFolder&) { return encoded_tiff(9, 8, 1, Bytes(72, 77)); }},
    {"tiff_colour", tiff, [](const TemporaryFolder&) { return encoded_tiff(9, 8, 3, Bytes(216, 77)); }},
    {"nii", nifti, [](const TemporaryFolder& f) { return written(f, "a.nii"); }},
    {"nii_gz", nifti, [](const TemporaryFolder& f) { return written(f, "a.nii.gz"); }},
    {"h5", h5, [](const TemporaryFolder& f) { return written(f, "a.h5"); }},
};

class Hostile : public testing::TestWithParam<Sample> {
 protected:
  void SetUp() override {
    if (!built_with(GetParam().read)) GTEST_SKIP() << "built without the library";
    bytes_ = GetParam().make(folder_);
    ASSERT_EQ(refusal(GetParam().read, bytes_), "");
  }
  TemporaryFolder folder_;
  Bytes bytes_;
};
INSTANTIATE_TEST_SUITE_P(Files, Hostile, testing::ValuesIn(kSamples),
    [](const auto& info) { return std::string(info.param.name); });

TEST_P(Hostile, EveryBeginningIsRefused) {
  for (size_t n = 0; n < bytes_.size(); ++n)
    EXPECT_NE(refusal(GetParam().read, Bytes(bytes_.begin(), bytes_.begin() + std::ptrdiff_t(n))), "")
        << n << " of " << bytes_.size() << " bytes";
}

TEST_P(Hostile, AChangedByteIsReadOrRefused) {
  const size_t step = bytes_.size() / 4096 + 1;
  for (size_t i = 0; i < bytes_.size(); i += step)
    for (const uint8_t flip : {0x01, 0x80, 0xff}) {
      Bytes changed = bytes_;
      changed[i] ^= flip;
      refusal(GetParam().read, changed);
    }
}

// Reads in a child that may take 160 MB more than there is, and returns how the child ended.
int ends_within_memory(Reader read, const Bytes& bytes) {
  const pid_t child = fork();
  if (child == 0) {
    std::ifstream statm("/proc/self/statm");
    rlim_t pages = 0;
    statm >> pages;
    const rlim_t most = pages * rlim_t(sysconf(_SC_PAGESIZE)) + (rlim_t(160) << 20);
    const rlimit limit{most, most};
    setrlimit(RLIMIT_AS, &limit);
    try {
      read(bytes);
    } catch (const Error& e) {
      _exit(int(e.code()));
    } catch (const std::bad_alloc&) {
      _exit(8);
    }
    _exit(0);
  }
  int status = 0;
  waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

TEST(HostileFiles, ThoseOfTheFolderAreRefusedWithoutMemoryForTheirClaims) {
  const std::pair<const char*, Reader> files[] = {{"huffman-overflow.jpg", png},
      {"table-never-defined.jpg", png}, {"631-bytes-7-GB.jpg", png}, {"352-bytes-19-GB.nii", nifti},
      {"1400-bytes-17-GB.h5", h5}, {"compact-overread-segv.h5", h5}, {"compact-overread-leak.h5", h5},
      {"chunk-longer-than-said.h5", h5}, {"148-bytes-800-MB-tile.tif", tiff}, {"tiny.safetensors", weights}};
  for (const auto& [name, read] : files) {
    if (!built_with(read)) continue;
    const Bytes bytes = read_bytes(std::string("tests/hostile/") + name);
#ifdef __SANITIZE_ADDRESS__  // which takes terabytes of addresses for itself
    EXPECT_NE(refusal(read, bytes), "") << name;
#else
    EXPECT_EQ(ends_within_memory(read, bytes), read == weights ? 6 : 3) << name;
#endif
  }
}

TEST(HostileFiles, ATiffThatClaimsGigabytesIsRefusedWithoutMemoryForThem) {
  if (!built_with(tiff)) GTEST_SKIP() << "built without the library";
  const Bytes few(72, 77);
  for (const Bytes& bytes : {encoded_tiff(60000, 60000, 1, few), encoded_tiff(60000, 60000, 3, few),
           encoded_tiff(1u << 31, 1, 1, few)}) {
#ifdef __SANITIZE_ADDRESS__
    EXPECT_NE(refusal(tiff, bytes), "");
#else
    EXPECT_EQ(ends_within_memory(tiff, bytes), 3);
#endif
  }
}

TEST(HostileFiles, ATiffPageWhoseNextOneIsItselfIsNoEndlessVolume) {
  if (!built_with(tiff)) GTEST_SKIP() << "built without the library";
  const Bytes bytes = encoded_tiff(9, 8, 1, Bytes(72, 77), 8);
  if (refusal(tiff, bytes).empty()) {
    EXPECT_EQ(read_tiff(bytes, "x", Use::image).depth, 1);
  }
}

TEST(HostileFiles, AClaimIsComparedWithTheFileAndWithTheLimit) {
  const auto said = [](double values, uint64_t stored) -> std::string {
    try {
      check_claim("test", "x", values, stored);
    } catch (const Error& e) {
      return e.what();
    }
    return "";
  };
  EXPECT_EQ(said(1 << 22, 100), "") << "a small empty mask";
  EXPECT_NE(said((1 << 22) + 1, 100).find("cannot hold"), std::string::npos);
  EXPECT_EQ(said(1032e4, 10000), "");
  EXPECT_NE(said(0, 100).find("wants 1 to"), std::string::npos);
  EXPECT_NE(said(double(int64_t(1) << 30), uint64_t(1) << 40).find("cut it into parts"), std::string::npos);
  set_largest_image(uint64_t(1) << 20);
  EXPECT_NE(
      refusal(png, encoded_png(LCT_GREY, 8, Bytes(400 * 400), 400, 400)).find("160000"), std::string::npos);
  set_largest_image(uint64_t(4) << 30);
}

TEST(HostileFiles, AnAffineWithoutDirectionsIsNoFrame) {
  if (!built_with(nifti)) GTEST_SKIP() << "built without the library";
  const TemporaryFolder folder;
  Bytes bytes = written(folder, "a.nii");
  bytes[254] = 1;  // sform_code; all of the affine is 0
  for (const float broken : {0.f, std::nanf(""), INFINITY}) {
    std::memcpy(&bytes[256], &broken, sizeof broken);  // of the quaternion
    std::memcpy(&bytes[280], &broken, sizeof broken);  // of the affine
    EXPECT_EQ(read_nifti(bytes, "x").frames.size(), broken == 0 ? 1u : 0u) << broken;
  }
}

TEST(HostileFiles, AnImageThatUnpacksToMoreThanItsSizeIsRefused) {
  // IHDR says 1x1, IDAT holds 400x400: the checksum of IHDR is mended.
  Bytes bytes = encoded_png(LCT_GREY, 8, Bytes(400 * 400), 400, 400);
  for (const size_t at : {16, 20}) std::fill_n(bytes.begin() + std::ptrdiff_t(at), 4, uint8_t(0));
  bytes[19] = bytes[23] = 1;
  lodepng_chunk_generate_crc(&bytes[8]);
  EXPECT_NE(refusal(png, bytes), "");
}

}  // namespace
