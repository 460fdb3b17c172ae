// ModelFile: a network's weights in a safetensors file, exchangeable with PyTorch in both directions.
//
// Tensors have the names and layouts of SSL4MIS's UNet state_dict: convolutions (KH,KW,Cin,Cout) here are
// (Cout,Cin,KH,KW) there, transposed ones (Cin,Cout,KH,KW), linear layers (in,out) are (out,in), and each
// batch norm has running_mean, running_var and num_batches_tracked. The file's metadata says what network it
// is (UNetConfig, size, normalisation), so that `eval` and `predict` need nothing but --weights. A converted
// PyTorch checkpoint has no such metadata: the architecture is then read off the shapes of its tensors.
// Left out: optimiser and method state, which train/setup/checkpoint.h adds to the same TensorFile under
// names of its own.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "data/stream/dataset.h"
#include "layers/unet.h"
#include "tensor/io.h"

namespace patchcl {

// What a user of the weights must know about the network.
struct ModelInfo {
  UNetConfig unet;
  int64_t size = 256;                    // height and width that it was trained at
  std::vector<std::string> class_names;  // one per class, [0] the background; empty: unknown
  std::string normalisation =
      "unit-range";       // of the input: to [0,1] as data/formats/readers.h does, the only kind so far
  Fit fit = Fit::resize;  // how images met that size: predictions do the same
  int64_t border = 0;     // pixels that objects grow into the last class, their border; 0: there is none
  int classes_without_border() const { return unet.classes - (border > 0); }
  int64_t iteration = 0;  // training steps behind these weights
};

void put_model_info(TensorFile& file, const ModelInfo& info);
// From the metadata, or from the shapes of the tensors. Throws Error(checkpoint) when the file `path` (named
// in messages) holds no UNet, describes one that this program does not know, or one larger than itself.
ModelInfo get_model_info(const TensorFile& file, const std::string& path);

// Adds all parameters and buffers of `store` to `file` as host tensors, names starting with `prefix`.
// `iteration` is what num_batches_tracked says.
void put_weights(
    TensorFile& file, const ParamStore& store, int64_t iteration, const std::string& prefix = "");
// Fills `store` from `file`, converting between f32 and f64. Throws Error(checkpoint) naming the first tensor
// that is missing, has another shape, or that the network lacks ("encoder.", "decoder."). Other tensors may
// lie beside them.
void get_weights(
    const TensorFile& file, ParamStore& store, const std::string& path, const std::string& prefix = "");

// As far as names and shapes agree, for a network that differs in places: the names in PyTorch's style of
// what was loaded, of what the file lacks or has in another shape (it stays as it is), and of what nobody
// asked for.
struct PartialLoad {
  std::vector<std::string> loaded, kept, unused;
};
PartialLoad get_weights_partially(const TensorFile& file, ParamStore& store);

// A UNet with its weights, ready to run.
struct Model {
  ModelInfo info;
  ParamLayout layout;
  UNet unet;
  ParamStore weights;
  Model(const ModelInfo& info, const Arena& arena);  // weights zero
};
// Of a file or a run folder (weights_path); `teacher`: of a checkpoint, the teacher in place of the student.
// Error(checkpoint) where there is none.
std::unique_ptr<Model> load_model(const std::string& from, const Arena& arena, bool teacher = false);

}  // namespace patchcl
