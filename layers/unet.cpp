#include "layers/unet.h"

#include "autograd/ops/cast.h"
#include "autograd/ops/conv2d_norm_act.h"
#include "autograd/ops/dropout.h"
#include "autograd/ops/max_pool2d.h"
#include "autograd/ops/norm_act.h"
#include "autograd/ops/pointwise.h"
#include "autograd/ops/upsample2x.h"
#include "tensor/device.h"

namespace patchcl {

namespace {
constexpr double kSlope = 0.01;  // LeakyReLU, PyTorch's default

Var precise(const Var& y) { return cast(y, precise(y.dtype())); }
}  // namespace

UNet::UNet(ParamLayout& layout, const UNetConfig& config) : config_(config) {
  const auto& widths = config_.widths;
  const int levels = int(widths.size());
  if (levels < 2)
    fail(ExitCode::usage, "unet", "wants at least 2 widths, got ", levels,
        "; for example --widths 16,32,64,128,256");
  if (config_.dropout.size() != widths.size())
    fail(ExitCode::usage, "unet", levels, " widths but ", config_.dropout.size(),
        " dropout rates; give one per level");
  for (int w : widths)
    if (w < 1) fail(ExitCode::usage, "unet", "a width of ", w, "; widths are positive");
  if (config_.classes < 2 || config_.in_channels < 1)
    fail(ExitCode::usage, "unet", config_.in_channels, " input channels and ", config_.classes,
        " classes; wants at least 1 and 2");

  for (int i = 0; i < levels; ++i) {
    const std::string name =
        i == 0 ? "encoder.in_conv" : "encoder.down" + std::to_string(i) + ".maxpool_conv.1";
    encoder_.push_back(declare_block(
        layout, name, i == 0 ? config_.in_channels : widths[i - 1], widths[i], config_.dropout[i]));
  }
  for (int i = levels - 2; i >= 0; --i) {
    const std::string name = "decoder.up" + std::to_string(levels - 1 - i);
    const Conv reduce = declare_conv(layout, name + ".conv1x1", 1, widths[i + 1], widths[i]);
    decoder_.push_back(
        {name, reduce, declare_block(layout, name + ".conv", 2 * widths[i], widths[i], /*dropout=*/0)});
  }
  head_ = declare_conv(layout, "decoder.out_conv", 3, widths[0], config_.classes);
}

UNet::Conv UNet::declare_conv(
    ParamLayout& layout, const std::string& name, int kernel, int in, int out) const {
  const int64_t fan_in = int64_t(kernel) * kernel * in;
  const int w = layout.add_parameter(
      {name + ".weight", {kernel, kernel, in, out}, ParamKind::conv_weight, Init::fan_in_uniform, fan_in});
  const int b =
      layout.add_parameter({name + ".bias", {out}, ParamKind::vector, Init::fan_in_uniform, fan_in});
  return {w, b};
}

UNet::Norm UNet::declare_norm(ParamLayout& layout, const std::string& name, int channels) const {
  const int gamma = layout.add_parameter({name + ".weight", {channels}, ParamKind::vector, Init::ones});
  const int beta = layout.add_parameter({name + ".bias", {channels}, ParamKind::vector, Init::zeros});
  const int mean = layout.add_buffer({name + ".running_mean", {channels}, ParamKind::vector, Init::zeros});
  const int var = layout.add_buffer({name + ".running_var", {channels}, ParamKind::vector, Init::ones});
  return {gamma, beta, mean, var};
}

UNet::Block UNet::declare_block(
    ParamLayout& layout, const std::string& name, int in, int out, double dropout) const {
  // Indices of torch.nn.Sequential: 0 conv, 1 norm, 2 activation, 3 dropout, 4 conv, 5 norm, 6 activation.
  const std::string p = name + ".conv_conv.";
  Block b{name, {}, {}, {}, {}, dropout};
  b.conv1 = declare_conv(layout, p + "0", 3, in, out);
  b.norm1 = declare_norm(layout, p + "1", out);
  b.conv2 = declare_conv(layout, p + "4", 3, out, out);
  b.norm2 = declare_norm(layout, p + "5", out);
  return b;
}

Var UNet::conv_norm_act(
    Pass& pass, const std::vector<Var>& x, const Conv& conv, const Norm& norm, double dropout_rate) const {
  const BatchNormOptions options = pass.norm_options(norm.mean, norm.var);
  const Var w = pass.param(conv.w), b = pass.param(conv.b), gamma = pass.param(norm.gamma),
            beta = pass.param(norm.beta);
  const double p = pass.training() ? dropout_rate : 0;
  if (config_.fused && p == 0 && !options.training && !pass.tape().options().grad)
    return conv2d_norm_act(x, w, b, gamma, beta, options, kSlope, {.padding = 1});
  const Var z = conv2d(x, w, b, {.padding = 1});
  const uint32_t site = p > 0 ? pass.next_site() : 0;
  if (config_.fused) return norm_act_dropout(z, gamma, beta, options, kSlope, p, pass.rng(), site);
  const Var a = leaky_relu(batch_norm(z, gamma, beta, options), kSlope);
  return p > 0 ? dropout(a, p, pass.rng(), site) : a;
}

Var UNet::run(Pass& pass, const Block& block, const std::vector<Var>& x) const {
  Tape::Scope scope(pass.tape(), block.name);
  return conv_norm_act(
      pass, {conv_norm_act(pass, x, block.conv1, block.norm1, block.dropout)}, block.conv2, block.norm2, 0);
}

// The encoder's maps, before pooling. On the GPU in --math bf16 they, and all that follows up to the logits,
// are bf16.
std::vector<Var> UNet::levels(Pass& pass, const Var& x) const {
  const Shape& s = x.shape();
  const int64_t multiple = size_multiple();
  if (s.rank() != 4 || s[3] != config_.in_channels || s[1] % multiple || s[2] % multiple || s.numel() == 0)
    fail(ExitCode::data, "unet", "wants images (N,H,W,", config_.in_channels, ") with H and W multiples of ",
        multiple, ", got ", s);
  const bool half = math_mode() == MathMode::bf16 && pass.tape().arena().device() == Device::cuda;
  std::vector<Var> maps{run(pass, encoder_[0], {half ? cast(x, DType::bf16) : x})};
  for (size_t i = 1; i < encoder_.size(); ++i)
    maps.push_back(run(pass, encoder_[i], {max_pool2d(maps.back())}));
  return maps;
}

Var UNet::encode(Pass& pass, const Var& x) const { return precise(levels(pass, x).back()); }

UNet::Output UNet::forward(Pass& pass, const Var& x) const {
  Output out;
  out.encoder = levels(pass, x);
  out.bottleneck = out.encoder.back();
  Var y = out.bottleneck;
  for (size_t i = 0; i < decoder_.size(); ++i) {
    const Up& up = decoder_[i];
    Tape::Scope scope(pass.tape(), up.name);
    const Var coarse = conv2d({y}, pass.param(up.reduce.w), pass.param(up.reduce.b), {});
    const Var& skip = out.encoder[encoder_.size() - 2 - i];
    y = run(pass, up.block, {skip, upsample2x(coarse)});  // conv2d reads the two as one concatenation
  }
  out.top = y;
  Tape::Scope scope(pass.tape(), "decoder.out_conv");
  out.logits = precise(conv2d({y}, pass.param(head_.w), pass.param(head_.b), {.padding = 1}));
  return out;
}

}  // namespace patchcl
