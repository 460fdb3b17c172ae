// Which pixels of the image a vector of a map can depend on, computed from the network's description.
//
//   side r and jump j (pixels between neighbours) after each layer:
//   convolution of kernel k: r += (k-1) j;   2x2 pool: r += j, j *= 2
//   upsampling x2: j /= 2; the coarse pixels that a fine one depends on lie up to 1/4 of their size from its
//   centre where it is transposed, r += j; up to 3/4 where it is bilinear (align_corners or not), r += 3 j
//   a concatenation has the larger side.  UNet of 4.3: r = 5, 14, 32, 68, 140 at j = 1, 2, 4, 8, 16
// The vector at row i of a map looks at rows [begin(i), begin(i) + r) of the image; those outside do not
// exist. In the decoder r bounds from above: bilinear, only one of the two sides reaches as far.
// Left out: the statistics of a norm, which see the whole image.
#pragma once
#include "layers/unet.h"

namespace patchcl {

struct ReceptiveField {
  int64_t side = 1, jump = 1;
  // The first of its rows (or columns): the field's centre is the centre of the map's pixel.
  int64_t begin(int64_t i) const { return jump * i + (jump - side) / 2; }
  bool operator==(const ReceptiveField&) const = default;
};

// Of UNet::Output::encoder, by level; and of UNet::Output::decoder, by level from 0, so in its reverse
// order.
std::vector<ReceptiveField> encoder_fields(const UNetConfig& config);
std::vector<ReceptiveField> decoder_fields(const UNetConfig& config);

}  // namespace patchcl
