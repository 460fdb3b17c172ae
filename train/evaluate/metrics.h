// Segmentation metrics per class: Dice, Jaccard, HD95 and ASD as medpy.metric.binary defines dc, jc, hd95 and
// asd.
//
// For a prediction P and a reference R (voxel sets of one class):
//   Dice = 2|P n R| / (|P| + |R|),   Jaccard = |P n R| / |P u R|;
//   the surface S(A) is A minus its erosion by the 6-neighbourhood (4-neighbourhood in 2-D), where everything
//   outside the image counts as background: a voxel of A on the image's border always belongs to the surface;
//   d(A -> B) = { min over b in S(B) of |a - b| : a in S(A) }, Euclidean between voxel centres;
//   HD95 = 95th percentile (numpy's linear interpolation) of d(P -> R) and d(R -> P) together;
//   ASD = mean of d(P -> R), not symmetric.
// A volume of one slice is a 2-D image. Distances come from an exact Euclidean distance transform
// (Felzenszwalb and Huttenlocher, "Distance transforms of sampled functions", Theory of Computing 8, 2012).
//
// Counts of voxels give further scores, for which empty masks have no rule: undefined where the denominator
// is 0.
//   sensitivity = TP / (TP + FN),   specificity = TN / (TN + FP)   of one class;
//   pixel accuracy = share of the voxels of a case whose class is right, the background's too;
//   pooled Dice = 2 TP / (2 TP + FP + FN) with counts summed over all cases.
//
// Where papers differ silently, an option says it aloud:
//   spacing  voxel: the distance between neighbours is 1 along every axis, as SSL4MIS has it (METHODS 4.5);
//            mm: the spacing of the file.
//   empty    what a class scores that is empty in the prediction, in the reference, or in both:
//              rule      one of them empty                                  both empty
//              nan       Dice = Jaccard = 0, distances undefined            all undefined
//              zero      all 0 (flatters distances: 0 is the best value)    all 0
//              penalty   Dice = Jaccard = 0, distances = image diagonal     Dice = Jaccard = 1, distances 0
//            Undefined values are left out of means, and their number is reported.
#pragma once
#include <array>
#include <cstdint>
#include <string>
#include <vector>

namespace patchcl {

enum class Spacing { voxel, mm };
enum class EmptyRule { nan, zero, penalty };

struct MetricOptions {
  Spacing spacing = Spacing::voxel;
  EmptyRule empty = EmptyRule::nan;
  // SSL4MIS's validation and the tables that follow it: voxels, empty predictions score 0.
  static MetricOptions ssl4mis() { return {Spacing::voxel, EmptyRule::zero}; }
};
// Error(data) where distances are in mm and `path` does not say how far apart its voxels are (Grid).
void demand_spacing(const MetricOptions& options, bool known, const std::string& path);
// The conventions in words, to print beside the numbers.
std::string describe(const MetricOptions& options);

// The size of a mask (D,H,W) and the distance between neighbouring voxels along each axis in mm.
struct MaskExtent {
  int64_t depth, height, width;
  std::array<double, 3> spacing{1, 1, 1};
  double diagonal() const;  // between the centres of opposite corners
};

struct Scores {
  double dice, jaccard, hd95, asd;  // NaN where undefined
};

// Scores of class `c` of two label masks (D,H,W).
Scores score(const uint8_t* prediction, const uint8_t* reference, int c, const MaskExtent& extent,
    const MetricOptions& options);

// Voxels of one class that are in both masks, the prediction, the reference or neither alone.
struct Counts {
  int64_t tp = 0, fp = 0, fn = 0, tn = 0;
  Counts& operator+=(const Counts& other);
  double dice() const;  // NaN where undefined, like those below
  double sensitivity() const;
  double specificity() const;
};

struct CaseScores {
  std::string id;
  std::vector<Scores> classes;      // foreground classes 1..K-1
  std::vector<Counts> counts = {};  // of the same
  double accuracy = 0;              // pixel accuracy
};
CaseScores score_case(const std::string& id, const uint8_t* prediction, const uint8_t* reference,
    int class_count, const MaskExtent& extent, const MetricOptions& options);

// Mean over cases for each class, then over classes.
struct Summary {
  std::vector<CaseScores> cases;
  std::vector<Scores> classes;
  Scores mean;
  int64_t undefined = 0;  // values among the cases' that no mean contains
  // Over all voxels of all cases; their dice() is the pooled one. The pixel accuracy is the mean of the
  // cases'.
  std::vector<Counts> counts;
  double accuracy = 0;
};
Summary summarise(std::vector<CaseScores> cases);

// Squared Euclidean distance from each voxel to the nearest voxel where `site` is not 0; infinite when there
// is none. With the extent's spacing.
std::vector<double> squared_distances(const std::vector<uint8_t>& site, const MaskExtent& extent);

}  // namespace patchcl
