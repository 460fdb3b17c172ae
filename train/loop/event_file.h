// Events as TensorBoard reads them, beside metrics.jsonl: scalars and pictures of a run.
//
// A file is a chain of records: length u64, masked CRC of it, the bytes, masked CRC of the bytes, with
//   masked(c) = ((c >> 15) | (c << 17)) + 0xa282ead8,   c the CRC-32C.
// The bytes are a protobuf message `Event` (tensorflow/core/util/event.proto), of which five fields are
// written. A run that goes on begins a file of its own; its first event tells the reader to forget the steps
// behind it. Wall times are in it, so equal runs do not have equal files.
#pragma once
#include <cstdint>
#include <memory>
#include <string>

#include "tensor/file.h"

namespace patchcl {

class EventFile {
 public:
  // A new one in `folder`, of a run that has done `iteration` steps.
  EventFile(const std::string& folder, int64_t iteration);
  // All: Error(io) when the disk is full.
  void scalar(int64_t iteration, const std::string& tag, double value);
  // A PNG file of that size.
  void picture(int64_t iteration, const std::string& tag, const std::string& path);

 private:
  void write(int64_t iteration, const std::string& field);
  std::unique_ptr<AppendFile> file_;
};

}  // namespace patchcl
