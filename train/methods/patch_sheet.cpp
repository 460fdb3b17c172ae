#include "train/methods/patch_sheet.h"

#include <Eigen/Eigenvalues>
#include <algorithm>

#include "data/class_names.h"

namespace patchcl {

namespace {

Color ink(int64_t k) { return k == 0 ? kWhite : class_color(k); }

// In the colour with a black line inside, to be seen on any map.
void frame(Canvas& canvas, const std::vector<Patch>& patches, int64_t image, int64_t k, int64_t side,
    int64_t zoom, Color color) {
  for (const Patch& p : patches)
    if (p.image == image && p.label == k) {
      const int64_t x = p.left * zoom, y = p.top * zoom, length = side * zoom;
      canvas.rectangle(x, y, length, length, color);
      canvas.rectangle(x + 1, y + 1, length - 2, length - 2, kBlack);
    }
}

// The sheet above what its boxes and colours mean.
Canvas with_key(const Canvas& page) {
  constexpr int64_t kGap = 6, kHeight = 40, kBar = 100;
  Canvas all(std::max<int64_t>(page.width(), 640), page.height() + kHeight + kGap, kSheet);
  all.paste(0, 0, page);
  all.paste(kGap, page.height(), heat_scale(kBar, kHeight, "1", "0"));
  const std::string lines[]{"C: what the network thinks, or the label; entropy of C",
      "boxes: the windows drawn for a class, white for background, else in the class's colour",
      "grey boxes: windows drawn because they do not show the class"};
  for (int64_t i = 0; i < 3; ++i) all.text(kGap + kBar, page.height() + 14 * i, lines[i]);
  return all;
}

}  // namespace

Canvas patch_sheet(const PatchImages& b, const std::vector<int64_t>& images, const SampledPatches& patches,
    const PatchOptions& o, const std::vector<std::string>& class_names, const std::string& title) {
  const int64_t zoom = std::max<int64_t>(1, 160 / std::max(b.width, b.height)), w = b.width * zoom,
                h = b.height * zoom;
  std::vector<Canvas> pictures;
  std::vector<std::string> captions;
  const auto add = [&](Canvas canvas, const std::string& caption) {
    pictures.push_back(std::move(canvas));
    captions.push_back(caption);
  };
  for (int64_t image : images) {
    const float* x = b.images + image * b.pixels() * b.channels;
    std::vector<uint8_t> label(size_t(b.pixels()));
    const float* p = b.confidence + image * b.pixels() * b.classes;
    for (size_t m = 0; m < label.size(); ++m)
      label[m] = uint8_t(std::max_element(p + int64_t(m) * b.classes, p + int64_t(m + 1) * b.classes) -
                         (p + int64_t(m) * b.classes));
    Canvas plain(w, h), classes(w, h);
    plain.image(0, 0, x, b.height, b.width, b.channels, zoom);
    classes.image(0, 0, x, b.height, b.width, b.channels, zoom);
    classes.overlay(0, 0, label.data(), b.height, b.width, zoom);
    add(plain, "image");
    add(classes, "(pseudo-)label");
    for (int64_t k = 0; k < b.classes; ++k) {
      Canvas confidence(w, h), entropy(w, h);
      confidence.heat(0, 0, confidence_map(b, image, k).data(), b.height, b.width, 0, 1, zoom);
      frame(confidence, patches.negative, image, k, o.side, zoom, kGrey);
      frame(confidence, patches.positive, image, k, o.side, zoom, ink(k));
      entropy.heat(0, 0, entropy_map(b, image, k, o.entropy_of).data(), b.height, b.width, 0, 1, zoom);
      frame(entropy, patches.positive, image, k, o.side, zoom, ink(k));
      add(confidence, "C " + class_name(class_names, k));
      add(entropy, "entropy " + class_name(class_names, k));
    }
  }
  return with_key(sheet(pictures, captions, 2 + 2 * b.classes, title));
}

Eigen::MatrixXd principal_components(const Eigen::MatrixXd& points) {
  const Eigen::MatrixXd centred = points.colwise() - points.rowwise().mean();
  const Eigen::SelfAdjointEigenSolver<Eigen::MatrixXd> solver(centred * centred.transpose());
  Eigen::MatrixXd axes = solver.eigenvectors().rightCols(2).rowwise().reverse();
  // An eigenvector's sign is arbitrary: make its largest entry positive, so that equal queues give equal
  // pictures.
  for (Eigen::Index a = 0; a < 2; ++a) {
    Eigen::Index largest;
    axes.col(a).cwiseAbs().maxCoeff(&largest);
    if (axes(largest, a) < 0) axes.col(a) *= -1;
  }
  return axes.transpose() * centred;
}

Canvas embedding_map(
    const EmbeddingQueue& queue, const std::vector<std::string>& class_names, const std::string& title) {
  constexpr int64_t kMost = 500, kSide = 480, kMargin = 24, kTop = 40;
  std::vector<int64_t> class_of;
  for (int64_t k = 0; k < queue.classes(); ++k)
    class_of.insert(class_of.end(), size_t(std::min(kMost, queue.size(k))), k);
  Canvas canvas(kSide, kSide + kTop, kWhite);
  canvas.text(kMargin, 8, title, kBlack);
  int64_t x = kMargin;
  for (int64_t k = 0; k < queue.classes(); ++k) {
    const std::string caption = class_name(class_names, k) + " " + std::to_string(queue.size(k));
    canvas.fill(x, 24, 8, 8, k == 0 ? kGrey : class_color(k));
    canvas.text(x + 12, 24, caption, kBlack);
    x += Canvas::text_width(caption) + 28;
  }
  if (class_of.size() < 3) return canvas;
  Eigen::MatrixXd points(queue.dimension(), Eigen::Index(class_of.size()));
  for (int64_t i = 0, in_class = 0; i < points.cols(); ++i) {
    in_class = i > 0 && class_of[size_t(i)] == class_of[size_t(i - 1)] ? in_class + 1 : 0;
    points.col(i) =
        Eigen::Map<const Eigen::VectorXf>(queue.newest(class_of[size_t(i)], in_class), queue.dimension())
            .cast<double>();
  }
  const Eigen::MatrixXd flat = principal_components(points);
  const double scale = (kSide / 2 - kMargin) / std::max(flat.cwiseAbs().maxCoeff(), 1e-12);
  for (int64_t i = 0; i < flat.cols(); ++i) {
    const int64_t k = class_of[size_t(i)];
    canvas.fill(kSide / 2 + int64_t(flat(0, i) * scale) - 1,
        kTop + kSide / 2 - int64_t(flat(1, i) * scale) - 1, 3, 3, k == 0 ? kGrey : class_color(k), 0.7);
  }
  return canvas;
}

}  // namespace patchcl
