// What the C++ side may ask of CUDA. tensor/cuda.cu implements it; tensor/cuda_absent.cpp throws
// "built without CUDA" instead, and the Makefile links one of the two.
#pragma once
#include <cstddef>
#include <string>

namespace patchcl::cuda {

bool available(std::string* why);
void* alloc(size_t bytes);
void free(void* p);
void copy(void* to, bool to_gpu, const void* from, bool from_gpu, size_t bytes);
void zero(void* p, size_t bytes);
void synchronize();

}  // namespace patchcl::cuda
