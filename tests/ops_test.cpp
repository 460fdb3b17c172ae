// The gradient battery over every registered op: one GoogleTest per op, case and kernel choice.
#include <gtest/gtest.h>

#include "autograd/spec.h"
#include "tensor/device.h"

using namespace patchcl;

namespace {
struct Item {
  const OpSpec* spec;
  const OpCase* c;
  Kernels kernels;
};

std::vector<Item> items() {
  std::vector<Item> all;
  for (const OpSpec& s : specs())
    for (const OpCase& c : s.cases)
      for (Kernels k : {Kernels::naive, Kernels::fast}) all.push_back({&s, &c, k});
  return all;
}

class Battery : public testing::TestWithParam<Item> {
 protected:
  void SetUp() override { set_kernels(GetParam().kernels); }
  void TearDown() override { set_kernels(Kernels::fast); }
};

TEST_P(Battery, HoldsInEveryCheck) {
  const std::vector<Check> checks = audit(*GetParam().spec, *GetParam().c);
  EXPECT_FALSE(checks.empty());
  for (const Check& c : checks)
    EXPECT_TRUE(c.ok) << c.op << " " << c.label << ": " << c.check << ", error/tolerance "
                      << c.error_over_tolerance << " " << c.where;
}

std::string test_name(const testing::TestParamInfo<Item>& info) {
  std::string s = info.param.spec->op + "_" + info.param.c->label;
  for (char& c : s)
    if (!std::isalnum(static_cast<unsigned char>(c))) c = '_';
  return s + (info.param.kernels == Kernels::naive ? "_naive_" : "_fast_") + std::to_string(info.index);
}

INSTANTIATE_TEST_SUITE_P(Ops, Battery, testing::ValuesIn(items()), test_name);
}  // namespace

TEST(Specs, EachOpHasAtLeastThreeCasesAndAReference) {
  EXPECT_FALSE(specs().empty());
  for (const OpSpec& s : specs()) {
    EXPECT_GE(s.cases.size(), 3u) << s.op;
    for (const OpCase& c : s.cases) EXPECT_TRUE(bool(c.reference)) << s.op << " " << c.label;
  }
}
