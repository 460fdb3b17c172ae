// safetensors: the file format of weights and checkpoints. An 8-byte little-endian header length, a JSON
// header {"name": {"dtype", "shape", "data_offsets"}, "__metadata__": {...}}, then the raw numbers. No code
// in it, unlike pickle.
#pragma once
#include <map>
#include <span>
#include <string>

#include "tensor/arena.h"

namespace patchcl {

struct TensorFile {
  std::map<std::string, Tensor> tensors;
  std::map<std::string, std::string> metadata;
};

// Atomic (tensor/file.h). Adds metadata["checksum"], FNV-1a 64 over the header, but for itself, and the data,
// and metadata["layout"], which tells this from older files. Throws Error(io) when the disk is full.
// `kept_as`: what AtomicFile::commit does with the file of before.
void save_tensors(const std::string& path, const TensorFile& file, const std::string& kept_as = "");
// Host tensors from `arena`. Throws Error(checkpoint) naming the file and what is wrong: truncated, header
// too large or not JSON, offsets that overlap or leave the file, unknown dtype, a checksum that does not
// match, a layout newer than this program's. Without a layout: a checksum of the data alone, or none.
TensorFile load_tensors(const std::string& path, const Arena& arena);
// The same from memory; `name` is what messages call it.
TensorFile parse_tensors(std::span<const uint8_t> bytes, const std::string& name, const Arena& arena);

}  // namespace patchcl
