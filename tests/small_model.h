// Small networks of random numbers, in memory and as files, and what they see.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "data/formats/readers.h"
#include "tensor/random.h"
#include "train/setup/model_file.h"

namespace patchcl::test {

constexpr int64_t kSide = 16;  // of the network's input and of its images

inline ModelInfo small_network(int classes = 3) {
  ModelInfo info;
  info.unet = {.classes = classes, .widths = {4, 6, 8}, .dropout = {0.1, 0.1, 0.1}};
  info.size = kSide;
  return info;
}

inline std::unique_ptr<Model> random_model(uint64_t seed, const Arena& arena, const ModelInfo& info) {
  auto model = std::make_unique<Model>(info, arena);
  model->weights.init(seed);
  // Larger than a fresh network's, so that masks are not constant.
  for (int64_t i = 0; i < model->layout.flat_size(); ++i) model->weights.values().data<float>()[i] *= 4;
  return model;
}
inline std::unique_ptr<Model> random_model(uint64_t seed, const Arena& arena, int classes = 3) {
  return random_model(seed, arena, small_network(classes));
}

inline void save_model(const std::string& path, const Model& model) {
  TensorFile file;
  put_model_info(file, model.info);
  put_weights(file, model.weights, 0);
  save_tensors(path, file);
}
inline void save_random_model(const std::string& path, const ModelInfo& info = small_network()) {
  const Arena arena("test");
  save_model(path, *random_model(4, arena, info));
}

inline Volume noise(int64_t depth, int64_t side = kSide) {
  Volume v;
  v.id = "case";
  v.depth = depth;
  v.height = v.width = side;
  Rng rng(3);
  for (int64_t i = 0; i < depth * side * side; ++i) v.image.push_back(float(rng.uniform(0, 1)));
  return v;
}

inline void save_picture(const std::string& path, int64_t side = kSide) {
  const Volume v = noise(1, side);
  std::vector<uint8_t> grey;
  for (const float x : v.image) grey.push_back(uint8_t(250 * x));
  write_label(path, grey, v);
}

}  // namespace patchcl::test
