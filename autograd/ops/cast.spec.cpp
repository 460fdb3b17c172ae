#include "autograd/ops/cast.h"
#include "autograd/spec.h"

namespace patchcl {
namespace {

OpCase make(const std::string& label, const Shape& shape, DType to) {
  return {label, std::make_shared<Cast>(to), {{shape}}, [](auto& in) { return in[0]; }};
}

AddSpec spec{
    {"cast", {make("to f32, odd size", {2, 5, 7, 3}, DType::f32), make("to f32, one number", {1}, DType::f32),
                 make("to f32, one channel", {1, 3, 3, 1}, DType::f32),
                 make("to bf16, odd size", {2, 5, 7, 3}, DType::bf16)}}};

}  // namespace
}  // namespace patchcl
