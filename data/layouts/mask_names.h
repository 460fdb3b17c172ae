// Which file is the mask of which image, by their names alone.
//
// A mask has the stem of its image, with or without a suffix: _mask _label _seg _gt ... Where only an image's
// suffix, _image or _img, keeps the two apart, the case is called without it.
#pragma once
#include <map>
#include <set>
#include <string>

namespace patchcl {

using Files = std::map<std::string, std::string>;  // stem to path

// The masks that lie beside their images, by the images that they belong to; from `images` they are taken
// out. `lonely` are those without an image, which may be images themselves. Error(data) for two masks of one
// image.
Files masks_beside(Files& images, Files& lonely);

// Likewise those of `candidates`, of a folder of their own.
Files masks_apart(Files& images, const Files& candidates, Files& lonely);

// The stems of files that are masks of others beside them.
std::set<std::string> masks_among(const Files& files);

// "; ä and ä look alike ..." where a mask without an image has the name of one in another Unicode form, as
// file systems of Apple write it; else nothing.
std::string look_alike(const Files& images, const Files& lonely);

}  // namespace patchcl
