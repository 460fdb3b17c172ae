// Fuzzing by coverage: what reads a file of a user's, as libFuzzer wants it. One program for all targets;
// TARGET=png says which, FOLDER where its file is written. A file may be refused by an Error; anything else
// that happens is a find.
// (.cc, so that the tests' build leaves it alone: make fuzz.)
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <string>

#include "data/formats/readers.h"
#include "data/layouts/layout.h"
#include "tensor/file.h"
#include "train/commands/grid.h"
#include "train/setup/checkpoint.h"
#include "train/setup/config.h"

using namespace patchcl;

namespace {

struct Target {
  const char* name;
  const char* file;  // what the bytes are called in a folder of their own
  void (*read)(const std::string& path);
};

void image(const std::string& path) {
  const Grid g = read_grid(path);
  normalized(g, path);
  to_label(g, path);
}

void layout(const std::string& path) { open_layout(std::filesystem::path(path).parent_path().string()); }

const Target kTargets[] = {
    {"png", "a.png", image},
    {"jpeg", "a.jpg", image},
    {"bmp", "a.bmp", image},
    {"tiff", "a.tif", image},
    {"nifti", "a.nii", image},
    {"nifti-gz", "a.nii.gz", image},
    {"h5", "a.h5", image},
    {"safetensors", "a.safetensors", [](const std::string& p) { load_tensors(p, Arena("fuzz")); }},
    {"weights", "a.safetensors", [](const std::string& p) { load_model(p, Arena("fuzz")); }},
    {"checkpoint", "last.safetensors", [](const std::string& p) { config_of(p); }},
    {"dataset", "dataset.json", layout},
    {"splits", "train_slices.list", layout},
    {"list", "train.list", [](const std::string& p) { read_list(p); }},
    {"config", "config.toml", [](const std::string& p) { from_toml(read_text(p), p); }},
    {"plan", "a.plan", [](const std::string& p) { parse_plan(read_text(p), p); }},
};

const Target* target = nullptr;
std::string path;

}  // namespace

extern "C" int LLVMFuzzerInitialize(int*, char***) {
  const char* const name = std::getenv("TARGET");
  for (const Target& t : kTargets)
    if (name && t.name == std::string(name)) target = &t;
  if (!target) {
    for (const Target& t : kTargets) std::printf("%s\n", t.name);
    std::exit(name && std::string(name) == "list-targets" ? 0 : 2);
  }
  path = (std::filesystem::path(std::getenv("FOLDER")) / target->file).string();
  return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t n) {
  std::FILE* const f = std::fopen(path.c_str(), "wb");
  std::fwrite(bytes, 1, n, f);
  std::fclose(f);
  try {
    target->read(path);
  } catch (const Error&) {
  }
  return 0;
}
