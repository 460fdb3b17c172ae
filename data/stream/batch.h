// One training batch, as the loader makes it on the host and the trainer copies it to the device.
#pragma once
#include <string>
#include <vector>

#include "tensor/arena.h"

namespace patchcl {

// What a view makes of an image: nothing, another brightness and contrast (METHODS 4.2), brightness, gamma
// and noise (2.2), 8 bits, or those with another brightness and contrast with p 0.8 and a blur (7.4).
enum class Look { plain, jittered, recoloured, eight_bits, blurred };

// How an image of a batch is shown once more: in the pixel grid of the first view, or turned, flipped and cut
// anew.
struct ViewKind {
  Look look = Look::plain;
  bool own_geometry = false;
  double blur = 0;  // with what p Look::blurred blurs
};
constexpr ViewKind kStrongView{.look = Look::jittered}, kBlurredView{.look = Look::blurred, .blur = 0.2};

// Whether view v has pixels and labels of its own; the others lie on the first one's.
inline bool has_own_labels(const std::vector<ViewKind>& views, size_t v) {
  return v == 0 || views[v].own_geometry;
}

struct View {
  Tensor images;  // (N,H,W,C) f32 or f64, in [0,1]
  Tensor labels;  // (N,H,W) u8; views of one geometry share them
};

// The first `labeled` images have labels; the rows behind hold 255 and a method that read them would fail in
// the loss (label outside the classes).
struct Batch {
  std::vector<View> views;  // as the phase asks
  int64_t labeled = 0;
  std::vector<std::string> ids;  // file or slice of each image: for error messages and pictures
  const Batch* host = nullptr;   // where this one lies on a GPU: the same batch on the host

  const Tensor& images() const { return views[0].images; }
  const Tensor& labels() const { return views[0].labels; }
  int64_t size() const { return images().shape()[0]; }
  int64_t unlabeled() const { return size() - labeled; }
  const Batch& on_host() const { return host ? *host : *this; }
};

// The same batch with `fn` applied to each tensor once: views that share labels still do.
template <class F> Batch transformed(const Batch& b, F fn) {
  Batch out = b;
  for (size_t v = 0; v < b.views.size(); ++v) {
    out.views[v].images = fn(b.views[v].images);
    const bool shared = v > 0 && b.views[v].labels.raw() == b.views[0].labels.raw();
    out.views[v].labels = shared ? out.views[0].labels : fn(b.views[v].labels);
  }
  return out;
}

// Images as f64, in memory of their own; labels as they are.
inline Batch in_f64(const Batch& b) {
  return transformed(b, [](const Tensor& t) {
    if (t.dtype() != DType::f32) return t;
    const Tensor wide = Arena("f64 batch").empty(t.shape(), DType::f64);
    convert(t, wide);
    return wide;
  });
}

}  // namespace patchcl
