// The 2-D UNet of SSL4MIS (METHODS 4.3): five levels of two 3x3 convolutions, 1,813,764 parameters for 1 -> 4
// classes.
//
//   ConvBlock(p):  conv3x3 - BN - LeakyReLU(0.01) - dropout(p) - conv3x3 - BN - LeakyReLU
//   encoder:       ConvBlock per level, 2x2 max-pool between;  decoder level: 1x1 conv to half the channels,
//   bilinear x2
//                  (align corners), concat [skip, up], ConvBlock(0);  head: conv3x3 to the classes.
// Names and shapes of the parameters are those of SSL4MIS's PyTorch state_dict, so checkpoints travel both
// ways.
#pragma once
#include <vector>

#include "layers/params.h"

namespace patchcl {

struct UNetConfig {
  int in_channels = 1, classes = 4;
  std::vector<int> widths{16, 32, 64, 128, 256};          // one per level
  std::vector<double> dropout{0.05, 0.1, 0.2, 0.3, 0.5};  // encoder only, one per level
  bool fused = true;  // batch norm + activation + dropout in one pass, in inference with the convolution;
                      // false: one op each, the same to rounding
};

class UNet {
 public:
  // Declares parameters and buffers in `layout`. Throws Error(usage) for impossible widths.
  UNet(ParamLayout& layout, const UNetConfig& config);

  struct Output {
    Var logits;                // (N,H,W,classes), f32 or f64
    Var bottleneck;            // (N,H/16,W/16,256)
    Var top;                   // (N,H,W,16): the last decoder map
    std::vector<Var> encoder;  // per level, before pooling; the last is `bottleneck`
  };
  // x (N,H,W,Cin); H and W multiples of 2^(levels-1), else Error(data) naming the sizes.
  Output forward(Pass& pass, const Var& x) const;
  // The encoder alone: (N,H,W,Cin) -> bottleneck, f32 or f64: what the projection head pools.
  Var encode(Pass& pass, const Var& x) const;

  const UNetConfig& config() const { return config_; }
  int64_t size_multiple() const { return int64_t(1) << (config_.widths.size() - 1); }

 private:
  struct Conv {
    int w, b;
  };
  struct Norm {
    int gamma, beta, mean, var;
  };
  struct Block {
    std::string name;
    Conv conv1, conv2;
    Norm norm1, norm2;
    double dropout;
  };
  struct Up {
    std::string name;
    Conv reduce;
    Block block;
  };

  Conv declare_conv(ParamLayout& layout, const std::string& name, int kernel, int in, int out) const;
  Norm declare_norm(ParamLayout& layout, const std::string& name, int channels) const;
  Block declare_block(ParamLayout& layout, const std::string& name, int in, int out, double dropout) const;
  Var conv_norm_act(
      Pass& pass, const std::vector<Var>& x, const Conv& conv, const Norm& norm, double dropout) const;
  Var run(Pass& pass, const Block& block, const std::vector<Var>& x) const;
  std::vector<Var> levels(Pass& pass, const Var& x) const;

  UNetConfig config_;
  std::vector<Block> encoder_;
  std::vector<Up> decoder_;  // deepest first
  Conv head_;
};

}  // namespace patchcl
