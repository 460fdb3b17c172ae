#include "train/evaluate/held_out_pictures.h"

#include <cmath>

#include "train/evaluate/report.h"
#include "train/evaluate/uncertainty_panels.h"

namespace patchcl {

void HeldOutPictures::see(const Volume& v, const std::vector<uint8_t>& prediction, const CaseScores& scores) {
  double dice = 0;
  for (const Scores& s : scores.classes)
    dice += std::isnan(s.dice) ? 0 : s.dice / double(scores.classes.size());
  const bool better = !best_ || dice > best_->dice, worse = !worst_ || dice < worst_->dice;
  if (!better && !worse) return;
  const auto seen = std::make_shared<const Pictured>(v, prediction, scores, dice);
  if (!first_) first_ = seen;
  if (better) best_ = seen;
  if (worse) worst_ = seen;
}

void HeldOutPictures::draw(const std::string& folder, const std::string& extension, int64_t step) const {
  const auto draw_case = [&](const std::string& name, const std::shared_ptr<const Pictured>& c) {
    if (!c) return;
    const Canvas pictures = overlay(c->volume, c->prediction, dice_legend(foreground_, c->scores));
    save_overlay(
        folder + "/" + name + extension, with_uncertainty(pictures, network_, c->volume, inference_, arena_));
  };
  draw_case("best", best_);
  draw_case("worst", worst_);
  if (step > 0) draw_case("first-" + std::to_string(step), first_);
}

}  // namespace patchcl
