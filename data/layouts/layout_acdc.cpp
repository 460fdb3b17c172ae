// ACDC as its challenge ships it (Bernard et al. 2018): one folder a patient, training/patientNNN/ with
// patientNNN_frameMM.nii.gz and patientNNN_frameMM_gt.nii.gz for the end of diastole and of systole, Info.cfg
// and a film patientNNN_4d.nii.gz, which is not read.
//
// It becomes what SSL4MIS made of it (METHODS 4.1): frames are called 01 and 02 in their order, volumes are
// normalised by their extremes, and of the 100 training patients 70 train, 10 validate and 20 test, as its
// lists say, in their order: the first three and seven are the published "5 %" and "10 %".
#include <algorithm>
#include <filesystem>
#include <map>
#include <set>

#include "data/formats/nifti.h"
#include "data/formats/readers.h"
#include "data/layouts/layout.h"
#include "data/layouts/source_files.h"
#include "tensor/error.h"

namespace fs = std::filesystem;

namespace patchcl {

namespace {

constexpr int kTraining[] = {99, 38, 50, 100, 58, 21, 49, 20, 72, 40, 60, 89, 4, 56, 98, 96, 31, 18, 94, 47,
    48, 55, 97, 74, 43, 41, 63, 37, 95, 54, 26, 88, 32, 69, 6, 71, 12, 73, 61, 17, 25, 10, 57, 29, 51, 5, 36,
    46, 62, 34, 76, 92, 70, 77, 67, 3, 91, 16, 14, 44, 42, 90, 53, 27, 35, 86, 23, 9, 79, 15};
constexpr int kValidation[] = {28, 85, 82, 87, 19, 30, 78, 45, 2, 39};

// 7 of "patient007", 0 of any other name.
int number_of(const std::string& name) {
  const bool digits = name.size() == 10 && name.find_first_not_of("0123456789", 7) == std::string::npos;
  return digits && name.starts_with("patient") ? std::stoi(name.substr(7)) : 0;
}

// The folders of patients by number: in the folder itself, in training/ and testing/, in database/.
std::map<int, std::string> patients_in(const std::string& dir) {
  std::map<int, std::string> patients;
  for (const char* sub : {"", "/training", "/testing", "/database/training", "/database/testing"})
    if (fs::is_directory(dir + sub))
      for (const auto& entry : fs::directory_iterator(dir + sub))
        if (const int n = number_of(entry.path().filename()); n > 0 && entry.is_directory())
          patients[n] = entry.path();
  return patients;
}

bool is_frame(const std::string& path) {
  return fs::path(path).filename().string().find("_frame") != std::string::npos &&
         path.rfind(".nii") != std::string::npos;
}

// Of images and masks, in the order of their numbers.
std::vector<Source> frames_of(const std::string& folder) {
  std::set<std::string> files;
  for (const auto& entry : fs::directory_iterator(folder))
    if (is_wanted_file(entry, is_frame)) files.insert(entry.path());
  std::vector<Source> sources;
  for (const std::string& path : files) {
    const std::string name = path.substr(0, path.rfind(".nii")), ending = path.substr(name.size());
    if (name.ends_with("_gt")) continue;
    const std::string mask = files.contains(name + "_gt" + ending) ? name + "_gt" + ending : "";
    Source s;
    s.group = fs::path(folder).filename();
    s.id = s.group + "_frame0" + std::to_string(sources.size() + 1);
    s.path = path;
    set_sizes(s);
    s.label_path = mask;
    s.image = [path = path] { return read_nifti(path); };
    if (!mask.empty()) s.label = [mask = mask] { return read_nifti(mask); };
    sources.push_back(std::move(s));
  }
  return sources;
}

}  // namespace

bool is_acdc(const std::string& dir) {
  const std::map<int, std::string> patients = patients_in(dir);
  return std::any_of(patients.begin(), patients.end(),
      [](const auto& patient) { return !frames_of(patient.second).empty(); });
}

Layout acdc_layout(const std::string& dir) {
  Layout layout;
  layout.name = "ACDC";
  layout.class_names = {"background", "RV", "Myo", "LV"};
  std::map<int, std::string> patients = patients_in(dir);
  const auto take = [&](int patient, std::vector<Source>& into) {
    if (!patients.contains(patient)) return;
    const std::vector<Source> frames = frames_of(patients.at(patient));
    into.insert(into.end(), frames.begin(), frames.end());
    patients.erase(patient);
  };
  for (const int patient : kTraining) take(patient, layout.train);
  for (const int patient : kValidation) take(patient, layout.validation);
  while (!patients.empty()) take(patients.begin()->first, layout.test);
  layout.notes.push_back(
      "ACDC's own files, split and ordered as SSL4MIS's lists: 70 patients train, 10 validate, all others "
      "test");
  return layout;
}

}  // namespace patchcl
