// Pictures of the held-out cases of one validation: the best and the worst of them, and the first one again
// and again, so that one sees it being learned.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "data/volume.h"
#include "train/evaluate/inference.h"

namespace patchcl {

class HeldOutPictures {
 public:
  // What validated, as far as pictures tell of it; `arena` for its activations.
  HeldOutPictures(std::vector<std::string> foreground, const Predictor& network,
      const InferenceOptions& inference, const Arena& arena)
      : foreground_(std::move(foreground)), network_(network), inference_(inference), arena_(arena) {}
  void see(const Volume& v, const std::vector<uint8_t>& prediction, const CaseScores& scores);
  // FOLDER/best, worst and, where `step` is not 0, first-STEP, with that extension; of a network with
  // uncertainty gates their maps too. Error(io).
  void draw(const std::string& folder, const std::string& extension, int64_t step) const;

 private:
  struct Pictured {
    Volume volume;
    std::vector<uint8_t> prediction;
    CaseScores scores;
    double dice;
  };
  std::vector<std::string> foreground_;
  Predictor network_;
  InferenceOptions inference_;
  const Arena& arena_;
  std::shared_ptr<const Pictured> first_, best_, worst_;
};

}  // namespace patchcl
