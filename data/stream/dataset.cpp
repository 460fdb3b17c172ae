#include "data/stream/dataset.h"

#include <algorithm>
#include <map>
#include <mutex>
#include <set>
#include <utility>

#include "data/class_names.h"
#include "data/formats/readers.h"
#include "data/layouts/mask_values.h"
#include "data/layouts/palettes.h"
#include "data/objects.h"
#include "data/layouts/case_lists.h"
#include "tensor/error.h"
#include "tensor/text.h"

namespace patchcl {

namespace {
constexpr size_t kCacheBytes = size_t(3) << 29;

void add_values(const std::vector<Source>& sources, MaskValues& values, Palettes& palettes) {
  for (const Source& s : sources) {
    const Grid stored = s.label();
    palettes.add(stored, s.label_path);
    values.add(stored, s.label_path);
  }
}

// A network that sees background alone learns to say it everywhere, with a falling loss.
void demand_foreground(const MaskValues& labeled, size_t masks) {
  if (labeled.seen() != std::vector<uint8_t>{0}) return;
  fail(ExitCode::data, "data", "the ", masks,
      " labelled training masks hold nothing but 0, the background; look at how the masks were written, or "
      "name other cases with --labeled");
}

size_t bytes_of(const Volume& v) {
  return v.image.size() * sizeof(float) + v.label.size() + v.objects.size() * sizeof(int32_t);
}
}  // namespace

// Cases once read, first come first kept: an epoch touches all of them, so evicting would gain nothing.
struct Dataset::Cache {
  std::mutex mutex;
  std::map<int64_t, std::shared_ptr<const Volume>> cases;
  size_t bytes = 0;
  Palettes palettes;
};

Dataset::Dataset(Dataset&&) noexcept = default;
Dataset::~Dataset() = default;

Dataset Dataset::open(const std::string& where, const DatasetOptions& options) {
  return Dataset(open_layout(where, options.read), options);
}

Dataset::Dataset(Layout layout, const DatasetOptions& options) : cache_(std::make_unique<Cache>()) {
  CaseLists lists = case_lists(std::move(layout), options);
  fingerprint_ = lists.fingerprint();
  layout_ = std::move(lists.layout);
  const std::vector<Source>& train = layout_.train;
  const std::vector<Source> labeled(train.begin(), train.begin() + lists.labeled);
  for (int64_t i = 0; i < int64_t(train.size()); ++i) {
    for (int64_t slice = 0; slice < train[size_t(i)].depth; ++slice) items_.push_back({i, slice});
    if (i < lists.labeled) labeled_items_ = int64_t(items_.size());
  }
  cases_ = int64_t(groups_of(train).size());
  labeled_cases_ = int64_t(groups_of(labeled).size());
  evaluated_ = options.split == Split::train ? labeled : layout_.of(options.split);
  std::erase_if(evaluated_, [](const Source& s) { return !s.labeled(); });
  find_classes(labeled, options.classes);
  border_ = options.border;
  if (border_ > 0) {
    class_names_.push_back("border");
    layout_.notes.push_back("border class of " + std::to_string(border_) +
                            " pixels around each object, grown back after the network");
  }
  channels_ = item(0).channels;
}

void Dataset::find_classes(const std::vector<Source>& labeled, int64_t classes) {
  class_names_ = layout_.class_names;
  if (classes == 0) classes = layout_.labels.classes();
  if (class_names_.empty() && classes == 0) {
    MaskValues values;
    add_values(labeled, values, cache_->palettes);
    demand_foreground(values, labeled.size());
    add_values(evaluated_, values, cache_->palettes);
    const bool binary = layout_.pictures && values.black_and_white();
    if (!binary) values.demand_class_numbers();
    classes = binary ? 2 : std::max<int64_t>(int64_t(values.seen().size()), 2);
    if (const std::string note = values.note_on_objects(); !note.empty()) layout_.notes.push_back(note);
  }
  if (classes > 0) {
    class_names_.resize(size_t(std::min(classes, int64_t(class_names_.size()))));
    class_names_ = named_up_to(class_names_, classes);
  }
}

// Those that no label to train on shows, with their numbers.
std::vector<std::string> Dataset::unseen_classes() const {
  std::set<uint8_t> seen;
  for (int64_t i = 0; i < labeled_items_ && int64_t(seen.size()) < classes(); ++i) {
    const Slice s = item(i);
    seen.insert(s.label, s.label + s.height * s.width);
  }
  std::vector<std::string> unseen;
  for (int64_t k = 0; k < classes(); ++k)
    if (!seen.contains(uint8_t(k))) unseen.push_back(std::to_string(k) + " " + class_names_[size_t(k)]);
  return unseen;
}

std::string Dataset::describe() const {
  TextOut s;
  s << "data: " << layout_.name << ", " << counted(cases_, "training patient") << " ("
    << counted(int64_t(layout_.train.size()), "file") << ", " << counted(items(), "image") << "), "
    << labeled_cases_ << " of them labelled (" << counted(labeled_items_, "image") << "); "
    << counted(validation_cases(), "held-out case") << "; " << counted(channels_, "channel") << ", "
    << classes() << " classes:";
  for (int64_t k = 0; k < classes(); ++k) s << (k ? ", " : " ") << k << " " << class_names_[size_t(k)];
  s << "\n";
  if (labeled_items_ == items())
    s << "  all have labels: where a method wants images without, it gets these, their labels unread\n";
  if (const std::vector<std::string> unseen = unseen_classes(); !unseen.empty())
    s << "  no labelled image shows " << listed(unseen, ", ")
      << ", which cannot be learnt; label other cases (--labeled)\n";
  if (validation_cases() == 0) s << "  nothing to validate on; --val N holds cases out\n";
  for (const std::string& note : layout_.notes) s << "  " << note << "\n";
  return s.str();
}

Volume Dataset::read(const Source& source, bool with_label) const {
  const Grid image = source.image();
  if (!with_label) return to_volume(source.id, source.path, image, nullptr, "");
  const Grid stored = source.label();
  if (layout_.numbers_are_classes()) {
    const std::lock_guard lock(cache_->mutex);
    cache_->palettes.add(stored, source.label_path);
  }
  const Grid label = class_numbers(layout_, stored, source.label_path);
  Volume v = to_volume(source.id, source.path, image, &label, source.label_path);
  if (layout_.instance_masks) v.objects = object_numbers(stored, source.label_path);
  if (class_names_.empty()) return v;  // while the classes are still being counted
  const auto worst = std::max_element(v.label.begin(), v.label.end());
  const int64_t known = classes() - (border_ > 0);
  if (worst != v.label.end() && *worst >= known)
    fail(ExitCode::data, "data", source.label_path, ": label ", int(*worst), " outside the ", known,
        " classes 0..", known - 1,
        "; other values are numbered with --label-values, numbered objects are read with --instance-masks "
        "true");
  return v;
}

// Borders of the numbered objects, or of the components where masks hold classes.
void Dataset::mark_borders(Volume& v) const {
  if (border_ == 0 || v.label.empty()) return;
  for (int64_t z = 0; z < v.depth; ++z) {
    uint8_t* const label = v.label.data() + z * v.slice_pixels();
    const std::vector<int32_t> components =
        v.objects.empty() ? number_objects(label, v.height, v.width, {.least = 1, .fill_holes = false})
                          : std::vector<int32_t>{};
    const int32_t* const numbers =
        v.objects.empty() ? components.data() : v.objects.data() + z * v.slice_pixels();
    mark_border(label, numbers, v.height, v.width, border_, uint8_t(classes() - 1));
  }
  v.objects.clear();
}

Slice Dataset::item(int64_t i) const {
  const Item at = items_.at(size_t(i));
  const Source& source = layout_.train[size_t(at.source)];
  std::shared_ptr<const Volume> v;
  {
    const std::lock_guard lock(cache_->mutex);
    if (const auto found = cache_->cases.find(at.source); found != cache_->cases.end()) v = found->second;
  }
  if (!v) {
    Volume now = read(source, i < labeled_items_);
    mark_borders(now);
    v = std::make_shared<const Volume>(std::move(now));
    if (v->depth != source.depth)
      fail(ExitCode::data, "data", source.path, ": a training slice, but it holds ", v->depth, " slices");
    const std::lock_guard lock(cache_->mutex);
    if (cache_->bytes + bytes_of(*v) <= kCacheBytes && cache_->cases.emplace(at.source, v).second)
      cache_->bytes += bytes_of(*v);
  }
  Slice s;
  s.id = v->depth == 1 ? v->id : v->id + " slice " + std::to_string(at.slice);
  s.path = source.path;
  s.height = v->height;
  s.width = v->width;
  s.channels = v->channels;
  s.image = v->image.data() + at.slice * v->slice_pixels() * v->channels;
  s.label = v->label.empty() ? nullptr : v->label.data() + at.slice * v->slice_pixels();
  s.owner = std::move(v);
  return s;
}

Volume Dataset::validation(int64_t i) const { return read(evaluated_.at(size_t(i)), true); }

const std::vector<std::string>& fit_names() {
  static const std::vector<std::string> names{"resize", "bilinear", "crop"};
  return names;
}

Fit Dataset::fit(int64_t size) const {
  if (layout_.volumes) return Fit::resize;
  const bool large = std::all_of(layout_.train.begin(), layout_.train.end(),
      [&](const Source& s) { return s.height >= size && s.width >= size; });
  return large ? Fit::crop : Fit::resize;
}

}  // namespace patchcl
