// Pictures of patch sampling and of the queues, for people.
#pragma once
#define EIGEN_DONT_PARALLELIZE
#include <Eigen/Core>

#include "train/methods/patch_sampler.h"
#include "data/picture.h"
#include "losses/embedding_queue.h"

namespace patchcl {

// One row per image: the image, its most likely classes, and for each class the confidence with the drawn
// windows (in the class's colour where positive, grey where not) and the entropy map.
Canvas patch_sheet(const PatchImages& batch, const std::vector<int64_t>& images,
    const SampledPatches& patches, const PatchOptions& options, const std::vector<std::string>& class_names,
    const std::string& title);

// The newest embeddings of every class on their two principal components, coloured by class.
Canvas embedding_map(
    const EmbeddingQueue& queue, const std::vector<std::string>& class_names, const std::string& title);

// Projection of points (one per column) on the two directions of largest variance, (2,n).
Eigen::MatrixXd principal_components(const Eigen::MatrixXd& points);

}  // namespace patchcl
