// HD marks functions that both the CPU compiler and nvcc translate: the same lines run on host and device.
// CUDA_ONLY(...) is its argument in a program built with CUDA and nothing otherwise: the only place that
// asks.
#pragma once
#ifdef __CUDACC__
#define HD __host__ __device__
#else
#define HD
#endif

#ifdef WITH_CUDA
#define CUDA_ONLY(...) __VA_ARGS__
#else
#define CUDA_ONLY(...)
#endif
