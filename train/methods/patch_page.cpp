#include "train/methods/patch_page.h"

#include <nlohmann/json.hpp>

#include "data/class_names.h"
#include "tensor/file.h"
#include "train/evaluate/html.h"

namespace patchcl {

namespace {

const char* const kAbout =
    "<p>The network says of each pixel m how likely class k is, C(m). Its entropy h(m) = -C log2 C - (1-C) "
    "log2(1-C) is 0 where it is sure and 1 where C = 1/2. A window is one of the class with probability "
    "mean C, and is drawn with a weight of max(1 - mean h, 0.001): windows of which the network is sure, of "
    "either kind. Equations: docs/methods.md 1.3; sources: train/methods/patch_entropy.h and "
    "patch_sampler.cpp.</p>\n";

// What belongs together stays in one line, apart from what is beside it.
const char* const kControls = R"(<style>.controls label{white-space:nowrap;margin-right:1.5em}
.controls input{vertical-align:middle}</style><p class="controls">
<label>image <select id="image"></select></label> <label>class <select id="class"></select></label>
<label>show <select id="map"><option value="image">image</option>
<option value="confidence">confidence C</option><option value="entropy">entropy h</option>
<option value="attended">image times C</option></select></label>
<label>side <input type="range" id="side"> <output id="side-now"></output></label>
<label>stride <input type="range" id="stride"> <output id="stride-now"></output></label>
<label>windows above C = <input type="range" id="least" min="0" max="1" step="0.05" value="0.5">
<output id="least-now"></output></label>
<button id="draw">draw 8 windows</button> <button id="program">those of the program</button></p>
<canvas id="canvas" style="width:100%;max-width:640px;image-rendering:pixelated;cursor:crosshair"></canvas>
<div id="cuts" style="display:flex;gap:6px;flex-wrap:wrap"></div>
<p id="window" style="min-height:4.5em">Point at the image: numbers of the window there.</p>
<div class="wide"><table id="table"></table></div>
<p id="check"></p>
)";

// Base64 of little-endian f32 in; formulas as in train/methods/patch_entropy.h and patch_sampler.cpp.
const char* const kScript = R"(
const floats = text => new Float32Array(Uint8Array.from(atob(text), c => c.charCodeAt(0)).buffer);
const {height: H, width: W, channels: A, classes: K} = data;
const images = floats(data.images), probabilities = floats(data.probabilities);
let image, p;
const look = n => {
  image = images.subarray(n * H * W * A, (n + 1) * H * W * A);
  p = probabilities.subarray(n * H * W * K, (n + 1) * H * W * K);
};
const $ = id => document.getElementById(id);
const h = c => c > 0 && c < 1 ? -(c * Math.log2(c) + (1 - c) * Math.log2(1 - c)) : 0;
const confidence = k => Float64Array.from({length: H * W}, (_, m) => p[m * K + k]);
const summed = map => {
  const s = new Float64Array((H + 1) * (W + 1));
  for (let y = 0; y < H; ++y)
    for (let x = 0; x < W; ++x)
      s[(y + 1) * (W + 1) + x + 1] =
        map[y * W + x] + s[y * (W + 1) + x + 1] + s[(y + 1) * (W + 1) + x] - s[y * (W + 1) + x];
  return (top, left, side) => (s[(top + side) * (W + 1) + left + side] - s[top * (W + 1) + left + side] -
    s[(top + side) * (W + 1) + left] + s[top * (W + 1) + left]) / (side * side);
};
const state = {n: 0, k: 0, side: data.side, stride: data.stride, drawn: []};
let C, meanC, meanH;
const take = k => {
  C = confidence(k);
  meanC = summed(C);
  meanH = summed(C.map(h));
};
const numbers = (top, left, side) => {
  const c = meanC(top, left, side), e = meanH(top, left, side);
  return {top, left, side, c, e, weight: Math.max(1 - e, 1e-3)};
};
const corners = (length, side, stride) => {
  const all = [];
  for (let at = 0; at < length - side; at += stride) all.push(at);
  all.push(length - side);
  return all;
};
const windows = () => corners(H, state.side, state.stride).flatMap(
  top => corners(W, state.side, state.stride).map(left => numbers(top, left, state.side)));
const eligible = () => windows().filter(w => w.c >= +$('least').value);

const shade = v => [68 + 185 * v, 1 + 230 * v, 84 - 47 * v];
function paint() {
  const context = $('canvas').getContext('2d'), picture = new ImageData(W, H);
  const show = $('map').value;
  for (let m = 0; m < H * W; ++m) {
    let rgb;
    if (show == 'confidence') rgb = shade(C[m]);
    else if (show == 'entropy') rgb = shade(h(C[m]));
    else rgb = [0, 1, 2].map(a => 255 * image[m * A + Math.min(a, A - 1)] * (show == 'attended' ? C[m] : 1));
    picture.data.set([...rgb, 255], 4 * m);
  }
  const small = Object.assign(document.createElement('canvas'), {width: W, height: H});
  small.getContext('2d').putImageData(picture, 0, 0);
  context.imageSmoothingEnabled = false;
  context.drawImage(small, 0, 0, W * zoom, H * zoom);
  context.lineWidth = 2;
  context.strokeStyle = '#ff5ea8';
  for (const w of state.drawn)
    context.strokeRect(w.left * zoom + 1, w.top * zoom + 1, w.side * zoom - 2, w.side * zoom - 2);
  $('cuts').replaceChildren(...state.drawn.map(w => {
    const cut = Object.assign(document.createElement('canvas'), {width: 96, height: 96});
    cut.title = `(${w.top}, ${w.left})`;
    cut.getContext('2d').imageSmoothingEnabled = false;
    cut.getContext('2d').drawImage(small, w.left, w.top, w.side, w.side, 0, 0, 96, 96);
    return cut;
  }));
  $('table').innerHTML = '<tr><th>window</th><th>mean C</th><th>mean h</th><th>weight</th></tr>' +
    state.drawn.map(w => `<tr><td>(${w.top}, ${w.left}) of ${w.side}</td><td>${w.c.toFixed(4)}</td>` +
    `<td>${w.e.toFixed(4)}</td><td>${w.weight.toFixed(4)}</td></tr>`).join('');
}
function draw() {
  const all = eligible(), total = all.reduce((sum, w) => sum + w.weight, 0);
  state.drawn = all.length == 0 ? [] : Array.from({length: 8}, () => {
    let left = Math.random() * total;
    return all.find(w => (left -= w.weight) <= 0) || all[all.length - 1];
  });
  paint();
}
function ofProgram() {
  const own = data.drawn.filter(w => w.label == state.k && w.image == state.n);
  state.drawn = own.map(w => numbers(w.top, w.left, data.side));
  const apart = Math.max(0, ...own.map((w, i) => Math.max(Math.abs(w.entropy - state.drawn[i].e),
    Math.abs(w.confidence - state.drawn[i].c))));
  $('check').textContent = own.length == 0 ? 'The program drew none of this class here.' :
    `Of ${own.length} windows of the program for this class here, mean C and mean h here are at most ` +
    `${apart.toExponential(1)} from its own.`;
  paint();
}
data.names.forEach((name, k) => $('class').add(new Option(name, k)));
data.ids.forEach((id, n) => $('image').add(new Option(id, n)));
const zoom = Math.max(1, Math.floor(640 / Math.max(H, W)));
$('canvas').width = W * zoom;
$('canvas').height = H * zoom;
Object.assign($('side'), {min: 4, max: Math.floor(Math.min(H, W) / 2), value: data.side});
Object.assign($('stride'), {min: 1, max: Math.floor(Math.min(H, W) / 4), value: data.stride});
function renew() {
  state.n = +$('image').value;
  state.k = +$('class').value;
  state.side = +$('side').value;
  state.stride = +$('stride').value;
  for (const id of ['side', 'stride', 'least']) $(id + '-now').textContent = $(id).value;
  look(state.n);
  take(state.k);
}
$('class').onchange = $('image').onchange = () => { renew(); ofProgram(); };
$('map').onchange = paint;
for (const id of ['side', 'stride', 'least']) $(id).oninput = () => { renew(); draw(); };
$('draw').onclick = draw;
$('program').onclick = ofProgram;
$('canvas').onmousemove = event => {
  const box = $('canvas').getBoundingClientRect(), half = Math.floor(state.side / 2);
  const place = (at, from, size, length) =>
    Math.max(0, Math.min(length - state.side, Math.floor((at - from) / size * length) - half));
  const top = place(event.clientY, box.top, box.height, H);
  const w = numbers(top, place(event.clientX, box.left, box.width, W), state.side);
  $('window').textContent = `Window (${w.top}, ${w.left}) of side ${w.side}: mean C = ${w.c.toFixed(4)}, ` +
    `so it is one of "${data.names[state.k]}" with that probability; mean h = ${w.e.toFixed(4)}, ` +
    `so its weight is max(1 - ${w.e.toFixed(4)}, 0.001) = ${w.weight.toFixed(4)}.`;
};
$('image').value = data.first.image;
$('class').value = data.first.label;
renew();
ofProgram();
)";

std::string base64_of(const float* values, int64_t n) {
  return base64(reinterpret_cast<const uint8_t*>(values), size_t(n) * sizeof(float));
}

// The first window of a foreground class, where there is one.
Patch first_shown(const std::vector<Patch>& drawn) {
  for (const Patch& p : drawn)
    if (p.label > 0) return p;
  return {};
}

}  // namespace

std::string patch_widget(const PatchImages& batch, const PatchOptions& options,
    const std::vector<Patch>& drawn, const std::vector<std::string>& class_names,
    const std::vector<std::string>& ids) {
  const Patch first = first_shown(drawn);
  nlohmann::ordered_json data{{"height", batch.height}, {"width", batch.width}, {"channels", batch.channels},
      {"classes", batch.classes}, {"side", options.side}, {"stride", options.stride},
      {"first", {{"image", first.image}, {"label", first.label}}},
      {"drawn", nlohmann::ordered_json::array()}};
  for (const Patch& p : drawn)
    data["drawn"].push_back({{"image", p.image}, {"top", p.top}, {"left", p.left}, {"label", p.label},
        {"entropy", p.entropy}, {"confidence", p.confidence}});
  for (int64_t k = 0; k < batch.classes; ++k) data["names"].push_back(class_name(class_names, k));
  data["ids"] = ids;
  const int64_t pixels = batch.n * batch.pixels();
  data["images"] = base64_of(batch.images, pixels * batch.channels);
  data["probabilities"] = base64_of(batch.confidence, pixels * batch.classes);
  return kAbout + std::string(kControls) + html::script("data", data, kScript);
}

void write_patch_page(const PatchImages& batch, const PatchOptions& options, const std::vector<Patch>& drawn,
    const std::vector<std::string>& class_names, const std::string& title, const std::string& path) {
  html::Page page("Where PatchCL takes its patches: " + title);
  page.raw(patch_widget(batch, options, drawn, class_names, {title}));
  page.save(path);
}

}  // namespace patchcl
