#include "layers/receptive_field.h"

#include <algorithm>

namespace patchcl {

namespace {
// Two 3x3 convolutions, and those of a gate behind them.
void pass_block(ReceptiveField& field, const UNetConfig& c, bool gated) {
  field.side += 4 * field.jump;
  if (gated) field.side += (c.gate_kernel - 1) * field.jump;
}
}  // namespace

std::vector<ReceptiveField> encoder_fields(const UNetConfig& c) {
  std::vector<ReceptiveField> fields;
  ReceptiveField field;
  for (size_t level = 0; level < c.widths.size(); ++level) {
    if (level > 0) {
      field.side += field.jump;
      field.jump *= 2;
    }
    pass_block(field, c, c.gates == Gates::all);
    fields.push_back(field);
  }
  return fields;
}

std::vector<ReceptiveField> decoder_fields(const UNetConfig& c) {
  const std::vector<ReceptiveField> encoder = encoder_fields(c);
  std::vector<ReceptiveField> fields(encoder.size() - 1);
  ReceptiveField field = encoder.back();
  for (size_t level = fields.size(); level-- > 0;) {
    field.jump /= 2;
    field.side += (c.up == Upsampling::bilinear ? 3 : 1) * field.jump;
    field.side = std::max(field.side, encoder[level].side);
    pass_block(field, c, c.gates != Gates::none);
    fields[level] = field;
  }
  return fields;
}

}  // namespace patchcl
