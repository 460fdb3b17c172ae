// Weights travel to PyTorch's SSL4MIS UNet and back, and the network computes what PyTorch's does
// (tests/golden/unet.safetensors, made by make_unet.py).
#include "train/setup/model_file.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <filesystem>
#include <nlohmann/json.hpp>

using namespace patchcl;
using nlohmann::json;

namespace {

const char* const kGolden = "tests/golden/unet.safetensors";

// Number i of tensor `name`, the formula of make_unet.py.
double unit(const std::string& name, uint64_t i) {
  uint64_t key = 0xCBF29CE484222325u;
  for (unsigned char c : name) key = (key ^ c) * 0x100000001B3u;
  uint64_t z = (i + key) * 0x9E3779B97F4A7C15u;
  z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
  z = (z ^ z >> 27) * 0x94D049BB133111EBu;
  z ^= z >> 31;
  return double(z >> 11) * 0x1p-53;
}

float number(const std::string& name, const Shape& shape, uint64_t i) {
  const double u = unit(name, i);
  if (shape.rank() == 4) return float((2 * u - 1) * std::sqrt(6 / double(shape.numel() / shape[0])));
  const bool gamma = name.ends_with("weight") && shape.rank() == 1;
  if (gamma || name.ends_with("running_var")) return float(0.5 + u);
  return float(name == "input" ? u : 0.4 * u - 0.2);
}

Shape shape_of(const json& dims) {
  switch (dims.size()) {
    case 0: return {};
    case 1: return {dims[0]};
    default: return {dims[0], dims[1], dims[2], dims[3]};
  }
}

// The golden state_dict: name -> shape.
std::map<std::string, Shape> golden_shapes(const TensorFile& golden) {
  std::map<std::string, Shape> shapes;
  const json names = json::parse(golden.metadata.at("state_dict"));
  for (const auto& [name, dims] : names.items()) shapes[name] = shape_of(dims);
  return shapes;
}

TensorFile golden_weights(const TensorFile& golden, const Arena& arena) {
  TensorFile file;
  for (const auto& [name, shape] : golden_shapes(golden)) {
    if (name.ends_with("num_batches_tracked")) continue;
    const Tensor t = arena.empty(shape, DType::f32);
    for (int64_t i = 0; i < t.numel(); ++i) t.data<float>()[i] = number(name, shape, uint64_t(i));
    file.tensors[name] = t;
  }
  return file;
}

ModelInfo small_network() {
  ModelInfo info;
  info.unet.widths = {4, 6, 8};
  info.unet.dropout = {0, 0.1, 0.2};
  info.unet.classes = 3;
  info.unet.in_channels = 2;
  info.size = 64;
  info.class_names = {"background", "gland \"a\"", "other"};
  info.iteration = 17;
  return info;
}

std::string temporary(const std::string& name) {
  return (std::filesystem::temp_directory_path() / ("patchcl_model_" + std::to_string(getpid()) + "_" + name))
      .string();
}

// The message of the Error that fn throws, which must carry `code`.
template <class F> std::string message(ExitCode code, F&& fn) {
  try {
    fn();
  } catch (const Error& e) {
    EXPECT_EQ(int(e.code()), int(code)) << e.what();
    return e.what();
  }
  ADD_FAILURE() << "nothing was thrown";
  return "";
}

}  // namespace

TEST(ModelFile, ForwardAgreesWithPyTorch) {
  const Arena arena("test");
  const TensorFile golden = load_tensors(kGolden, arena);
  Model model(ModelInfo{}, arena);
  EXPECT_EQ(model.layout.parameter_count(), 1813764);
  get_weights(golden_weights(golden, arena), model.weights, "golden");
  const Tensor x = arena.empty({1, 48, 32, 1}, DType::f32);
  for (int64_t i = 0; i < x.numel(); ++i) x.data<float>()[i] = number("input", {x.numel()}, uint64_t(i));
  Tape tape(arena, {.grad = false});
  Pass pass(tape, model.weights, /*training=*/false);
  const Var logits = model.unet.forward(pass, tape.constant(x, "images")).logits;
  const float* want = golden.tensors.at("logits").data<float>();  // (1,4,48,32)
  double largest = 0, worst = 0;
  for (int64_t pixel = 0; pixel < 48 * 32; ++pixel)
    for (int64_t k = 0; k < 4; ++k) {
      const double w = double(want[k * 48 * 32 + pixel]);
      largest = std::max(largest, std::abs(w));
      worst = std::max(worst, std::abs(logits.value().item(pixel * 4 + k) - w));
    }
  EXPECT_LE(worst, 1e-4 * largest) << "largest logit " << largest;
  RecordProperty("worst_over_largest", std::to_string(worst / largest));
}

TEST(ModelFile, HasTheNamesShapesAndTypesOfTheStateDict) {
  const Arena arena("test");
  const TensorFile golden = load_tensors(kGolden, arena);
  Model model(ModelInfo{}, arena);
  TensorFile file;
  put_weights(file, model.weights, /*iteration=*/30000);
  const std::map<std::string, Shape> want = golden_shapes(golden);
  EXPECT_EQ(file.tensors.size(), want.size());
  for (const auto& [name, shape] : want) {
    ASSERT_TRUE(file.tensors.count(name)) << name;
    EXPECT_EQ(file.tensors[name].shape().str(), shape.str()) << name;
    const bool counter = name.ends_with("num_batches_tracked");
    EXPECT_EQ(file.tensors[name].dtype(), counter ? DType::i64 : DType::f32) << name;
    if (counter) {
      EXPECT_EQ(file.tensors[name].item(), 30000);
    }
  }
}

TEST(ModelFile, WeightsComeBackBitForBitInBothTypes) {
  for (DType dtype : {DType::f32, DType::f64}) {
    const Arena arena("test");
    ParamLayout layout;
    const UNet unet(layout, small_network().unet);
    layout.add_parameter({"head.weight", {5, 3}, ParamKind::linear_weight, Init::fan_in_uniform, 5});
    ParamStore a(layout, arena, dtype, false), b(layout, arena, dtype, false);
    a.init(3);
    TensorFile file;
    put_weights(file, a, 0, "teacher.");
    EXPECT_EQ(file.tensors.at("teacher.head.weight").shape().str(), "(3,5)");
    get_weights(file, b, "memory", "teacher.");
    EXPECT_EQ(0, std::memcmp(a.values().raw(), b.values().raw(), a.values().bytes()));
    EXPECT_EQ(0, std::memcmp(a.buffers().raw(), b.buffers().raw(), a.buffers().bytes()));
  }
}

TEST(ModelFile, DescribesTheNetworkAndIsInferredWithoutDescription) {
  const Arena arena("test");
  Model model(small_network(), arena);
  model.weights.init(5);
  TensorFile file;
  put_weights(file, model.weights, 17);
  const std::string path = temporary("bare");
  for (bool described : {true, false}) {
    if (described) put_model_info(file, model.info);
    save_tensors(path, file);
    file.metadata.clear();
    const auto loaded = load_model(path, arena);
    EXPECT_EQ(loaded->info.unet.widths, model.info.unet.widths);
    EXPECT_EQ(loaded->info.unet.classes, 3);
    EXPECT_EQ(loaded->info.unet.in_channels, 2);
    EXPECT_EQ(loaded->info.iteration, described ? 17 : 0);
    EXPECT_EQ(loaded->info.size, described ? 64 : 256);
    EXPECT_EQ(loaded->info.class_names, described ? model.info.class_names : std::vector<std::string>{});
    EXPECT_EQ(0, std::memcmp(loaded->weights.values().raw(), model.weights.values().raw(),
                     model.weights.values().bytes()));
  }
  std::filesystem::remove(path);
}

TEST(ModelFile, EveryChoiceOfArchitectureComesBack) {
  const Arena arena("test");
  const std::string path = temporary("choices");
  for (const auto& [norm_name, norm] : kNormKinds)
    for (const auto& [up_name, up] : kUpsamplings)
      for (bool decoder_norm : {true, false}) {
        ModelInfo info = small_network();
        info.unet.norm = norm;
        info.unet.decoder_norm = decoder_norm;
        info.unet.up = up;
        Model model(info, arena);
        model.weights.init(6);
        TensorFile file;
        put_weights(file, model.weights, 0);
        put_model_info(file, info);
        save_tensors(path, file);
        const auto loaded = load_model(path, arena);
        EXPECT_EQ(loaded->info.unet.norm, norm) << norm_name;
        EXPECT_EQ(loaded->info.unet.decoder_norm, decoder_norm) << norm_name;
        EXPECT_EQ(loaded->info.unet.up, up) << up_name;
        ASSERT_EQ(loaded->weights.values().bytes(), model.weights.values().bytes());
        EXPECT_EQ(0, std::memcmp(loaded->weights.values().raw(), model.weights.values().raw(),
                         model.weights.values().bytes()));
      }
  std::filesystem::remove(path);
}

// Files from before `norm`, `decoder_norm` and `up` were written.
TEST(ModelFile, DescriptionsWithoutTheNewerKeysAreOfTheNetworkOfThatTime) {
  const Arena arena("test");
  const Model model(small_network(), arena);
  TensorFile file;
  put_model_info(file, small_network());
  put_weights(file, model.weights, 0);
  json network = json::parse(file.metadata.at("network"));
  for (const char* key : {"norm", "decoder_norm", "up", "uafs"}) EXPECT_EQ(network.erase(key), 1u) << key;
  file.metadata["network"] = network.dump();
  const UNetConfig c = get_model_info(file, "w").unet;
  EXPECT_EQ(c.widths, small_network().unet.widths);
  EXPECT_EQ(c.norm, NormKind::batch);
  EXPECT_TRUE(c.decoder_norm);
  EXPECT_EQ(c.up, Upsampling::bilinear);
  EXPECT_EQ(c.gates, Gates::none);
}

TEST(ModelFile, UncertaintyGatesComeBackAndTheirSizesAreBounded) {
  const Arena arena("test");
  ModelInfo info = small_network();
  info.unet.gates = Gates::decoder;
  info.unet.gate_classes = 5;
  info.unet.gate_kernel = 1;
  Model model(info, arena);
  model.weights.init(6);
  TensorFile file;
  put_weights(file, model.weights, 0);
  put_model_info(file, info);
  const UNetConfig c = get_model_info(file, "w").unet;
  EXPECT_EQ(c.gates, Gates::decoder);
  EXPECT_EQ(c.gate_classes, 5);
  EXPECT_EQ(c.gate_kernel, 1);
  for (const auto& [key, value] : {std::pair{"uafs_kernel", 2}, {"uafs_kernel", 1001}, {"uafs_classes", 0}}) {
    json network = json::parse(file.metadata.at("network"));
    network[key] = value;
    TensorFile damaged = file;
    damaged.metadata["network"] = network.dump();
    EXPECT_THROW(get_model_info(damaged, "w"), Error) << key << " " << value;
  }
}

// torch.nn.ConvTranspose2d keeps (Cin,Cout,KH,KW).
TEST(ModelFile, TransposedConvolutionsHavePyTorchsLayoutAndAreInferred) {
  const Arena arena("test");
  ModelInfo info = small_network();
  info.unet.up = Upsampling::transposed;
  Model model(info, arena);
  model.weights.init(7);
  TensorFile file;
  put_weights(file, model.weights, 0);
  const Tensor torch = file.tensors.at("decoder.up1.up.weight");
  ASSERT_EQ(torch.shape().str(), "(8,6,2,2)");
  for (size_t i = 0; i < model.layout.parameters().size(); ++i) {
    if (model.layout.parameters()[i].name != "decoder.up1.up.weight") continue;
    const Tensor ours = model.weights.value(int(i));  // (2,2,8,6)
    for (int64_t e = 0; e < ours.numel(); ++e) {
      const Shape at = ours.shape().position(e);
      EXPECT_EQ(torch.item(((at[2] * 6 + at[3]) * 2 + at[0]) * 2 + at[1]), ours.item(e));
    }
  }
  EXPECT_EQ(get_model_info(file, "w").unet.up, Upsampling::transposed);
}

TEST(ModelFile, WeightsOfAnotherArchitectureAreRefusedByTensorName) {
  const Arena arena("test");
  Model model(small_network(), arena);
  TensorFile file;
  put_weights(file, model.weights, 0);

  TensorFile missing = file;
  missing.tensors.erase("decoder.up1.conv1x1.bias");
  const std::string name =
      message(ExitCode::checkpoint, [&] { get_weights(missing, model.weights, "w.safetensors"); });
  EXPECT_NE(name.find("w.safetensors has no tensor 'decoder.up1.conv1x1.bias'"), std::string::npos) << name;

  TensorFile other = file;
  other.tensors["encoder.in_conv.conv_conv.4.weight"] = arena.zeros({4, 4, 5, 5}, DType::f32);
  const std::string shape = message(ExitCode::checkpoint, [&] { get_weights(other, model.weights, "w"); });
  EXPECT_NE(shape.find("'encoder.in_conv.conv_conv.4.weight' is f32 (4,4,5,5), the network wants (4,4,3,3)"),
      std::string::npos)
      << shape;

  TensorFile deeper = file;
  deeper.tensors["encoder.down3.maxpool_conv.1.conv_conv.0.weight"] = arena.zeros({9, 8, 3, 3}, DType::f32);
  const std::string extra = message(ExitCode::checkpoint, [&] { get_weights(deeper, model.weights, "w"); });
  EXPECT_NE(extra.find("down3"), std::string::npos) << extra;

  const std::string none =
      message(ExitCode::checkpoint, [&] { get_model_info(TensorFile{}, "empty.safetensors"); });
  EXPECT_NE(
      none.find("empty.safetensors has no tensor 'encoder.in_conv.conv_conv.0.weight'"), std::string::npos)
      << none;
}

TEST(ModelFile, UnreadableDescriptionsAreRefused) {
  TensorFile file;
  put_model_info(file, small_network());
  const auto broken = [&](const std::string& key, const std::string& value) {
    TensorFile f = file;
    f.metadata[key] = value;
    return message(ExitCode::checkpoint, [&] { get_model_info(f, "w"); });
  };
  EXPECT_NE(broken("network", "{\"widths\":7}").find("cannot be read"), std::string::npos);
  json network = json::parse(file.metadata.at("network"));
  network["norm"] = "group";
  EXPECT_NE(broken("network", network.dump()).find("\"group\" is an unknown norm"), std::string::npos);
  EXPECT_NE(broken("size", "large").find("cannot be read"), std::string::npos);
  EXPECT_NE(broken("format", "other-9").find("other-9"), std::string::npos);
  EXPECT_NE(broken("normalisation", "z-score").find("z-score"), std::string::npos);
}

// 264 bytes that describe a network whose flat buffer has a size that wraps to 2^62 - 32, and other
// descriptions that promise more than the file holds.
TEST(ModelFile, ANetworkLargerThanItsFileIsRefusedBeforeMemoryIsAskedFor) {
  const Arena arena("test");
  Model model(small_network(), arena);
  model.weights.init(5);
  TensorFile file;
  put_weights(file, model.weights, 0);
  put_model_info(file, small_network());
  get_model_info(file, "w");
  const auto refused = [&](const std::string& network) {
    TensorFile f = file;
    f.metadata["network"] = network;
    return message(ExitCode::checkpoint, [&] { get_model_info(f, "w.safetensors"); });
  };
  for (const char* network :
      {R"({"in_channels":178956953,"classes":4,"widths":[1,536870912],"dropout":[0,0]})",
          R"({"in_channels":1e20,"classes":4,"widths":[4,6],"dropout":[0,0]})",
          R"({"in_channels":-1,"classes":4,"widths":[4,6],"dropout":[0,0]})"})
    EXPECT_NE(refused(network).find("cannot be read"), std::string::npos) << network;
  for (const char* network : {R"({"in_channels":2,"classes":3,"widths":[65536,65536],"dropout":[0,0]})",
           R"({"in_channels":2,"classes":3,"widths":[4,6,9],"dropout":[0,0,0]})",
           R"({"in_channels":2,"classes":3,"widths":[4,6,8],"dropout":[0,0,1.5]})",
           R"({"in_channels":2,"classes":3,"widths":[4],"dropout":[0]})",
           R"({"in_channels":2,"classes":3,"widths":[1,1,1,1,1,1,1,1,1,1,1,1,1],"dropout":[0]})"})
    EXPECT_NE(refused(network).find("it holds"), std::string::npos) << network;
}
