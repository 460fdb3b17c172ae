#include "tensor/cuda_runtime.cuh"
#include "train/optim/optimizer.h"

namespace patchcl {

template <class T>
void update_cuda(const SgdRule& rule, const double* rates, int64_t n, T* p, const T* g, T* m) {
  cuda::for_each(n, [=] __device__(int64_t i) { rule(rates, p[i], g[i], m[i]); });
}

template <class T>
void update_cuda(const AdamRule& rule, const double* rates, int64_t n, T* p, const T* g, T* m, T* v) {
  cuda::for_each(n, [=] __device__(int64_t i) { rule(rates, p[i], g[i], m[i], v[i]); });
}

template <class T>
void update_cuda(const EmaRule& rule, const double* rates, int64_t n, T* teacher, const T* student) {
  cuda::for_each(n, [=] __device__(int64_t i) { rule(rates, teacher[i], student[i]); });
}

template void update_cuda(const SgdRule&, const double*, int64_t, float*, const float*, float*);
template void update_cuda(const SgdRule&, const double*, int64_t, double*, const double*, double*);
template void update_cuda(const AdamRule&, const double*, int64_t, float*, const float*, float*, float*);
template void update_cuda(const AdamRule&, const double*, int64_t, double*, const double*, double*, double*);
template void update_cuda(const EmaRule&, const double*, int64_t, float*, const float*);
template void update_cuda(const EmaRule&, const double*, int64_t, double*, const double*);

}  // namespace patchcl
