// Scores that count objects, as the GlaS challenge scores glands (METHODS 9.1 to 9.4): one object split in
// two or two that became one cost much, where Dice of the class would hardly see it.
//
// A map numbers its objects: 0 background, pixels of equal number one object, connected or not. The partner
// of an object is the object of the other map that covers most of its pixels, of equals the one of the
// smallest number; an object that lies on background only has none.
//   F1         s is a true positive when it has a partner g and |s n g| / |g| > 1/2 (strictly), else a false
//              positive; false negatives are the reference's objects less the true positives.
//   Dice       1/2 [ sum |s|/|S| Dice(s, partner) + sum |g|/|G| Dice(g, partner) ], 0 without a partner.
//   Hausdorff  the same sum of H(a,b), the largest distance from a pixel of either to the other, over all
//              pixels and not the borders alone; without a partner the smallest H to any object
//              of the other map.
// Both maps empty: 1, 1, 0. One of them: 0, 0 and the image's diagonal (ours; the challenge's is infinite).
#pragma once
#include "train/evaluate/metrics.h"

namespace patchcl {

// What the scores are made of. Added over images: the pooled scores, with |S| and |G| those of all images.
struct ObjectSums {
  int64_t tp = 0, fp = 0, fn = 0;
  // Over the objects of one map: of their pixels, and of pixels times the score with the partner.
  struct Side {
    int64_t pixels = 0;
    double dice = 0, hausdorff = 0;
  } prediction, reference;
  ObjectSums& operator+=(const ObjectSums& other);
};
// Of two maps (D,H,W); the extent's spacing is what distances are measured with.
ObjectSums sum_objects(
    const std::vector<int32_t>& prediction, const std::vector<int32_t>& reference, const MaskExtent& extent);

struct ObjectScores {
  double f1, dice, hausdorff;
};
ObjectScores object_scores(const ObjectSums& sums);

// Scores of images, their mean, and those of all objects together. A table must say which one it shows.
struct ObjectSummary {
  struct Image {
    std::string id;
    ObjectSums sums;
  };
  std::vector<Image> images;
  ObjectSums total;
  ObjectScores mean, pooled;
};
ObjectSummary summarise_objects(std::vector<ObjectSummary::Image> images);

}  // namespace patchcl
