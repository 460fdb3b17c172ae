// Layers that networks are made of: each declares its parameters in a ParamLayout when it is made, under the
// names that PyTorch's layer gives them below `name`, and computes when it is called. Only indices are kept,
// so one layer serves any number of ParamStores and passes.
//
// Images are (N,H,W,C). Weights and biases start uniform in +-1/sqrt(fan_in), norms at gamma = 1, beta = 0,
// as in PyTorch. Errors are those of the ops (shapes) and of ParamLayout (a name declared twice). Equations:
// the op's header.
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "autograd/ops/conv2d.h"
#include "layers/params.h"
#include "tensor/names.h"

namespace patchcl {

// The indices of a layer's "NAME.weight" and "NAME.bias".
struct WeightAndBias {
  int weight, bias;
};

// torch.nn.Conv2d with an odd kernel, stride 1 and the padding that keeps H and W (conv2d.h).
class ConvLayer {
 public:
  ConvLayer(ParamLayout& layout, const std::string& name, int64_t kernel, int64_t in, int64_t out);
  // x: tensors (N,H,W,Ci) whose Ci add up to `in`, read as one concatenation -> (N,H,W,out)
  Var operator()(Pass& pass, const std::vector<Var>& x, Loc loc = Loc::current()) const;
  Var weight(Pass& pass) const { return pass.param(indices_.weight); }
  Var bias(Pass& pass) const { return pass.param(indices_.bias); }
  Conv2dOptions options() const { return {.padding = kernel_ / 2}; }

 private:
  int64_t kernel_;
  WeightAndBias indices_;
};

// torch.nn.ConvTranspose2d with kernel 2 and stride 2 (conv_transpose2d.h).
class ConvTransposeLayer {
 public:
  ConvTransposeLayer(ParamLayout& layout, const std::string& name, int64_t in, int64_t out);
  // (N,H,W,in) -> (N,2H,2W,out)
  Var operator()(Pass& pass, const Var& x, Loc loc = Loc::current()) const;

 private:
  WeightAndBias indices_;
};

// torch.nn.Linear (linear.h).
class LinearLayer {
 public:
  LinearLayer(ParamLayout& layout, const std::string& name, int64_t in, int64_t out);
  // (n,in) -> (n,out)
  Var operator()(Pass& pass, const Var& x, Loc loc = Loc::current()) const;

 private:
  WeightAndBias indices_;
};

// Over what a channel is normalised, and with which parameters. batch: over all images, with gamma, beta and
// running statistics (torch.nn.BatchNorm2d, norm_act.h). instance: over each image alone, with nothing to
// train and nothing to remember (torch.nn.InstanceNorm2d, instance_norm.h); instance_affine: with gamma and
// beta. none: not at all.
enum class NormKind { batch, instance, instance_affine, none };
// As options and weights files call them.
inline const Names<NormKind> kNormKinds{{"batch", NormKind::batch}, {"instance", NormKind::instance},
    {"instance-affine", NormKind::instance_affine}, {"none", NormKind::none}};

class NormLayer {
 public:
  NormLayer(ParamLayout& layout, const std::string& name, int64_t channels, NormKind kind = NormKind::batch);
  // The shape of x. batch takes (..,C), instance (N,H,W,C).
  Var operator()(Pass& pass, const Var& x, Loc loc = Loc::current()) const;
  NormKind kind() const { return kind_; }
  // For ops that fuse the norm.
  Var gamma(Pass& pass) const { return pass.param(affine_.weight); }
  Var beta(Pass& pass) const { return pass.param(affine_.bias); }
  BatchNormOptions batch_options(const Pass& pass) const { return pass.norm_options(mean_, var_); }

 private:
  NormKind kind_;
  WeightAndBias affine_{};
  int mean_ = 0, var_ = 0;
};

// Convolution, norm, leaky ReLU(0.01) and, when training, dropout: y = k a(norm(conv(x))) (METHODS 4.3).
class ConvNormAct {
 public:
  struct Config {
    NormKind norm = NormKind::batch;
    double dropout = 0;
    bool fused = true;  // batch norm, activation and dropout in one pass, in inference with the convolution;
                        // false: one op each, the same to rounding. Other norms are one op each.
    bool ranges = false;  // keeps the range of x as "CONV.range", which inference in int8 wants: with batch
                          // norm, fused, and channels in multiples of 16 on either side
  };
  ConvNormAct(ParamLayout& layout, const std::string& conv, const std::string& norm, int64_t in, int64_t out,
      const Config& config);
  // x as ConvLayer reads it -> (N,H,W,out); kernel 3.
  Var operator()(Pass& pass, const std::vector<Var>& x, Loc loc = Loc::current()) const;

 private:
  Var fused(Pass& pass, const std::vector<Var>& x, double dropout, Loc loc) const;
  Var inferred(Pass& pass, const std::vector<Var>& x, const BatchNormOptions& norm, Loc loc) const;
  ConvLayer conv_;
  NormLayer norm_;
  Config config_;
  std::optional<int> range_;  // the buffer
};

}  // namespace patchcl
