// What predict takes for an image of a folder: channels in files of their own, masks that lie beside, and no
// image.
#include <gtest/gtest.h>

#include <filesystem>

#include "data/layouts/input_images.h"
#include "data/layouts/layout.h"
#include "tests/command_line.h"
#include "tests/small_data.h"
#include "tests/small_model.h"

using namespace patchcl;
using namespace patchcl::test;
namespace fs = std::filesystem;

namespace {

class InputImagesOf : public testing::Test {
 protected:
  void put_grey(const std::string& name, int step = 7) const {
    std::vector<uint8_t> pixels;
    for (int64_t i = 0; i < kSide * kSide; ++i) pixels.push_back(uint8_t(i * step));
    fs::create_directories(fs::path(folder_ / name).parent_path());
    write_png(folder_ / name, pixels.data(), kSide, kSide, 1);
  }
  std::string network(int channels) const {
    ModelInfo info = small_network(2);
    info.unet.in_channels = channels;
    save_random_model(folder_ / "w.safetensors", info);
    return "predict --threads 1 --weights " + folder_ / "w.safetensors ";
  }
  std::string names_in(const std::string& folder) const {
    std::set<std::string> names;
    for (const auto& entry : fs::directory_iterator(folder_ / folder)) names.insert(entry.path().filename());
    std::string all;
    for (const std::string& name : names) all += name + " ";
    return all;
  }
  const TemporaryFolder folder_;
};

TEST_F(InputImagesOf, ANetworkOfTwoChannelsJoinTheirFiles) {
  write_file(folder_ / "set/dataset.json", R"({"channel_names":{"0":"near","1":"far"},"file_ending":".png",)"
                                           R"("labels":{"background":0,"road":1}})");
  for (const std::string name : {"a", "b"}) {
    put_grey("set/imagesTr/" + name + "_0000.png");
    put_grey("set/imagesTr/" + name + "_0001.png", 3);
  }
  const std::string images = folder_ / "set/imagesTr", first = images + "/a_0000.png";
  const InputImages found = find_input_images(images, 2);
  ASSERT_EQ(found.images.size(), 2u);
  EXPECT_EQ(found.images[0].name, "a");
  const Volume v = found.images[0].read();
  EXPECT_EQ(v.channels, 2);
  EXPECT_EQ(find_input_images(images, 1).images.size(), 4u) << "a network of one channel sees single files";
  EXPECT_EQ(v.image, normalized(open_layout(folder_ / "set").train[0].image(), "a"))
      << "as training reads it";
  const std::string w = network(2);
  const Outcome o = run_patchcl(w + images + " " + folder_ / "out");
  ASSERT_EQ(o.code, 0) << o.output;
  EXPECT_EQ(names_in("out"), "a.png b.png ");
  const Outcome one = run_patchcl(w + first + " " + folder_ / "one/");
  ASSERT_EQ(one.code, 0) << one.output;
  EXPECT_EQ(read_bytes(folder_ / "one/a.png"), read_bytes(folder_ / "out/a.png"));
  const Outcome second = run_patchcl(w + images + "/a_0001.png " + folder_ / "x.png");
  EXPECT_EQ(second.code, 2) << second.output;
  EXPECT_TRUE(contains(second.output, "is one channel of an image; name the first, " + first))
      << second.output;
  const Outcome three = run_patchcl(network(3) + images + " " + folder_ / "three");
  EXPECT_EQ(three.code, 3) << three.output;
  EXPECT_TRUE(contains(three.output, "a_0002.png is not there; the network takes 3 channels"))
      << three.output;
}

TEST_F(InputImagesOf, AFolderOfNumberedColourPicturesStaySingle) {
  fs::create_directory(folder_ / "in");
  const std::vector<uint8_t> colour(kSide * kSide * 3, 9);
  for (const char* name : {"in/x_0000.png", "in/x_0001.png", "in/x_0002.png"})
    write_png(folder_ / name, colour.data(), kSide, kSide, 3);
  EXPECT_EQ(find_input_images(folder_ / "in", 3).images.size(), 3u);
}

TEST_F(InputImagesOf, AFolderWithMasksBesideAreTheOthers) {
  for (const char* name : {"in/a.png", "in/a_mask.png", "in/b_image.png", "in/b_seg.png", "in/c_label.png"})
    put_grey(name);
  const std::string w = network(1), in = folder_ / "in";
  const Outcome o = run_patchcl(w + in + " " + folder_ / "out");
  ASSERT_EQ(o.code, 0) << o.output;
  EXPECT_EQ(names_in("out"), "a.png b_image.png c_label.png ") << "c_label.png is nobody's mask";
  EXPECT_TRUE(contains(o.output, "2 files left out")) << o.output;
  const Bytes before = read_bytes(folder_ / "in/a_mask.png");
  const Outcome over = run_patchcl(w + in + "/a.png " + in + "/a_mask.png");
  EXPECT_EQ(over.code, 2) << over.output;
  EXPECT_TRUE(contains(over.output, "would replace the reference mask")) << over.output;
  EXPECT_EQ(read_bytes(folder_ / "in/a_mask.png"), before);
}

// A data set, but one whose training list is empty: its images are those of another split, or none at all.
TEST_F(InputImagesOf, AFolderOfNoTrainingCaseIsNoImageFolder) {
  const std::string set = folder_ / "set";
  const std::string head = R"({"modality":{"0":"MRI"},"labels":{"0":"background","1":"road"},"training":[)";
  write_file(set + "/dataset.json", head + "]}");
  const std::string predict = network(1) + set + " " + folder_ / "out";
  const Outcome none = run_patchcl(predict);
  EXPECT_EQ(none.code, 3) << none.output;
  EXPECT_TRUE(contains(none.output, "set holds no .png")) << none.output;
  for (const char* part : {"/imagesTs", "/labelsTs"}) {
    fs::create_directories(set + part);
    write_nifti(
        set + part + "/a.nii.gz", grid_of(2, 16, 16, std::vector<double>(2 * 16 * 16)), NiftiType::u8);
  }
  const Outcome test = run_patchcl(predict);
  EXPECT_EQ(test.code, 3) << test.output;
  EXPECT_TRUE(contains(test.output, "it is a data set: say " + set + "/imagesTs")) << test.output;
}

TEST_F(InputImagesOf, AFolderOfDicomIsToldWhatConvertsIt) {
  write_file(folder_ / "in/1.dcm", "x");
  const Outcome o = run_patchcl(network(1) + folder_ / "in " + folder_ / "out");
  EXPECT_EQ(o.code, 3) << o.output;
  EXPECT_TRUE(contains(o.output, "dcm2niix -z y")) << o.output;
}

TEST_F(InputImagesOf, AChannelThatDatasetJsonDoesNotNameIsSaid) {
  write_file(folder_ / "set/dataset.json", R"({"channel_names":{"0":"near"},"file_ending":".png",)"
                                           R"("labels":{"background":0,"road":1}})");
  put_grey("set/imagesTr/a_0000.png");
  EXPECT_EQ(open_layout(folder_ / "set").problems, std::vector<std::string>{});
  put_grey("set/imagesTr/a_0001.png");
  const Layout layout = open_layout(folder_ / "set");
  ASSERT_EQ(layout.problems.size(), 1u);
  EXPECT_TRUE(
      contains(layout.problems[0], "a_0001.png is left aside: channel_names of dataset.json has 1 channel"));
  EXPECT_EQ(layout.notes[0], layout.problems[0]) << "a run says it too";
}

}  // namespace
