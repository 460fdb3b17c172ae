#include "layers/unet.h"

#include "autograd/ops/cast.h"
#include "autograd/ops/max_pool2d.h"
#include "autograd/ops/upsample2x.h"
#include "tensor/device.h"

namespace patchcl {

void UNetConfig::check() const {
  const size_t levels = widths.size();
  if (levels < 2 || levels > size_t(kMostLevels))
    fail(ExitCode::usage, "unet", "wants 2 to ", kMostLevels, " widths, got ", levels,
        "; for example --widths 16,32,64,128,256");
  if (dropout.size() != levels)
    fail(ExitCode::usage, "unet", levels, " widths but ", dropout.size(),
        " dropout rates; give one per level");
  for (const int w : widths)
    if (w < 1 || w > kMostChannels)
      fail(ExitCode::usage, "unet", "a width of ", w, "; widths are 1 to ", kMostChannels);
  for (const double p : dropout)
    if (!(p >= 0 && p < 1))
      fail(ExitCode::usage, "unet", "a dropout rate of ", p, "; rates are at least 0 and below 1");
  if (gate_kernel < 1 || gate_kernel > kLargestGateKernel || gate_kernel % 2 == 0 || gate_classes < 1 ||
      gate_classes > kMostChannels)
    fail(ExitCode::usage, "unet", "an uncertainty gate of kernel ", gate_kernel, " and ", gate_classes,
        " classes; wants an odd kernel of at most ", kLargestGateKernel, " and 1 to ", kMostChannels,
        " classes");
  if (in_channels < 1 || in_channels > kMostChannels || classes < 2 || classes > kMostOutputs)
    fail(ExitCode::usage, "unet", in_channels, " input channels and ", classes, " classes; wants 1 to ",
        kMostChannels, " and 2 to ", kMostOutputs);
}

// Indices of torch.nn.Sequential: 0 conv, 1 norm, 2 activation, 3 dropout, 4 conv, 5 norm, 6 activation.
UNet::Block::Block(
    ParamLayout& layout, const std::string& name, int in, int out, const ConvNormAct::Config& config)
    : name(name), first(layout, name + ".conv_conv.0", name + ".conv_conv.1", in, out, config),
      second(layout, name + ".conv_conv.4", name + ".conv_conv.5", out, out,
          {.norm = config.norm, .fused = config.fused, .ranges = config.ranges}) {}

void UNet::Block::add_gate(ParamLayout& layout, int channels, const UNetConfig& config) {
  gate.emplace(layout, name + ".uafs", channels, config.gate_kernel, config.gate_classes);
}

UNet::UNet(ParamLayout& layout, const UNetConfig& config) : config_(config) {
  config.check();
  const std::vector<int>& widths = config_.widths;
  const int levels = int(widths.size());
  for (int i = 0; i < levels; ++i) {
    const std::string name =
        i == 0 ? "encoder.in_conv" : "encoder.down" + std::to_string(i) + ".maxpool_conv.1";
    encoder_.emplace_back(layout, name, i == 0 ? config_.in_channels : widths[i - 1], widths[i],
        ConvNormAct::Config{config_.norm, config_.dropout[i], config_.fused, config_.ranges});
    if (config_.gates == Gates::all) encoder_.back().add_gate(layout, widths[i], config_);
  }
  const NormKind norm = config_.decoder_norm ? config_.norm : NormKind::none;
  for (int i = levels - 2; i >= 0; --i) {
    const std::string name = "decoder.up" + std::to_string(levels - 1 - i);
    const UpLayer up = declare_up(layout, name, widths[i + 1], widths[i]);
    decoder_.push_back({name, up,
        Block(layout, name + ".conv", 2 * widths[i], widths[i],
            {.norm = norm, .fused = config_.fused, .ranges = config_.ranges})});
    if (config_.gates != Gates::none) decoder_.back().block.add_gate(layout, widths[i], config_);
  }
  head_.emplace(layout, "decoder.out_conv", 3, widths[0], config_.classes);
}

UNet::UpLayer UNet::declare_up(ParamLayout& layout, const std::string& name, int in, int out) const {
  if (config_.up == Upsampling::transposed) return ConvTransposeLayer(layout, name + ".up", in, out);
  return ConvLayer(layout, name + ".conv1x1", 1, in, out);
}

Var UNet::run(Pass& pass, const Block& block, const std::vector<Var>& x) {
  Tape::Scope scope(pass.tape(), block.name);
  const Var y = block.second(pass, {block.first(pass, x)});
  return block.gate ? cast((*block.gate)(pass, widened(y)), y.dtype()) : y;
}

std::vector<Var> UNet::encoder_maps(Pass& pass, const Var& x) const {
  const Shape& s = x.shape();
  const int64_t multiple = size_multiple();
  if (s.rank() != 4 || s[3] != config_.in_channels || s[1] % multiple || s[2] % multiple || s.numel() == 0)
    fail(ExitCode::data, "unet", "wants images (N,H,W,", config_.in_channels, ") with H and W multiples of ",
        multiple, ", got ", s);
  const bool half = math_mode() == MathMode::bf16 || math_mode() == MathMode::int8;
  std::vector<Var> maps{run(pass, encoder_[0], {half ? cast(x, DType::bf16) : x})};
  for (size_t i = 1; i < encoder_.size(); ++i)
    maps.push_back(run(pass, encoder_[i], {max_pool2d(maps.back())}));
  return maps;
}

std::vector<std::string> UNet::gate_names() const {
  std::vector<std::string> names;
  for (size_t i = 0; i < encoder_.size(); ++i)
    if (encoder_[i].gate) names.push_back("encoder " + std::to_string(i));
  for (size_t i = 0; i < decoder_.size(); ++i)
    if (decoder_[i].block.gate) names.push_back("decoder " + std::to_string(decoder_.size() - 1 - i));
  return names;
}

Var UNet::encode(Pass& pass, const Var& x) const { return widened(encoder_maps(pass, x).back()); }

UNet::Output UNet::forward(Pass& pass, const Var& x) const { return decode(pass, encoder_maps(pass, x)); }

UNet::Output UNet::decode(Pass& pass, const std::vector<Var>& maps) const {
  Output out;
  out.encoder = maps;
  out.bottleneck = out.encoder.back();
  Var y = out.bottleneck;
  for (size_t i = 0; i < decoder_.size(); ++i) {
    const Level& level = decoder_[i];
    Tape::Scope scope(pass.tape(), level.name);
    const auto* transposed = std::get_if<ConvTransposeLayer>(&level.up);
    const Var up = transposed ? (*transposed)(pass, y) : upsample2x(std::get<ConvLayer>(level.up)(pass, {y}));
    const Var& skip = out.encoder[encoder_.size() - 2 - i];
    y = run(pass, level.block, {skip, up});  // conv2d reads the two as one concatenation
    out.decoder.push_back(y);
  }
  Tape::Scope scope(pass.tape(), "decoder.out_conv");
  out.logits = widened((*head_)(pass, {y}));
  return out;
}

}  // namespace patchcl
