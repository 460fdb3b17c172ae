// Dataset: the cases of a folder cut into labelled, unlabelled and validation parts, and read on demand.
//
// The labelled budget is the first N cases of the list (patients for ACDC: 3, 7, 14 ... are "5 %", "10 %",
// "20 %", METHODS 4.1); without a validation list the last cases are held out. Both are functions of the list
// alone (data/layouts/splits.h). A label that lies outside the budget is never opened.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "data/layouts/splits.h"
#include "data/volume.h"

namespace patchcl {

// One 2-D training image: a window on a cached case.
struct Slice {
  std::string id;    // "patient099_frame01_slice_15", "hippocampus_001 slice 12"
  std::string path;  // the file, for messages
  int64_t height = 0, width = 0, channels = 1;
  const float* image = nullptr;    // H*W*C in [0,1]
  const uint8_t* label = nullptr;  // H*W, or null when the item is unlabelled
  std::shared_ptr<const Volume> owner;
};

// How an image meets a network of fixed input size: resized as a whole, to the nearest pixel (METHODS 4.2) or
// bilinearly (2.6), or cut at its own scale.
enum class Fit { resize, bilinear, crop };
const std::vector<std::string>& fit_names();  // in the order of the values

class Dataset {
 public:
  // Throws Error(data) for a damaged folder, for zero labelled cases and for masks that are not 0..K-1
  // (naming the option that numbers them), Error(usage) for a budget beyond the cases.
  Dataset(Layout layout, const DatasetOptions& options);
  static Dataset open(const std::string& where, const DatasetOptions& options = {});
  Dataset(Dataset&&) noexcept;
  ~Dataset();

  const std::string& layout() const { return layout_.name; }
  int64_t channels() const { return channels_; }
  // With the border class, the last, where there is one: training items hold it, validation cases do not.
  int64_t classes() const { return int64_t(class_names_.size()); }
  const std::vector<std::string>& class_names() const { return class_names_; }  // "background" first
  // crop for folders of images that are all at least `size` high and wide, else resize.
  Fit fit(int64_t size) const;

  // Training items, the labelled ones first: [0, labeled_items()) and [labeled_items(), items()).
  int64_t items() const { return int64_t(items_.size()); }
  int64_t labeled_items() const { return labeled_items_; }
  // Training patients (Source::group).
  int64_t labeled_cases() const { return labeled_cases_; }
  int64_t cases() const { return cases_; }
  // Thread-safe. Cases stay in memory up to a budget of 1.5 GiB, so a second epoch reads no file.
  Slice item(int64_t i) const;

  // That of CaseLists.
  const std::string& fingerprint() const { return fingerprint_; }

  // What was found and how it was read and divided, for people: one fact a line. Reads labelled images until
  // each class was seen.
  std::string describe() const;

  // What is scored: the volumes and images with labels of the validation split, or of the one that the
  // options name, in list order.
  int64_t validation_cases() const { return int64_t(evaluated_.size()); }
  Volume validation(int64_t i) const;
  const std::string& validation_id(int64_t i) const { return evaluated_.at(size_t(i)).id; }

 private:
  struct Item {
    int64_t source, slice;
  };
  struct Cache;
  Volume read(const Source& source, bool with_label) const;
  void mark_borders(Volume& v) const;
  void find_classes(const std::vector<Source>& labeled, int64_t classes);
  std::vector<std::string> unseen_classes() const;

  Layout layout_;
  std::vector<Source> evaluated_;
  std::string fingerprint_;
  std::vector<std::string> class_names_;
  std::vector<Item> items_;
  int64_t labeled_items_ = 0, labeled_cases_ = 0, cases_ = 0, channels_ = 1, border_ = 0;
  std::unique_ptr<Cache> cache_;
};

}  // namespace patchcl
