// Data sets of a few small images in every layout, written by the tests that read them.
#pragma once
#include <cmath>
#include <filesystem>
#include <fstream>
#include <numeric>
#include <string>
#include <vector>

#include "data/formats/h5.h"
#include "data/formats/image.h"
#include "data/formats/nifti.h"

namespace patchcl::test {

inline void write_file(const std::string& path, const std::string& text) {
  std::filesystem::create_directories(std::filesystem::path(path).parent_path());
  std::ofstream(path) << text;
}

// Smooth numbers k / 4095 and a square of each class; `shift` tells cases apart.
inline std::vector<double> smooth_image(int64_t n, int64_t h, int64_t w, int shift) {
  std::vector<double> v;
  for (int64_t i = 0; i < n * h * w; ++i)
    v.push_back(double((i * 7 + i / w * 13 + shift * 29) % 4096) / 4095);
  v.front() = 0;
  v.back() = 1;
  return v;
}
inline std::vector<uint8_t> square_label(int64_t n, int64_t h, int64_t w, int classes) {
  std::vector<uint8_t> v;
  for (int64_t i = 0; i < n * h * w; ++i) {
    const int64_t y = i / w % h, x = i % w;
    v.push_back(y > h / 4 && y < h * 3 / 4 ? uint8_t(x * classes / w) : 0);
  }
  return v;
}

// Two patients of three slices, one validation volume.
inline void write_ssl4mis(const std::string& dir, int64_t h = 24, int64_t w = 20) {
  std::filesystem::create_directories(dir + "/data/slices");
  std::string list;
  for (int patient = 1; patient <= 2; ++patient)
    for (int slice = 1; slice <= 3; ++slice) {
      const std::string name =
          "patient00" + std::to_string(patient) + "_frame01_slice_" + std::to_string(slice);
      const auto image = smooth_image(1, h, w, patient * 10 + slice);
      const auto label = square_label(1, h, w, 4);
      write_h5(dir + "/data/slices/" + name + ".h5", {h, w}, &image, &label);
      list += name + "\n";
    }
  write_file(dir + "/train_slices.list", list);
  write_file(dir + "/val.list", "patient003_frame01\n");
  const auto image = smooth_image(4, h, w, 77);
  const auto label = square_label(4, h, w, 4);
  write_h5(dir + "/data/patient003_frame01.h5", {4, h, w}, &image, &label);
}

inline Grid grid_of(int64_t d, int64_t h, int64_t w, std::vector<double> values) {
  Grid g;
  g.depth = d;
  g.height = h;
  g.width = w;
  g.spacing = {3, 1.5, 1.25};
  g.spacing_known = true;
  g.values = std::move(values);
  return g;
}

// Four volumes; `nnunet` chooses between the two kinds of dataset.json. Values are multiples of 0.37 in f32.
inline void write_nifti_set(const std::string& dir, bool nnunet) {
  for (const char* sub : {"/imagesTr", "/labelsTr"}) std::filesystem::create_directories(dir + sub);
  std::string pairs;
  for (int i = 0; i < 4; ++i) {
    const std::string name = "case_00" + std::to_string(i);
    Grid image = grid_of(5, 18, 22, smooth_image(5, 18, 22, i));
    for (double& v : image.values) v = double(float(0.37 * std::round(v * 300)));
    const auto label = square_label(5, 18, 22, 3);
    write_nifti(dir + "/imagesTr/" + name + (nnunet ? "_0000" : "") + ".nii.gz", image, NiftiType::f32);
    write_nifti(dir + "/labelsTr/" + name + ".nii.gz", grid_of(5, 18, 22, {label.begin(), label.end()}),
        NiftiType::u8);
    pairs += std::string(i ? "," : "") + R"({"image":"./imagesTr/)" + name +
             R"(.nii.gz","label":"./labelsTr/)" + name + R"(.nii.gz"})";
  }
  write_file(dir + "/dataset.json",
      nnunet ? R"({"channel_names":{"0":"MRI"},"labels":{"background":0,"head":1,"tail":2},)"
               R"("numTraining":4,"file_ending":".nii.gz"})"
             : R"({"modality":{"0":"MRI"},"labels":{"0":"background","1":"head","2":"tail"},"training":[)" +
                   pairs + "]}");
}

// Five RGB tiles with masks of 0 and 255.
inline void write_tiles(const std::string& dir, int64_t h = 40, int64_t w = 52) {
  for (const char* sub : {"/images", "/masks"}) std::filesystem::create_directories(dir + sub);
  for (int i = 0; i < 5; ++i) {
    std::vector<uint8_t> rgb(size_t(h * w * 3)), mask;
    for (size_t k = 0; k < rgb.size(); ++k) rgb[k] = uint8_t((k * 11 + size_t(i) * 5) % 251);
    for (const uint8_t v : square_label(1, h, w, 2)) mask.push_back(v ? 255 : 0);
    const std::string name = "/tile_" + std::to_string(i) + ".png";
    write_png(dir + "/images" + name, rgb.data(), h, w, 3);
    write_png(dir + "/masks" + name, mask.data(), h, w, 1);
  }
}

inline void truncate_file(const std::string& path, double keep = 0.6) {
  std::filesystem::resize_file(path, uintmax_t(double(std::filesystem::file_size(path)) * keep));
}

}  // namespace patchcl::test
