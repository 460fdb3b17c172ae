// Other programs with our weights: what docs/interop.md says runs, and computes what the program computes.
#include <gtest/gtest.h>

#include <filesystem>

#include "data/formats/image.h"
#include "tensor/file.h"
#include "tensor/random.h"
#include "tests/command_line.h"

using namespace patchcl;
using namespace patchcl::test;

namespace {

constexpr int64_t kSide = 32;

// A Python that can import these modules; empty when there is none.
std::string python_with(const std::string& modules) {
  for (const char* python : {"python3", "/usr/bin/python3"})
    if (std::system((std::string(python) + " -c 'import " + modules + "' > /dev/null 2>&1").c_str()) == 0)
      return python;
  return {};
}

// A trained network, an image from 0 to 255, and the program's probabilities of it.
class Interop : public testing::Test {
 protected:
  void train(const std::string& more) {
    const Outcome run = run_patchcl(
        "train --data phantom:cases=4,val=1,size=32 --size 32 --batch 4 --widths 4 8 12 --dropout 0.1 0.2 "
        "0.2 "
        "--iters 8 --val-every 0 --threads 1 --out " +
        (folder_ / "run") + " " + more);
    ASSERT_EQ(run.code, 0) << run.output;
    std::vector<uint8_t> image(kSide * kSide);
    Rng rng(3);
    for (uint8_t& v : image) v = uint8_t(rng.below(256));
    image[0] = 0;
    image[1] = 255;
    write_png(folder_ / "image.png", image.data(), kSide, kSide, 1);
    write_text(folder_ / "image.raw", std::string(image.begin(), image.end()));
    const Outcome predict = run_patchcl("predict --probabilities --weights " + (folder_ / "run") + " " +
                                        (folder_ / "image.png") + " " + (folder_ / "mask.png"));
    ASSERT_EQ(predict.code, 0) << predict.output;
  }
  // Runs a script that sets `p`, (K,H,W), from `x`, (1,1,H,W); the largest difference to the program's.
  double difference(const std::string& python, const std::string& code) {
    write_text(folder_ / "script.py",
        "import sys, numpy as np\nsys.path.insert(0, 'train')\nfrom convert_weights import load_safetensors\n"
        "x = np.fromfile('" +
            (folder_ / "image.raw") + "', np.uint8).reshape(1, 1, 32, 32).astype(np.float32) / 255\n" + code +
            "\nours = next(iter(load_safetensors('" + (folder_ / "mask.probabilities.safetensors") +
            "')[0].values()))[0].transpose(2, 0, 1)\nassert p.shape == ours.shape\n"
            "print(abs(p - ours).max())\n");
    const std::string out = folder_ / "difference.txt";
    const std::string command = python + " " + (folder_ / "script.py") + " > " + out + " 2> " + out + ".log";
    EXPECT_EQ(std::system(command.c_str()), 0) << read_text(out + ".log");
    return std::atof(read_text(out).c_str());
  }

  const TemporaryFolder folder_;
  const std::string weights_ = folder_ / "run/last.safetensors";
};

}  // namespace

TEST_F(Interop, ThirtyLinesOfPyTorchComputeTheNetwork) {
  const std::string python = python_with("torch, numpy");
  if (python.empty()) GTEST_SKIP() << "no PyTorch to compare with";
  train("");
  const std::string page = read_text("docs/interop.md"), begin = "```python\n";
  const size_t at = page.find(begin) + begin.size();
  const std::string code = page.substr(at, page.find("```", at) - at);
  const double apart =
      difference(python, code + "\nweights, levels = load('" + weights_ +
                             "')\np = probabilities(weights, levels, " + "torch.from_numpy(x))[0].numpy()");
  EXPECT_GT(apart, 0) << "another program rounds otherwise";
  EXPECT_LT(apart, 1e-5);
}

TEST_F(Interop, OnnxRuntimeComputesTheNetwork) {
  const std::string python = python_with("onnx, onnxruntime, numpy");
  if (python.empty()) GTEST_SKIP() << "no ONNX Runtime to compare with";
  for (const char* network :
      {"", "--up transposed --norm instance", "--norm instance-affine --decoder-norm false"}) {
    std::filesystem::remove_all(folder_ / "run");
    train(network);
    const std::string onnx = folder_ / "unet.onnx";
    ASSERT_EQ(
        std::system((python + " train/export_onnx.py " + weights_ + " " + onnx + " > /dev/null").c_str()), 0);
    const double apart = difference(python,
        "import onnxruntime\np = onnxruntime.InferenceSession('" + onnx + "').run(None, {'image': x})[0][0]");
    EXPECT_GT(apart, 0) << "another program rounds otherwise";
    EXPECT_LT(apart, 1e-5) << network;
  }
}

namespace {
// Where `make python` has been.
std::string python_with_module() {
  for (const auto& file : std::filesystem::directory_iterator("train/python/patchcl"))
    if (file.path().extension() == ".so") return "PYTHONPATH=train/python " + python_with("numpy");
  return {};
}
}  // namespace

TEST_F(Interop, ThePythonModulePredictsAsTheProgramDoes) {
  const std::string python = python_with_module();
  if (python.empty()) GTEST_SKIP() << "no module: make python";
  train("");
  const std::string code =
      "import patchcl\nn = patchcl.Network('" + (folder_ / "run") +
      "')\np = n.predict((x[0, 0] * 255).round().astype(np.uint8), True).transpose(2, 0, 1)";
  EXPECT_EQ(difference(python, code), 0);
}

TEST(PythonModule, TheNotebookRuns) {
  const std::string python = python_with_module();
  if (python.empty()) GTEST_SKIP() << "no module: make python";
  TemporaryFolder folder;
  write_text(folder / "cells.py",
      "import json\nfor c in json.load(open('docs/patchcl.ipynb'))['cells']:\n"
      "    if c['cell_type'] == 'code': exec(''.join(c['source']), globals())\n");
  const std::string out = folder / "out.txt";
  EXPECT_EQ(std::system((python + " " + (folder / "cells.py") + " > " + out + " 2>&1").c_str()), 0)
      << read_text(out);
  EXPECT_TRUE(contains(read_text(out), "README.md")) << "the message of an error";
}
