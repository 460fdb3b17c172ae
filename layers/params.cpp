#include "layers/params.h"

#include <cmath>

#include "tensor/device.h"
#include "tensor/random.h"

namespace patchcl {

namespace {
int64_t padded(int64_t n) { return (n + 15) / 16 * 16; }

int add(std::vector<ParamInfo>& list, int64_t& size, ParamInfo info) {
  for (const ParamInfo& p : list)
    require(p.name != info.name, "params", "'", info.name, "' is declared twice");
  info.offset = size;
  const auto n = info.shape.checked_numel();
  if (!n) fail(ExitCode::usage, "params", "'", info.name, "' of shape ", info.shape, " is too large");
  size += padded(*n);
  list.push_back(std::move(info));
  return int(list.size()) - 1;
}
}  // namespace

int ParamLayout::add_parameter(ParamInfo info) { return add(parameters_, parameter_size_, std::move(info)); }
int ParamLayout::add_buffer(ParamInfo info) { return add(buffers_, buffer_size_, std::move(info)); }

int64_t ParamLayout::parameter_count() const {
  int64_t n = 0;
  for (const ParamInfo& p : parameters_) n += p.shape.numel();
  return n;
}

ParamStore::ParamStore(const ParamLayout& layout, const Arena& arena, DType dtype, bool with_grad)
    : layout_(&layout), values_(arena.zeros({layout.flat_size()}, dtype)),
      grads_(with_grad ? arena.zeros({layout.flat_size()}, dtype) : Tensor()),
      buffers_(arena.zeros({layout.buffer_size()}, dtype)) {}

void ParamStore::init(uint64_t seed) {
  const Arena host("parameter initialisation");
  const Tensor values = host.zeros(values_.shape(), values_.dtype()),
               buffers = host.zeros(buffers_.shape(), buffers_.dtype());
  const auto fill_one = [&](const Tensor& flat, const ParamInfo& p, uint32_t stream) {
    const Tensor t = slice(flat, p);
    if (p.init != Init::fan_in_uniform) {
      fill(t, p.init == Init::ones ? 1 : 0);
      return;
    }
    Rng rng(seed, /*step=*/0, stream);
    const double bound = 1 / std::sqrt(double(p.fan_in));
    dispatch(t.dtype(), [&](auto zero) {
      using T = decltype(zero);
      // Rounded through float, so that an f64 model starts from exactly the f32 model's numbers.
      for (int64_t i = 0; i < t.numel(); ++i) t.data<T>()[i] = T(float(rng.uniform(-bound, bound)));
    });
  };
  uint32_t stream = 0;
  for (const ParamInfo& p : layout_->parameters()) fill_one(values, p, stream++);
  for (const ParamInfo& p : layout_->buffers()) fill_one(buffers, p, stream++);
  copy(values, values_);
  copy(buffers, buffers_);
}

void ParamStore::zero_grad() {
  if (grads_) fill_zero(grads_);
}

void ParamStore::copy_from(const ParamStore& other) {
  convert(other.values_, values_);
  convert(other.buffers_, buffers_);
}

Pass::Pass(Tape& tape, const ParamStore& store, bool training, const Tensor& rng, uint32_t site)
    : tape_(&tape), store_(&store), training_(training),
      norm_(training ? NormMode::batch : NormMode::running), site_(site),
      params_(store.layout().parameters().size()) {
  if (rng) rng_ = tape.constant(rng, "rng");
}

Var Pass::param(int i) {
  if (!params_[i]) {
    const std::string& name = store_->layout().parameters()[i].name;
    params_[i] = store_->grads() ? tape_->parameter(store_->value(i), store_->grad(i), name)
                                 : tape_->constant(store_->value(i), name);
  }
  return params_[i];
}

}  // namespace patchcl
