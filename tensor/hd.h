// HD marks functions that both the CPU compiler and nvcc translate: the same lines run on host and device.
#pragma once
#ifdef __CUDACC__
#define HD __host__ __device__
#else
#define HD
#endif
