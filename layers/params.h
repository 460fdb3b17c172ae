// Parameters are named slices of one flat buffer.
//
// A model first declares its parameters and buffers in a ParamLayout (names, shapes, initialisation), then
// any number of ParamStores hold numbers for that layout: the student, the teacher, the momentum, an f64 copy
// for an audit. So zero-grad is one memset, SGD and EMA are one loop, a checkpoint is one write. Slices start
// at multiples of 16 elements; the gaps stay zero and never move.
#pragma once
#include <string>
#include <vector>

#include "autograd/ops/norm_act.h"

namespace patchcl {

// How the packed layout here maps to PyTorch's: convolutions (KH,KW,Cin,Cout) <-> (Cout,Cin,KH,KW),
// transposed ones (KH,KW,Cin,Cout) <-> (Cin,Cout,KH,KW), linear layers (in,out) <-> (out,in), everything else
// unchanged.
enum class ParamKind { vector, conv_weight, conv_transpose_weight, linear_weight };
// kaiming_uniform with a = sqrt(5), PyTorch's default, is uniform in +-1/sqrt(fan_in) for weights and biases.
enum class Init { zeros, ones, fan_in_uniform };

struct ParamInfo {
  std::string name;  // SSL4MIS's state_dict name: "encoder.in_conv.conv_conv.0.weight"
  Shape shape;
  ParamKind kind = ParamKind::vector;
  Init init = Init::zeros;
  int64_t fan_in = 0;  // for fan_in_uniform
  int64_t offset = 0;  // in elements
};

class ParamLayout {
 public:
  // Return the index to ask a ParamStore with.
  int add_parameter(ParamInfo info);
  int add_buffer(ParamInfo info);  // batch-norm running statistics: saved and averaged, never trained
  const std::vector<ParamInfo>& parameters() const { return parameters_; }
  const std::vector<ParamInfo>& buffers() const { return buffers_; }
  int64_t parameter_count() const;  // numbers that train, gaps not counted
  int64_t flat_size() const { return parameter_size_; }
  int64_t buffer_size() const { return buffer_size_; }

 private:
  std::vector<ParamInfo> parameters_, buffers_;
  int64_t parameter_size_ = 0, buffer_size_ = 0;
};

class ParamStore {
 public:
  // Values uninitialised until init() or a load. `with_grad` false: a teacher.
  ParamStore(const ParamLayout& layout, const Arena& arena, DType dtype, bool with_grad);
  // Same seed, same numbers, in declaration order; runs on the host.
  void init(uint64_t seed);
  void zero_grad();
  void copy_from(const ParamStore& other);  // values and buffers; converts between f32 and f64

  const ParamLayout& layout() const { return *layout_; }
  Tensor value(int i) const { return slice(values_, layout_->parameters()[i]); }
  Tensor grad(int i) const { return slice(grads_, layout_->parameters()[i]); }
  Tensor buffer(int i) const { return slice(buffers_, layout_->buffers()[i]); }
  const Tensor& values() const { return values_; }    // flat, (flat_size)
  const Tensor& grads() const { return grads_; }      // flat, or empty for a teacher
  const Tensor& buffers() const { return buffers_; }  // flat, (buffer_size)
  DType dtype() const { return values_.dtype(); }

 private:
  static Tensor slice(const Tensor& flat, const ParamInfo& p) { return flat.window(p.offset, p.shape); }
  const ParamLayout* layout_;
  Tensor values_, grads_, buffers_;
};

// What batch norm normalises with: the batch, which moves the running statistics too; the batch alone, for
// inputs that must not spoil them; the running statistics.
enum class NormMode { batch, batch_only, running };

// One forward pass of a model: the tape, whose numbers, and what the layers need to know about the pass.
class Pass {
 public:
  // `rng` is an i64 tensor (2) on the tape's device: (seed, step). `site` separates the random draws of
  // several passes in one step (student, teacher, strong view).
  Pass(Tape& tape, const ParamStore& store, bool training, const Tensor& rng = {}, uint32_t site = 0);
  Tape& tape() const { return *tape_; }
  const ParamStore& store() const { return *store_; }
  bool training() const { return training_; }  // dropout
  // batch when the pass trains, running otherwise, unless somebody chose.
  NormMode norm() const { return norm_; }
  void set_norm(NormMode norm) { norm_ = norm; }
  // For the layer whose running statistics are these buffers.
  BatchNormOptions norm_options(int running_mean, int running_var) const {
    return {.training = norm_ != NormMode::running,
        .running_mean = store_->buffer(running_mean),
        .running_var = store_->buffer(running_var),
        .momentum = norm_ == NormMode::batch ? 0.1 : 0};
  }
  // Layers that keep a range note what goes through them (ConvNormAct): while a network is calibrated.
  void note_ranges() { notes_ranges_ = true; }
  bool notes_ranges() const { return notes_ranges_; }
  const Var& rng() const { return rng_; }
  uint32_t next_site() { return site_++; }
  // The parameter as a node of the tape; one node however often it is used.
  Var param(int i);

 private:
  Tape* tape_;
  const ParamStore* store_;
  bool training_, notes_ranges_ = false;
  NormMode norm_;
  uint32_t site_;
  Var rng_;
  std::vector<Var> params_;
};

}  // namespace patchcl
