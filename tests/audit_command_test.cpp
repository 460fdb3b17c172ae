// `patchcl audit` as the shell sees it: exit codes, and what the report says about a wrong op.
#include <gtest/gtest.h>

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "autograd/ops/pointwise.h"
#include "autograd/spec.h"
#include "tests/command_line.h"
#include "tests/json_output.h"
#include "train/commands/command.h"

using namespace patchcl;
using namespace patchcl::test;

namespace {

// Runs `patchcl audit ARGS` in this process, as main() does, and returns its exit code.
int run(const std::string& args) {
  CLI::App app;
  std::function<int()> chosen;
  for (const Command& c : commands())
    if (c.name == "audit") {
      CLI::App* sub = app.add_subcommand(c.name, c.help);
      sub->callback([&chosen, run = c.add(*sub)] { chosen = run; });
    }
  app.parse("audit " + args);
  return chosen();
}

// y = x^3, and a derivative of 2 x^2 where it is 3 x^2.
class Cube final : public Op {
 public:
  const char* name() const override { return "wrong_cube"; }
  Shape shape(const Shapes& x) const override { return x[0]; }
  Saves saves() const override { return {.inputs = 1}; }

 private:
  void forward_cpu(const Forward& f) const override {
    dispatch(f.y.dtype(), [&](auto zero) {
      using T = decltype(zero);
      const T* x = f.x[0].data<T>();
      for (int64_t i = 0; i < f.y.numel(); ++i) f.y.data<T>()[i] = x[i] * x[i] * x[i];
    });
  }
  void backward_cpu(const Backward& b) const override {
    dispatch(b.dy.dtype(), [&](auto zero) {
      using T = decltype(zero);
      const T *x = b.x[0].data<T>(), *dy = b.dy.data<T>();
      T* dx = b.dx[0].t.data<T>();
      for (int64_t i = 0; i < b.dy.numel(); ++i)
        dx[i] = (b.dx[0].accumulate ? dx[i] : T(0)) + dy[i] * 2 * x[i] * x[i];
    });
  }
};

// While it lives, the registry holds one wrong op more.
struct WithWrongCube {
  WithWrongCube() {
    const auto cube = [](const std::vector<std::vector<double>>& x) {
      std::vector<double> y;
      for (double v : x[0]) y.push_back(std::pow(v, 3));
      return y;
    };
    specs().push_back({"wrong_cube", {{"(3,5)", std::make_shared<Cube>(), {{{3, 5}}}, cube}}});
  }
  ~WithWrongCube() { specs().pop_back(); }
};

}  // namespace

TEST(AuditCommand, ExitsWithZeroWhenAllOpsAreRight) {
  testing::internal::CaptureStdout();
  EXPECT_EQ(run("ops affine relu"), int(ExitCode::ok));
  const std::string out = testing::internal::GetCapturedStdout();
  EXPECT_NE(out.find("2 ok, 0 failed, 0 not run"), std::string::npos) << out;
  EXPECT_NE(out.find("further ops not run"), std::string::npos) << out;
}

TEST(AuditCommand, ExitsWithSevenAndNamesTheOpAndInputWhenOneIsWrong) {
  const WithWrongCube wrong;
  testing::internal::CaptureStdout();
  EXPECT_EQ(run("ops affine wrong_cube"), int(ExitCode::audit));
  const std::string out = testing::internal::GetCapturedStdout();
  EXPECT_NE(out.find("1 ok, 1 failed"), std::string::npos) << out;
  EXPECT_NE(out.find("x[0] against central differences"), std::string::npos) << out;
  EXPECT_NE(out.find("dx[0]("), std::string::npos) << out;
}

TEST(AuditCommand, JsonSaysTheSame) {
  const WithWrongCube wrong;
  testing::internal::CaptureStdout();
  EXPECT_EQ(run("ops wrong_cube --json"), int(ExitCode::audit));
  const auto j = nlohmann::json::parse(testing::internal::GetCapturedStdout());
  EXPECT_EQ(j["verdict"], "FAILED");
  EXPECT_EQ(j["ops"][0]["op"], "wrong_cube");
  EXPECT_GT(j["ops"][0]["worst"]["error_over_tolerance"].get<double>(), 1e3);
}

TEST(AuditCommand, AnUnknownOpIsAUsageError) {
  try {
    run("ops no_such_op");
    FAIL();
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), ExitCode::usage);
  }
}

TEST(AuditCommand, OfAMethodWithPhasesAuditsAStepOfEachAndItsHeads) {
  const Outcome o = run_patchcl(
      "audit model --method local-contrast --block 16 --pixels block --size 16 --widths 2,4 --json");
  ASSERT_EQ(o.code, 0) << o.output;
  std::vector<std::string> terms;
  std::map<std::string, double> largest;  // gradient of a tensor in any of the steps
  const nlohmann::json j = json_in(o);
  for (const auto& step : j.at("steps")) {
    terms.push_back(step.at("terms")[0].at("name"));
    for (const auto& p : step.at("parameters")) {
      double& norm = largest[p.at("name")];
      norm = std::max(norm, p.at("gradient_norm").get<double>());
    }
  }
  EXPECT_EQ(terms, (std::vector<std::string>{"global_contrast", "local_contrast", "ce"}));
  for (const std::string head : {"global_head.0.weight", "global_head.2.weight", "local_head.0.weight"})
    EXPECT_GT(largest.at(head), 1e-6) << head;
}

TEST(AuditCommand, SeesAGatedNetwork) {
  const Outcome o = run_patchcl("audit model --method supervised --uafs all --size 16 --widths 2,4");
  EXPECT_EQ(o.code, 0) << o.output;
  EXPECT_NE(o.output.find("uafs.0.weight"), std::string::npos) << o.output;
}

TEST(AuditCommand, TellsOfAPhaseThatIsNotThere) {
  const Outcome o = run_patchcl("audit model --method supervised --phase 2");
  EXPECT_EQ(o.code, 2);
  EXPECT_NE(o.output.find("--phase 2, but this run of supervised has 1"), std::string::npos) << o.output;
}
