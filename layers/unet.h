// The 2-D UNet of SSL4MIS (METHODS 4.3): five levels of two 3x3 convolutions, 1,813,764 parameters for 1 -> 4
// classes; and its relatives with another norm or upsampling (METHODS 2.4).
//
//   ConvBlock(p):  conv3x3 - norm - LeakyReLU(0.01) - dropout(p) - conv3x3 - norm - LeakyReLU
//   encoder:       ConvBlock per level, 2x2 max-pool between;  head: conv3x3 to the classes
//   decoder level: half the channels at twice the size, by 1x1 conv and bilinear x2 (align corners) or by
//                  a transposed convolution; concat [skip, up], ConvBlock(0)
// Names and shapes of the parameters are those of SSL4MIS's PyTorch state_dict, so checkpoints travel both
// ways.
#pragma once
#include <optional>
#include <variant>
#include <vector>

#include "layers/parts.h"
#include "layers/uncertainty_gate.h"

namespace patchcl {

// How the decoder doubles height and width.
enum class Upsampling { bilinear, transposed };
// As options and weights files call them.
inline const std::map<std::string, Upsampling> kUpsamplings{
    {"bilinear", Upsampling::bilinear}, {"transposed", Upsampling::transposed}};

// Behind which blocks features are weighted by their uncertainty (uncertainty_gate.h).
enum class Gates { none, decoder, all };
inline const std::map<std::string, Gates> kGates{
    {"none", Gates::none}, {"decoder", Gates::decoder}, {"all", Gates::all}};

// The most that a network may have: options take no more, and no weights file may describe more.
constexpr int kMostLevels = 12, kMostChannels = 1 << 16, kMostOutputs = 256, kLargestGateKernel = 31;
constexpr int64_t kLargestSide = 1 << 16;  // height and width of its input

// All but `fused` is the architecture, which weights files describe (train/setup/model_file.h).
struct UNetConfig {
  int in_channels = 1, classes = 4;
  std::vector<int> widths{16, 32, 64, 128, 256};          // one per level
  std::vector<double> dropout{0.05, 0.1, 0.2, 0.3, 0.5};  // encoder only, one per level
  NormKind norm = NormKind::batch;                        // of the blocks
  bool decoder_norm = true;                               // false: the decoder's blocks have none
  Upsampling up = Upsampling::bilinear;
  Gates gates = Gates::none;
  int gate_classes = 2, gate_kernel = 3;
  bool ranges = false;  // the 3x3 convolutions know the range of their input: inference may be in int8
  bool fused = true;    // see ConvNormAct::Config
  // Error(usage) for what no UNet can be or may have.
  void check() const;
  // Height and width of its input are multiples of this.
  int64_t size_multiple() const { return int64_t(1) << (widths.size() - 1); }
};

class UNet {
 public:
  // Declares parameters and buffers in `layout`. Throws what config.check() does.
  UNet(ParamLayout& layout, const UNetConfig& config);

  struct Output {
    Var logits;                // (N,H,W,classes), f32 or f64
    Var bottleneck;            // (N,H/16,W/16,256)
    std::vector<Var> encoder;  // per level, before pooling; the last is `bottleneck`
    std::vector<Var>
        decoder;  // per level, coarse to fine: (N,H/8,W/8,128) .. (N,H,W,16), which gives the logits
  };
  // x (N,H,W,Cin); H and W multiples of 2^(levels-1), else Error(data) naming the sizes. In --math bf16
  // and int8 all maps between x and the logits are bf16; uncertainty gates compute in f32.
  Output forward(Pass& pass, const Var& x) const;
  // Its two halves: the maps of the encoder, and what the decoder makes of them or of others of their shapes.
  std::vector<Var> encoder_maps(Pass& pass, const Var& x) const;
  Output decode(Pass& pass, const std::vector<Var>& maps) const;
  // The encoder alone: (N,H,W,Cin) -> bottleneck, f32 or f64: what the projection head pools.
  Var encode(Pass& pass, const Var& x) const;

  const UNetConfig& config() const { return config_; }
  // "encoder 0" .. "encoder 4", "decoder 3" .. "decoder 0": the levels of its gates in the order of a pass.
  std::vector<std::string> gate_names() const;
  int64_t size_multiple() const { return config_.size_multiple(); }

 private:
  struct Block {
    std::string name;
    ConvNormAct first, second;
    std::optional<UncertaintyGate> gate;
    Block(ParamLayout& layout, const std::string& name, int in, int out, const ConvNormAct::Config& config);
    void add_gate(ParamLayout& layout, int channels, const UNetConfig& config);
  };
  using UpLayer = std::variant<ConvLayer, ConvTransposeLayer>;
  struct Level {
    std::string name;
    UpLayer up;
    Block block;
  };

  UpLayer declare_up(ParamLayout& layout, const std::string& name, int in, int out) const;
  static Var run(Pass& pass, const Block& block, const std::vector<Var>& x);

  UNetConfig config_;
  std::vector<Block> encoder_;
  std::vector<Level> decoder_;  // deepest first
  std::optional<ConvLayer> head_;
};

}  // namespace patchcl
