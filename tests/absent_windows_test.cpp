// Windows that do not show a class as its negatives: Boserup and Selvan's loss, and InfoNCE's further ones.
#include "tests/patchcl_parts.h"

#include <cmath>

using namespace patchcl;
using namespace patchcl::test;

namespace {
using Vectors = std::vector<std::vector<double>>;

Tensor rows_of(const Arena& arena, const Vectors& v) {
  const Tensor t = arena.empty({int64_t(v.size()), kDimension}, DType::f32);
  for (size_t i = 0; i < v.size(); ++i)
    for (size_t d = 0; d < size_t(kDimension); ++d)
      t.data<float>()[i * size_t(kDimension) + d] = float(v[i][d]);
  return t;
}

Vectors both(Vectors a, const Vectors& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

// Embeddings in the queues of all classes together.
int64_t queued_in(const TensorFile& file) {
  int64_t count = 0;
  for (const auto& [name, t] : file.tensors)
    if (name.ends_with(".position")) count += t.data<int64_t>()[0];
  return count;
}

// log sum_q e^{<a,q>/tau} - mean_p <a,p>/tau, from the definition; 0 without a negative.
double pulled_and_pushed(
    const std::vector<double>& a, const Vectors& positive, const Vectors& negative, double tau) {
  const auto similarity = [&](const std::vector<double>& q) { return (a[0] * q[0] + a[1] * q[1]) / tau; };
  double sum = 0, mean = 0;
  for (const auto& q : negative) sum += std::exp(similarity(q));
  for (const auto& p : positive) mean += similarity(p) / double(positive.size());
  return sum > 0 ? std::log(sum) - mean : 0;
}
}  // namespace

using IntraInter = PatchClParts;

TEST_F(IntraInter, IsItsDefinitionOnKnownEmbeddings) {
  OpenPatchCl& method = make({{"contrast", "intra-inter"}, {"tau", "0.7"}});
  Step step = step_at(5);
  const std::vector<int32_t> classes{0, 0, 1, 2, 2}, classes_without{1, 0, 2, 0};
  const Vectors anchors{{1, 0}, {0.6, 0.8}, {0, 1}, {-1, 0}, {-0.8, 0.6}},
      keys{{0.8, 0.6}, {1, 0}, {0.6, -0.8}, {0, -1}, {-0.6, 0.8}},
      without{{0.3, 0.2}, {-0.5, 0.1}, {0.9, 0.1}, {0, 0.4}};
  const Patches patches{.classes = classes, .classes_without = classes_without};
  double want = 0;
  for (int32_t k = 0; k < int32_t(kClasses); ++k) {
    Vectors own, absent, others;
    for (size_t i = 0; i < keys.size(); ++i) (classes[i] == k ? own : others).push_back(keys[i]);
    for (size_t i = 0; i < without.size(); ++i)
      if (classes_without[i] == k) absent.push_back(without[i]);
    for (size_t i = 0; i < anchors.size(); ++i) {
      if (classes[i] != k) continue;
      want += (pulled_and_pushed(anchors[i], own, absent, 0.7) +
                  pulled_and_pushed(anchors[i], own, others, 0.7)) /
              double(own.size());
    }
  }
  const Var got = method.intra_inter(step, tape_->constant(rows_of(arena_, anchors), "anchors"), patches,
      rows_of(arena_, both(keys, without)));
  EXPECT_NEAR(double(got.value().data<float>()[0]), want / double(kClasses), 1e-5);
}

// Class 0 on the left, 1 on the right, in black and white columns: image times confidence is black, but for
// the noise of a view, exactly where a window does not show its class.
TEST_F(IntraInter, DrawsWindowsThatDoNotShowTheClass) {
  OpenPatchCl& method = make({{"contrast", "intra-inter"}, {"patch-stride", "16"}, {"parity", "threshold"},
      {"labeled-windows", "true"}});
  for (int64_t i = 0; i < kImages * kSide * kSide; ++i) {
    batch_.labels().data<uint8_t>()[i] = uint8_t(i % kSide >= kSide / 2);
    batch_.images().data<float>()[i] = float(i % 2);
  }
  const Patches p = method.draw_patches(step_at(5), undecided());
  ASSERT_FALSE(p.classes_without.empty());
  const int64_t pixels = kPatchSide * kPatchSide;
  ASSERT_EQ(p.augmented.numel(), (p.shown() + p.absent()) * pixels);
  for (int64_t i = 0; i < p.absent(); ++i) {
    const float* x = p.augmented.data<float>() + (p.shown() + i) * pixels;
    double mean = 0, variance = 0;
    for (int64_t m = 0; m < pixels; ++m) mean += double(x[m]) / double(pixels);
    for (int64_t m = 0; m < pixels; ++m) variance += std::pow(double(x[m]) - mean, 2) / double(pixels);
    EXPECT_LT(variance, 0.01) << i;
  }
}

// Negatives of class 0 are class 1's queue and the windows without 0; windows without another class are none.
TEST_F(IntraInter, WindowsWithoutTheClassJoinTheQueuesOfInfoNce) {
  OpenPatchCl& method =
      make_queued({{"contrast", "info-nce"}, {"info-nce-tau", "0.7"}, {"absent-negatives", "true"}});
  fill_queues(method, {{1, 0, 0.8f, 0.6f}, {-1, 0, -0.6f, 0.8f}});
  Step step = step_at(5);
  const Vectors anchors{{1, 0}, {0.6, 0.8}, {-1, 0}, {0, 1}}, keys{{0.8, 0.6}, {1, 0}, {0, -1}, {0, 1}},
      queues[] = {{{1, 0}, {0.8, 0.6}}, {{-1, 0}, {-0.6, 0.8}}},
      without{{0.3, 0.2}, {-0.5, 0.1}, {0.9, 0.1}, {0, 0.4}};
  // The last class has no queue yet: no anchor.
  const Patches patches{.classes = {0, 0, 1, 2}, .classes_without = {1, 0, 2, 0}};
  double want = 0;
  for (size_t i = 0; i < 3; ++i) {
    const int32_t k = patches.classes[i];
    Vectors all = queues[1 - k];
    for (size_t j = 0; j < without.size(); ++j)
      if (patches.classes_without[j] == k) all.push_back(without[j]);
    all.push_back(keys[i]);
    want += pulled_and_pushed(anchors[i], {keys[i]}, all, 0.7) / 3;
  }
  const Var got = method.against_queue_and_absent(step, tape_->constant(rows_of(arena_, anchors), "anchors"),
      patches, rows_of(arena_, both(keys, without)));
  EXPECT_NEAR(double(got.value().data<float>()[0]), want, 1e-5);
}

// Windows without their class are embedded in the batch of those with it: their rows are not those of a batch
// of their own, and no queue gets them.
TEST_F(IntraInter, EmbedsWindowsOfBothKindsAsOneBatch) {
  OpenPatchCl& method = make({{"contrast", "intra-inter"}, {"patch-stride", "16"}, {"parity", "threshold"},
      {"labeled-windows", "true"}});
  for (int64_t i = 0; i < kImages * kSide * kSide; ++i) {
    batch_.labels().data<uint8_t>()[i] = uint8_t(i % kSide >= kSide / 2);
    batch_.images().data<float>()[i] = float(i % 7) / 7;
  }
  Step step = step_at(5);
  const Patches p = method.draw_patches(step, undecided());
  ASSERT_GT(p.absent(), 1);
  const Tensor keys = method.enqueue(step, p),
               alone = method.teacher_embeddings(step, p.augmented.rows(p.shown(), p.absent()), {}),
               together = method.teacher_embeddings(step, p.augmented, {});
  ASSERT_EQ(keys.shape(), together.shape());
  double apart = 0;
  for (int64_t i = 0; i < keys.numel(); ++i) EXPECT_EQ(keys.item(i), together.item(i));
  for (int64_t i = 0; i < alone.numel(); ++i)
    apart = std::max(apart, std::abs(double(alone.item(i) - keys.item(p.shown() * kDimension + i))));
  EXPECT_GT(apart, 1e-2);
  TensorFile file;
  method.save(file);
  EXPECT_EQ(queued_in(file), p.shown());
}
