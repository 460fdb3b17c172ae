#include "train/setup/model_file.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <set>
#include <stdexcept>

#include "tensor/device.h"
#include "tensor/json.h"
#include "train/options/option_list.h"
#include "train/setup/run_folder.h"

namespace patchcl {

namespace {

using nlohmann::json;

const char* const kFormat = "patchcl-unet-1";

// The axes of a (d0,d1,d2,d3) tensor reordered: to(i_p0, i_p1, i_p2, i_p3) = from(i0, i1, i2, i3).
template <class A, class B>
void permute(const A* from, const std::array<int64_t, 4>& d, const std::array<int, 4>& p, B* to) {
  std::array<int64_t, 4> i;
  for (i[0] = 0; i[0] < d[0]; ++i[0])
    for (i[1] = 0; i[1] < d[1]; ++i[1])
      for (i[2] = 0; i[2] < d[2]; ++i[2])
        for (i[3] = 0; i[3] < d[3]; ++i[3]) {
          const int64_t at = ((i[p[0]] * d[p[1]] + i[p[1]]) * d[p[2]] + i[p[2]]) * d[p[3]] + i[p[3]];
          to[at] = B(*from++);
        }
}

std::array<int64_t, 4> dims4(const Shape& s) {
  std::array<int64_t, 4> d{1, 1, 1, 1};
  for (int i = 0; i < s.rank(); ++i) d[4 - s.rank() + i] = s[i];
  return d;
}

// Which of our axes is each of PyTorch's (ParamKind, layers/params.h); matrices are (1,1,in,out).
std::array<int, 4> torch_axes(ParamKind kind) {
  switch (kind) {
    case ParamKind::conv_weight: return {3, 2, 0, 1};
    case ParamKind::conv_transpose_weight: return {2, 3, 0, 1};
    case ParamKind::linear_weight: return {0, 1, 3, 2};
    default: return {0, 1, 2, 3};
  }
}

Shape torch_shape(const ParamInfo& p) {
  const Shape& s = p.shape;
  if (s.rank() == 4) {
    const std::array<int, 4> axes = torch_axes(p.kind);
    return {s[axes[0]], s[axes[1]], s[axes[2]], s[axes[3]]};
  }
  if (p.kind == ParamKind::linear_weight) return {s[1], s[0]};
  return s;
}

std::string replace_suffix(const std::string& name, const std::string& from, const std::string& to) {
  if (!name.ends_with(from)) return "";
  return name.substr(0, name.size() - from.size()) + to;
}

Tensor to_torch(const Tensor& host, const ParamInfo& p, const Arena& arena) {
  const Tensor t = arena.empty(torch_shape(p), host.dtype());
  dispatch(host.dtype(), [&](auto zero) {
    using T = decltype(zero);
    permute(host.data<T>(), dims4(p.shape), torch_axes(p.kind), t.data<T>());
  });
  return t;
}

void from_torch(const Tensor& t, const ParamInfo& p, const Tensor& host) {
  std::array<int, 4> inverse;
  for (int i = 0; i < 4; ++i) inverse[torch_axes(p.kind)[i]] = i;
  dispatch(t.dtype(), [&](auto a) {
    dispatch(host.dtype(),
        [&](auto b) { permute(t.data<decltype(a)>(), dims4(t.shape()), inverse, host.data<decltype(b)>()); });
  });
}

// Calls fn(info, tensor) for every parameter and buffer, the tensors windows of the host copies of the flat
// buffers.
template <class F>
void for_each_slice(const ParamLayout& layout, const Tensor& values, const Tensor& buffers, F&& fn) {
  for (const ParamInfo& p : layout.parameters()) fn(p, values.window(p.offset, p.shape));
  for (const ParamInfo& p : layout.buffers()) fn(p, buffers.window(p.offset, p.shape));
}

const Tensor& find(const TensorFile& file, const std::string& name, const std::string& path) {
  const auto it = file.tensors.find(name);
  if (it == file.tensors.end())
    fail(ExitCode::checkpoint, "weights", path, " has no tensor '", name,
        "'; it belongs to another architecture");
  return it->second;
}

// What a map holds while a network is calibrated, and 0 (autograd/ops/conv2d_int8.h).
void check_range(const Tensor& t, const std::string& name, const std::string& path) {
  dispatch(t.dtype(), [&](auto zero) {
    const auto *lo = t.data<decltype(zero)>(), *hi = lo + 1;
    if (!(std::isfinite(*lo) && std::isfinite(*hi) && *lo <= 0 && *hi >= 0))
      fail(ExitCode::checkpoint, "weights", path, ": '", name, "' is ", *lo, " to ", *hi,
          ", no range of numbers with 0 among them; make the file again with patchcl calibrate");
  });
}

// Name of the ConvBlock of encoder level i.
std::string encoder_block(int i) {
  return i == 0 ? "encoder.in_conv.conv_conv."
                : "encoder.down" + std::to_string(i) + ".maxpool_conv.1.conv_conv.";
}

// A whole number of the description, in [1, largest].
int64_t bounded(const json& v, int64_t largest) {
  if (!v.is_number_integer() || v < 1 || v > largest)
    throw std::range_error(v.dump() + " is not in 1.." + std::to_string(largest));
  return v.get<int64_t>();
}

// A description costs nothing to write: the network must fit into the numbers that the file holds, before
// memory is asked for.
void check_network(const UNetConfig& c, const TensorFile& file, const std::string& path) {
  int64_t held = 0, wanted = 0;
  for (const auto& [name, t] : file.tensors) held += t.numel();
  std::string why;
  try {
    ParamLayout layout;
    const UNet declared(layout, c);
    wanted = layout.parameter_count();
  } catch (const Error& e) {
    why = std::string(" (") + e.what() + ")";
  }
  if (!why.empty() || wanted > held)
    fail(ExitCode::checkpoint, "weights", path, " describes a network of ", c.in_channels, " channels, ",
        c.widths.size(), " widths, ", c.dropout.size(), " dropout rates and ", c.classes, " classes, with ",
        wanted, " parameters; it holds ", held, " numbers", why, "; take another file");
}

UNetConfig infer_unet(const TensorFile& file, const std::string& path) {
  const auto shape4 = [&](const std::string& name) {
    const Shape& s = find(file, name, path).shape();
    if (s.rank() != 4)
      fail(ExitCode::checkpoint, "weights", path, ": '", name, "' is no convolution weight, ", s);
    return s;
  };
  UNetConfig c;
  c.in_channels = int(shape4(encoder_block(0) + "0.weight")[1]);
  c.classes = int(shape4("decoder.out_conv.weight")[0]);
  const std::vector<double> dropout = c.dropout;
  if (file.tensors.count("decoder.up1.up.weight")) c.up = Upsampling::transposed;
  c.widths.clear();
  c.dropout.clear();
  for (int i = 0; file.tensors.count(encoder_block(i) + "0.weight"); ++i) {
    c.widths.push_back(int(shape4(encoder_block(i) + "0.weight")[0]));
    c.dropout.push_back(dropout[std::min(size_t(i), dropout.size() - 1)]);
  }
  return c;
}

// ---- the description of a network ----

// The value that `network` names under `key`; as it is where the file is older than the key.
template <class E> void read_choice(const json& network, const char* key, const Names<E>& names, E& value) {
  if (!network.contains(key)) return;
  const auto name = network.at(key).get<std::string>();
  const auto known = [&](const auto& entry) { return entry.first == name; };
  const auto it = std::find_if(names.begin(), names.end(), known);
  if (it == names.end()) throw std::invalid_argument(network.at(key).dump() + " is an unknown " + key);
  value = it->second;
}

json json_of(const std::string& text) {
  std::string why;
  json value = parse_json(text, &why);
  if (value.is_discarded()) throw std::invalid_argument(why);
  return value;
}

json describe(const UNetConfig& c) {
  json all{{"in_channels", c.in_channels}, {"classes", c.classes}, {"widths", c.widths},
      {"dropout", c.dropout}, {"norm", name_of(c.norm, kNormKinds)}, {"decoder_norm", c.decoder_norm},
      {"up", name_of(c.up, kUpsamplings)}, {"uafs", name_of(c.gates, kGates)},
      {"uafs_classes", c.gate_classes}, {"uafs_kernel", c.gate_kernel}};
  if (c.ranges) all["ranges"] = true;
  return all;
}

UNetConfig described(const json& network) {
  UNetConfig c;
  c.in_channels = int(bounded(network.at("in_channels"), kMostChannels));
  c.classes = int(bounded(network.at("classes"), kMostOutputs));
  c.widths.clear();
  for (const json& w : network.at("widths")) c.widths.push_back(int(bounded(w, kMostChannels)));
  network.at("dropout").get_to(c.dropout);
  read_choice(network, "norm", kNormKinds, c.norm);
  c.decoder_norm = network.value("decoder_norm", c.decoder_norm);
  c.ranges = network.value("ranges", c.ranges);
  read_choice(network, "up", kUpsamplings, c.up);
  read_choice(network, "uafs", kGates, c.gates);
  if (c.gates == Gates::none) return c;
  c.gate_classes = int(bounded(network.at("uafs_classes"), kMostChannels));
  c.gate_kernel = int(bounded(network.at("uafs_kernel"), kLargestGateKernel));
  return c;
}

}  // namespace

void put_model_info(TensorFile& file, const ModelInfo& info) {
  file.metadata["format"] = kFormat;
  file.metadata["network"] = describe(info.unet).dump();
  file.metadata["size"] = std::to_string(info.size);
  file.metadata["class_names"] = json(info.class_names).dump();
  file.metadata["normalisation"] = info.normalisation;
  file.metadata["fit"] = name_of(info.fit, in_order<Fit>(fit_names()));
  if (info.border > 0) file.metadata["border"] = std::to_string(info.border);
  file.metadata["iteration"] = std::to_string(info.iteration);
}

ModelInfo get_model_info(const TensorFile& file, const std::string& path) {
  ModelInfo info;
  const auto& m = file.metadata;
  if (!m.count("format") || !m.count("network")) {
    info.unet = infer_unet(file, path);
    check_network(info.unet, file, path);
    return info;
  }
  if (m.at("format") != kFormat)
    fail(ExitCode::checkpoint, "weights", path, " has format '", m.at("format"), "', this program reads '",
        kFormat, "'");
  try {
    info.unet = described(json_of(m.at("network")));
    info.size = bounded(json(std::stoll(m.at("size"))), kLargestSide);
    info.class_names = json_of(m.at("class_names")).get<std::vector<std::string>>();
    info.normalisation = m.at("normalisation");
    info.fit = by_name("fit", m.at("fit"), in_order<Fit>(fit_names()));
    if (m.count("border")) info.border = bounded(json(std::stoll(m.at("border"))), kLargestSide);
    info.iteration = std::stoll(m.at("iteration"));
  } catch (const std::exception& e) {
    fail(ExitCode::checkpoint, "weights", path,
        " describes its network in a way that cannot be read: ", e.what());
  }
  if (info.normalisation != ModelInfo{}.normalisation)
    fail(ExitCode::checkpoint, "weights", path, " wants input normalised as '", info.normalisation,
        "', this program knows '", ModelInfo{}.normalisation, "'");
  check_network(info.unet, file, path);
  if (!info.class_names.empty() && int(info.class_names.size()) != info.unet.classes)
    fail(ExitCode::checkpoint, "weights", path, " names ", info.class_names.size(), " of ", info.unet.classes,
        " classes");
  return info;
}

void put_weights(TensorFile& file, const ParamStore& store, int64_t iteration, const std::string& prefix) {
  const Arena arena("weights file");
  const Tensor values = arena.empty(store.values().shape(), store.dtype());
  const Tensor buffers = arena.empty(store.buffers().shape(), store.dtype());
  copy(store.values(), values);
  copy(store.buffers(), buffers);
  for_each_slice(store.layout(), values, buffers, [&](const ParamInfo& p, const Tensor& t) {
    file.tensors[prefix + p.name] = to_torch(t, p, arena);
    const std::string counter = replace_suffix(p.name, "running_mean", "num_batches_tracked");
    if (counter.empty()) return;
    const Tensor batches = arena.empty(Shape{}, DType::i64);
    fill(batches, double(iteration));
    file.tensors[prefix + counter] = batches;
  });
}

void get_weights(
    const TensorFile& file, ParamStore& store, const std::string& path, const std::string& prefix) {
  const Arena arena("weights file");
  const Tensor values = arena.zeros(store.values().shape(), store.dtype());
  const Tensor buffers = arena.zeros(store.buffers().shape(), store.dtype());
  std::set<std::string> known;
  for_each_slice(store.layout(), values, buffers, [&](const ParamInfo& p, const Tensor& t) {
    known.insert(prefix + p.name);
    const Tensor& stored = find(file, prefix + p.name, path);
    if (!(stored.shape() == torch_shape(p)) || (stored.dtype() != DType::f32 && stored.dtype() != DType::f64))
      fail(ExitCode::checkpoint, "weights", path, ": tensor '", prefix + p.name, "' is ",
          dtype_name(stored.dtype()), " ", stored.shape(), ", the network wants ", torch_shape(p),
          "; it belongs to another architecture");
    from_torch(stored, p, t);
    if (p.name.ends_with(".range")) check_range(t, prefix + p.name, path);
  });
  for (const auto& [name, t] : file.tensors) {
    const bool ours = name.starts_with(prefix + "encoder.") || name.starts_with(prefix + "decoder.");
    if (ours && !name.ends_with("num_batches_tracked") && !known.count(name))
      fail(ExitCode::checkpoint, "weights", path, " has a tensor '", name, "' ", t.shape(),
          " that the network lacks; it belongs to another architecture");
  }
  copy(values, store.values());
  copy(buffers, store.buffers());
}

PartialLoad get_weights_partially(const TensorFile& file, ParamStore& store) {
  const Arena arena("weights file");
  const Tensor values = arena.empty(store.values().shape(), store.dtype());
  const Tensor buffers = arena.empty(store.buffers().shape(), store.dtype());
  copy(store.values(), values);
  copy(store.buffers(), buffers);
  PartialLoad load;
  std::set<std::string> known;
  for_each_slice(store.layout(), values, buffers, [&](const ParamInfo& p, const Tensor& t) {
    const auto found = file.tensors.find(p.name);
    known.insert(p.name);
    const bool fits = found != file.tensors.end() && found->second.shape() == torch_shape(p) &&
                      (found->second.dtype() == DType::f32 || found->second.dtype() == DType::f64);
    (fits ? load.loaded : load.kept).push_back(p.name);
    if (fits) from_torch(found->second, p, t);
  });
  // A checkpoint's teacher and optimiser are not what a network starts from.
  for (const auto& [name, t] : file.tensors)
    if (!known.contains(name) && !name.ends_with("num_batches_tracked") && !name.starts_with("teacher.") &&
        !name.starts_with("optimizer."))
      load.unused.push_back(name);
  copy(values, store.values());
  copy(buffers, store.buffers());
  return load;
}

Model::Model(const ModelInfo& info, const Arena& arena)
    : info(info), unet(layout, info.unet), weights(layout, arena, DType::f32, /*with_grad=*/false) {}

std::unique_ptr<Model> load_model(const std::string& from, const Arena& arena, bool teacher) {
  const std::string path = teacher ? checkpoint_path(from) : weights_path(from);
  for (const char* ending : {".pth", ".pt", ".ckpt"})
    if (path.ends_with(ending))
      fail(ExitCode::checkpoint, "weights", path,
          " is a file of PyTorch's own; `python3 train/convert_weights.py` makes safetensors of it");
  const Arena host("weights file");
  const TensorFile file = load_tensors(path, host);
  auto model = std::make_unique<Model>(get_model_info(file, path), arena);
  const std::string prefix = teacher ? "teacher." : "";
  const auto first = file.tensors.lower_bound(prefix);
  if (teacher && (first == file.tensors.end() || !first->first.starts_with(prefix)))
    fail(ExitCode::checkpoint, "weights", path, " has no teacher; ", run_file::last,
        " of a run has one, if its method keeps an average");
  get_weights(file, model->weights, path, prefix);
  return model;
}

}  // namespace patchcl
