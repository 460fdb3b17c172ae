#include "data/layouts/mask_names.h"

#include <algorithm>
#include <iterator>
#include <vector>

#include "tensor/error.h"

namespace patchcl {

namespace {

const std::vector<std::string> kSuffixes{
    "_mask", "_masks", "_label", "_labels", "_seg", "_segmentation", "_anno", "_annotation", "_gt"},
    kImageSuffixes{"_image", "_img"};

// "x" of "x_mask"; of "x_mask_1" the image "x_1" where there is one, else "x"; empty without such a suffix.
std::string image_of_mask(const Files& images, const std::string& stem) {
  const size_t end = stem.find_last_not_of("0123456789");
  const bool numbered = end != std::string::npos && stem[end] == '_' && end + 1 < stem.size();
  const std::string name = numbered ? stem.substr(0, end) : stem, number = numbered ? stem.substr(end) : "";
  for (const std::string& suffix : kSuffixes) {
    if (!name.ends_with(suffix) || name.size() == suffix.size()) continue;
    const std::string image = name.substr(0, name.size() - suffix.size());
    return images.contains(image + number) ? image + number : image;
  }
  return "";
}

bool has_mask_beside(const Files& files, const std::string& stem) {
  return std::any_of(kSuffixes.begin(), kSuffixes.end(),
      [&](const std::string& suffix) { return files.contains(stem + suffix); });
}

// The stem under which `images` have it: `stem`, or that with a suffix; empty where they have none.
std::string stem_in(const Files& images, const std::string& stem) {
  if (stem.empty() || images.contains(stem)) return stem;
  for (const std::string& suffix : kImageSuffixes)
    if (images.contains(stem + suffix)) return stem + suffix;
  return "";
}

// Whether there is an image of that stem; one of "stem_image" is called by it from then on.
bool finds(Files& images, const std::string& stem) {
  auto image = images.extract(stem_in(images, stem));
  if (image.empty()) return false;
  image.key() = stem;
  images.insert(std::move(image));
  return true;
}

void add_mask(Files& masks, const std::string& image, const std::string& path) {
  const auto [other, added] = masks.emplace(image, path);
  if (!added)
    fail(ExitCode::data, "data", other->second, " and ", path, " are both masks of the image '", image,
        "'; join them in one file, or take one of them away");
}

bool is_ascii(const std::string& name) {
  return std::all_of(name.begin(), name.end(), [](unsigned char c) { return c < 0x80; });
}

// A name without its accents and whatever else is no ASCII: "M?ller" of both forms of "Müller".
std::string bare(const std::string& name) {
  std::string text;
  for (size_t i = 0; i < name.size(); ++i) {
    const auto byte = [&](size_t at) { return at < name.size() ? uint8_t(name[at]) : uint8_t(0); };
    const bool mark = byte(i) == 0xCC || (byte(i) == 0xCD && byte(i + 1) < 0xB0);  // U+0300 to U+036F
    if (mark && !text.empty()) text.back() = '?';
    else if (byte(i) < 0x80) text += name[i];
    else if (byte(i) >= 0xC0) text += '?';
    if (mark) ++i;
  }
  return text;
}

}  // namespace

Files masks_beside(Files& images, Files& lonely) {
  Files masks;
  const Files all = images;
  for (const auto& [stem, path] : all) {
    const std::string image = image_of_mask(all, stem);
    if (image.empty() || has_mask_beside(all, stem)) continue;  // "x_seg" beside "x_seg_mask" is an image
    if (!finds(images, image)) {
      lonely[stem] = path;
      continue;
    }
    add_mask(masks, image, path);
    images.erase(stem);
  }
  return masks;
}

std::set<std::string> masks_among(const Files& files) {
  std::set<std::string> stems;
  for (const auto& [stem, path] : files)
    if (!has_mask_beside(files, stem) && !stem_in(files, image_of_mask(files, stem)).empty())
      stems.insert(stem);
  return stems;
}

Files masks_apart(Files& images, const Files& candidates, Files& lonely) {
  Files masks;
  for (const auto& [stem, path] : candidates) {
    const std::string image = finds(images, stem) ? stem : image_of_mask(images, stem);
    if (finds(images, image)) add_mask(masks, image, path);
    else lonely[stem] = path;
  }
  return masks;
}

std::string look_alike(const Files& images, const Files& lonely) {
  for (const auto& [mask, path] : lonely) {
    if (is_ascii(mask)) continue;
    const std::string of_mask = image_of_mask(images, mask), names[] = {bare(mask), bare(of_mask)};
    for (const auto& [image, other] : images)
      if (!is_ascii(image) && image != mask && image != of_mask &&
          std::count(std::begin(names), std::end(names), bare(image)))
        return "; " + path + " and " + other +
               " look alike, but the names differ in their Unicode form (NFC and NFD); "
               "rename the files of one kind (convmv --nfc)";
  }
  return "";
}

}  // namespace patchcl
