// Folders of pictures as other programs and people call them, and what is said where nothing can be read.
#include <gtest/gtest.h>

#include "data/layouts/check.h"
#include "data/stream/dataset.h"
#include "tensor/error.h"
#include "tests/command_line.h"
#include "tests/small_data.h"

using namespace patchcl;
using namespace patchcl::test;

namespace {

constexpr int64_t kHigh = 24, kWide = 32;

void put_picture(const std::string& path, int64_t channels = 1, int step = 7) {
  std::filesystem::create_directories(std::filesystem::path(path).parent_path());
  std::vector<uint8_t> pixels;
  for (int64_t i = 0; i < kHigh * kWide * channels; ++i) pixels.push_back(uint8_t(i * step));
  write_png(path, pixels.data(), kHigh, kWide, channels);
}
// The left half is background, the right one class 1.
void put_mask(const std::string& path) {
  std::filesystem::create_directories(std::filesystem::path(path).parent_path());
  std::vector<uint8_t> pixels;
  for (int64_t i = 0; i < kHigh * kWide; ++i) pixels.push_back(i % kWide >= kWide / 2);
  write_png(path, pixels.data(), kHigh, kWide, 1);
}

std::string refused(const std::string& dir) {
  try {
    open_layout(dir);
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), ExitCode::data);
    return e.what();
  }
  return "";
}

void put_description(const std::string& dir, const std::string& channels, const std::string& ending) {
  write_file(dir + "/dataset.json", R"({"channel_names":{)" + channels +
                                        R"(},"labels":{"background":0,"road":1},"numTraining":3,)" +
                                        R"("file_ending":")" + ending + "\"}");
}

TEST(NnunetPictures, AreReadWithOneFileForEachChannel) {
  const TemporaryFolder folder;
  put_description(folder.path(), R"("0":"near","1":"far")", ".png");
  for (const std::string name : {"case_0", "case_1", "case_2"}) {
    put_picture(folder / "imagesTr/" + name + "_0000.png");
    put_picture(folder / "imagesTr/" + name + "_0001.png", 1, 3);
    put_mask(folder / "labelsTr/" + name + ".png");
  }
  for (const char* channel : {"_0000.png", "_0001.png"}) put_picture(folder / "imagesTs/x" + channel);
  EXPECT_EQ(check_data(folder.path()).problems, std::vector<std::string>{});
  const Dataset data = Dataset::open(folder.path(), {.validation = 1});
  EXPECT_EQ(data.layout(), "nnU-Net");
  EXPECT_EQ(data.channels(), 2);
  EXPECT_EQ(data.class_names(), (std::vector<std::string>{"background", "road"}));
  EXPECT_EQ(data.items() - data.labeled_items(), 1) << "imagesTs";
  EXPECT_EQ(data.fit(16), Fit::crop) << "pictures are tiles";
  const Slice s = data.item(0);
  EXPECT_EQ(s.id, "case_0");
  EXPECT_EQ(s.label[kWide - 1], 1);
  EXPECT_FLOAT_EQ(s.image[2], 7.f / 255) << "near, the second pixel";
  EXPECT_FLOAT_EQ(s.image[3], 3.f / 255) << "far";
  std::filesystem::remove(folder / "imagesTr/case_1_0001.png");
  EXPECT_TRUE(contains(refused(folder.path()), "case_1_0001.png, which is not there"));
}

TEST(NnunetPictures, AColourPictureHoldsItsThreeChannels) {
  const TemporaryFolder folder;
  put_description(folder.path(), R"("0":"R","1":"G","2":"B")", ".png");
  for (const std::string name : {"case_0", "case_1", "case_2"}) {
    put_picture(folder / "imagesTr/" + name + "_0000.png", 3);
    put_mask(folder / "labelsTr/" + name + ".png");
  }
  EXPECT_EQ(check_data(folder.path()).problems, std::vector<std::string>{});
  const Dataset data = Dataset::open(folder.path(), {.validation = 1});
  EXPECT_EQ(data.channels(), 3);
  EXPECT_FLOAT_EQ(data.item(0).image[4], 28.f / 255) << "not stretched to its extremes";
}

TEST(NnunetPictures, AnUnknownEndingIsRefusedByName) {
  const TemporaryFolder folder;
  for (const char* ending : {".mha", ".nrrd", ".h5"}) {
    put_description(folder.path(), R"("0":"MRI")", ending);
    const std::string why = refused(folder.path());
    for (const std::string& part : {folder / "dataset.json", "end in '" + std::string(ending) + "'",
             std::string("known are .nii.gz .nii .png")})
      EXPECT_TRUE(contains(why, part)) << why;
  }
}

TEST(NnunetLabels, PixelsToIgnoreAndRegionsAreRefusedByName) {
  const TemporaryFolder folder;
  put_picture(folder / "imagesTr/a_0000.png");
  put_mask(folder / "labelsTr/a.png");
  const auto with = [&](const std::string& labels) {
    write_file(folder / "dataset.json",
        R"({"channel_names":{"0":"grey"},"file_ending":".png","labels":{"background":0,)" + labels + "}}");
    return refused(folder.path());
  };
  EXPECT_EQ(with(R"("road":1)"), "");
  EXPECT_TRUE(contains(with(R"("road":1,"ignore":2)"), "dataset.json has nnU-Net's label 'ignore'"));
  EXPECT_TRUE(contains(with(R"("whole":[1,2],"core":2)"), "the region 'whole' of the labels [1,2]"));
}

std::vector<std::string> ids_of(const std::string& dir) {
  std::vector<std::string> ids;
  for (const Source& s : open_layout(dir).train) ids.push_back(s.id + (s.labeled() ? "" : "?"));
  return ids;
}
using Ids = std::vector<std::string>;

TEST(ImageSuffix, IsLeftOutOfTheNameWhereItKeepsImageAndMaskApart) {
  const TemporaryFolder beside, apart, full;
  for (const char* name : {"a_image", "b_img", "c", "d_image"}) put_picture(beside / name + ".png");
  for (const char* name : {"a_mask", "b_label", "c_mask"}) put_mask(beside / name + ".png");
  EXPECT_EQ(ids_of(beside.path()), (Ids{"a", "b", "c", "d_image?"}));
  EXPECT_EQ(check_data(beside.path()).problems, Ids{});
  for (const char* name : {"a_image", "b_img"}) put_picture(apart / "images/" + name + ".png");
  for (const char* name : {"a_mask", "b"}) put_mask(apart / "masks/" + name + ".png");
  EXPECT_EQ(ids_of(apart.path()), (Ids{"a", "b"}));
  for (const char* name : {"a_image", "b_img"}) put_picture(full / "images/" + name + ".png");
  for (const char* name : {"a_image", "b_img_mask"}) put_mask(full / "masks/" + name + ".png");
  EXPECT_EQ(ids_of(full.path()), (Ids{"a_image", "b_img"})) << "their masks have the whole name";
}

TEST(ImageSuffix, WithoutALabelCheckAndTrainSayWhereMasksAreLookedFor) {
  const TemporaryFolder folder;
  for (const char* name : {"a", "b"}) {
    put_picture(folder / "images/" + name + ".png");
    put_mask(folder / "truth/" + name + ".png");
  }
  for (const std::string& command :
      {std::string("data check "), "train --out " + folder / "run" + " --data "}) {
    const Outcome o = run_patchcl(command + folder.path());
    EXPECT_EQ(o.code, 3) << o.output;
    for (const char* part : {"no training image has a label", "masks/ or labels/", "NAME_mask"})
      EXPECT_TRUE(contains(o.output, part)) << o.output;
  }
}

TEST(TwoMasks, OfOneImageAreRefusedAndBothNamed) {
  for (const auto& [first, second] : {std::pair("a_gt.png", "a_mask.png"), {"a_mask.png", "a_mask_1.png"},
           {"a_mask_1.png", "a_mask_2.png"}}) {
    const TemporaryFolder beside, apart;
    put_picture(beside / "a.png");
    put_picture(apart / "images/a.png");
    for (const std::string mask : {first, second}) {
      put_mask(beside / mask);
      put_mask(apart / "masks/" + mask);
    }
    for (const std::string& why : {refused(beside.path()), refused(apart.path())})
      for (const char* part : {first, second, "are both masks of the image 'a'; join them"})
        EXPECT_TRUE(contains(why, part)) << why;
  }
  const TemporaryFolder folder;  // images whose names only look like those of masks
  for (const std::string name : {"x", "x_seg", "x_seg_1"}) {
    put_picture(folder / name + ".png");
    put_mask(folder / name + "_mask.png");
  }
  EXPECT_EQ(ids_of(folder.path()), (Ids{"x", "x_seg", "x_seg_1"}));
  EXPECT_EQ(check_data(folder.path()).problems, Ids{});
  const TemporaryFolder numbers;
  for (const char* name : {"x.png", "x_1.png", "x_2.png"}) put_picture(numbers / name);
  put_mask(numbers / "x_mask_1.png");
  EXPECT_EQ(ids_of(numbers.path()), (Ids{"x?", "x_1", "x_2?"}));
}

TEST(FolderEntries, ALinkToNothingIsAnErrorAndAHiddenFileNoImage) {
  const TemporaryFolder folder;
  for (const char* name : {"a", "b"}) {
    put_picture(folder / "images/" + name + ".png");
    put_mask(folder / "masks/" + name + ".png");
    write_file(folder / "images/._" + name + ".png", "of another system");
  }
  EXPECT_EQ(ids_of(folder.path()), (Ids{"a", "b"}));
  std::filesystem::remove(folder / "masks/b.png");
  std::filesystem::create_symlink(folder / "unfetched", folder / "masks/b.png");
  const std::string why = refused(folder.path());
  EXPECT_TRUE(contains(why, "masks/b.png: a link to nothing; fetch the file")) << why;
  put_mask(folder / "unfetched");
  EXPECT_EQ(ids_of(folder.path()), (Ids{"a", "b"}));
}

// A case that has a mask elsewhere must not train as one without.
TEST(FolderEntries, AMaskThatIsALinkToNothingIsAnErrorInEveryLayout) {
  const TemporaryFolder acdc, nnunet;
  const std::string frame = acdc / "training/patient099/patient099_frame01";
  write_file(frame + ".nii.gz", "an image");
  std::filesystem::create_symlink(acdc / "unfetched", frame + "_gt.nii.gz");
  put_picture(nnunet / "imagesTr/a_0000.png");
  std::filesystem::create_directories(nnunet / "labelsTr");
  std::filesystem::create_symlink(nnunet / "unfetched", nnunet / "labelsTr/a.png");
  write_file(nnunet / "dataset.json",
      R"({"channel_names":{"0":"grey"},"labels":{"background":0,"head":1},"file_ending":".png"})");
  for (const std::string& why : {refused(acdc.path()), refused(nnunet.path())})
    EXPECT_TRUE(contains(why, ": a link to nothing; fetch the file")) << why;
}

void put_pair(const std::string& dir, const std::string& name) {
  put_picture(dir + "/images/" + name + ".png");
  put_mask(dir + "/masks/" + name + ".png");
}

TEST(SplitFolders, MayLieBesideTheImagesToTrainOn) {
  const TemporaryFolder folder;
  for (const char* name : {"a", "b"}) put_pair(folder.path(), name);
  put_pair(folder / "val", "v");
  put_pair(folder / "test", "t");
  EXPECT_EQ(check_data(folder.path()).problems, Ids{});
  const Layout layout = open_layout(folder.path());
  EXPECT_EQ(layout.train.size(), 2u);
  EXPECT_EQ(layout.validation.at(0).id, "v");
  EXPECT_EQ(layout.test.at(0).id, "t");
  put_pair(folder / "test", "a");  // numbers anew
  EXPECT_EQ(ids_of(folder.path()), (Ids{"a", "b"})) << "those to train on keep their names";
  EXPECT_EQ(open_layout(folder.path()).test.at(0).id, "test_a");
  std::filesystem::remove_all(folder / "val/masks");
  EXPECT_TRUE(open_layout(folder.path()).validation.empty()) << "nothing to validate on";
  EXPECT_TRUE(contains(check_data(folder.path()).problems.at(0), "have no masks; they are left aside"));
  std::filesystem::remove_all(folder / "val");
  put_pair(folder / "train", "c");
  const Ids problems = check_data(folder.path()).problems;
  ASSERT_EQ(problems.size(), 1u);
  EXPECT_TRUE(contains(problems[0], "train: left aside")) << problems[0];
}

// A file in two lists is one image in two splits, and so are slices of one patient.
TEST(NamesAlike, HideNoPatientInTwoSplits) {
  const TemporaryFolder lists, patients, folders;
  for (const char* name : {"a", "b", "c"}) put_pair(lists.path(), name);
  write_file(lists / "train.list", "a\nb\n");
  write_file(lists / "val.list", "b\nc\n");
  put_pair(patients / "train", "p1_slice_1");
  put_pair(patients / "train", "p2_slice_1");
  put_pair(patients / "val", "p2_slice_1");
  for (const auto& [folder, name] : {std::pair(&lists, "'b'"), {&patients, "'p2'"}}) {
    const std::string where = std::string(name) + " is in the training and in the validation split";
    EXPECT_TRUE(contains(check_data(folder->path()).problems.at(0), where) ||
                contains(check_data(folder->path()).problems.at(1), where));
    EXPECT_THROW(Dataset::open(folder->path(), {}), Error);
  }
  put_pair(folders / "train", "1");
  put_pair(folders / "val", "1");
  EXPECT_EQ(check_data(folders.path()).problems, Ids{});
  const Dataset data = Dataset::open(folders.path(), {});
  EXPECT_EQ(data.item(0).id, "train_1");
  EXPECT_EQ(data.validation(0).id, "val_1");
}

TEST(NamesAlike, OfUnlabelledImagesAreTheirFolders) {
  const TemporaryFolder folder;
  for (const char* name : {"1", "2", "3"}) put_pair(folder.path(), name);
  put_picture(folder / "unlabeled/3.png");
  EXPECT_EQ(check_data(folder.path()).problems, Ids{});
  const Dataset data = Dataset::open(folder.path(), {.validation = 1});
  EXPECT_EQ(data.validation(0).id, "3");
  EXPECT_EQ(data.items() - data.labeled_items(), 1) << "the unlabelled image stays";
  EXPECT_EQ(data.item(2).id, "unlabeled_3");
}

TEST(NoPicture, TheFolderOfImagesSaysWhatItHoldsAndWhatIsKnown) {
  const TemporaryFolder empty, patients, gifs, train, flat;
  for (const char* sub : {"images", "masks"}) std::filesystem::create_directories(empty / sub);
  put_picture(patients / "images/p1/x.png");
  write_file(gifs / "images/a.gif", "GIF89a");
  write_file(train / "train/images/a.gif", "GIF89a");
  write_file(flat / "a.gif", "GIF89a");
  const std::string want = "wants files that end in .png .jpg";
  for (const auto& [folder, place, held] :
      {std::tuple(&empty, "images", "it holds nothing"), {&patients, "images", "it holds p1/"},
          {&gifs, "images", "it holds a.gif"}, {&train, "train/images", "it holds a.gif"}}) {
    const std::string why = refused(folder->path());
    for (const std::string& part :
        {*folder / place + ": no picture that can be read", std::string(held), want})
      EXPECT_TRUE(contains(why, part)) << why;
  }
  EXPECT_TRUE(contains(refused(flat.path()), "it holds a.gif; wants images/ with masks/"));
  EXPECT_TRUE(contains(refused(flat.path()), "pictures end in .png"));
}

// As a Mac writes names: the letter and then its dots.
TEST(MaskNames, InAnotherUnicodeFormAreSaidToLookAlike) {
  const TemporaryFolder folder;
  const std::string composed = "J\xC3\xBCrgen", apart = "Ju\xCC\x88rgen",
                    said = "differ in their Unicode form";
  put_picture(folder / "images/" + composed + ".png");
  put_mask(folder / "masks/" + apart + "_mask.png");
  EXPECT_TRUE(contains(refused(folder.path()), said)) << refused(folder.path());
  put_picture(folder / "images/b.png");
  put_mask(folder / "masks/b.png");
  put_mask(folder / "masks/z.png");
  const std::vector<std::string> problems = open_layout(folder.path()).problems;
  ASSERT_EQ(problems.size(), 2u);
  EXPECT_TRUE(contains(problems[0], said)) << problems[0];
  EXPECT_FALSE(contains(problems[1], said)) << problems[1];
}

}  // namespace
