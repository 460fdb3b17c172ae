#include "autograd/ops/shape.h"
#include "autograd/spec.h"

namespace patchcl {
namespace {

// Element-wise from indices (o, a, i) = (before, along, after the axis), where the kernels copy runs.
OpCase concat_case(const std::vector<Shape>& shapes, int axis) {
  OpCase c{"axis " + std::to_string(axis) + " of " + shapes[0].str(), std::make_shared<Concat>(axis), {},
      [=](auto& x) {
        const Shape& s = shapes[0];
        const int at = axis < 0 ? axis + s.rank() : axis;
        int64_t outer = 1, inner = 1;
        for (int i = 0; i < at; ++i) outer *= s[i];
        for (int i = at + 1; i < s.rank(); ++i) inner *= s[i];
        std::vector<double> y;
        for (int64_t o = 0; o < outer; ++o)
          for (size_t t = 0; t < shapes.size(); ++t)
            for (int64_t a = 0; a < shapes[t][at]; ++a)
              for (int64_t i = 0; i < inner; ++i)
                y.push_back(x[t][size_t((o * shapes[t][at] + a) * inner + i)]);
        return y;
      }};
  for (const Shape& s : shapes) c.inputs.push_back({s});
  return c;
}

OpCase slice_case(const Shape& s, int axis, int64_t begin, int64_t count) {
  return {"axis " + std::to_string(axis) + " of " + s.str(), std::make_shared<SliceOp>(axis, begin, count),
      {{s}}, [=](auto& x) {
        const int at = axis < 0 ? axis + s.rank() : axis;
        std::vector<double> y;
        for (size_t e = 0; e < x[0].size(); ++e) {
          int64_t along = int64_t(e);
          for (int i = s.rank() - 1; i > at; --i) along /= s[i];
          along %= s[at];
          if (along >= begin && along < begin + count) y.push_back(x[0][e]);
        }
        return y;
      }};
}

OpCase reshape_case(const Shape& from, const Shape& to) {
  return {
      from.str() + " to " + to.str(), std::make_shared<Reshape>(to), {{from}}, [](auto& x) { return x[0]; }};
}

AddSpec reshaped{{"reshape",
    {reshape_case({2, 3, 5}, {6, 5}), reshape_case({1, 7, 1, 1}, {7}), reshape_case({5, 9}, {3, 15})}}};
AddSpec joined{{"concat", {concat_case({{2, 3, 5, 4}, {1, 3, 5, 4}}, 0),
                              concat_case({{1, 3, 5, 1}, {1, 3, 5, 3}, {1, 3, 5, 2}}, -1),
                              concat_case({{2, 3, 5}, {2, 4, 5}}, 1), concat_case({{7}}, 0)}}};
AddSpec cut{{"slice", {slice_case({5, 3, 2, 4}, 0, 1, 3), slice_case({1, 3, 5, 4}, -1, 1, 2),
                          slice_case({2, 7, 3}, 1, 6, 1), slice_case({1, 1, 3, 1}, 2, 0, 3)}}};

}  // namespace
}  // namespace patchcl
