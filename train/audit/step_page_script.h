// What moves on the page of a step: plain scripts over the numbers that step_page.cpp writes.
#pragma once
#include <string>

namespace patchcl {

inline const std::string kEmbeddingMarkup = R"(<p>
Each dot is a window's embedding t (length 1), each cross the mean of a class's queue mu_k, on the two
directions of their largest variance. Point at one.</p>
<svg id="points" viewBox="0 0 520 320" style="max-width:640px;background:#fafafa" font-family="sans-serif"
font-size="11"></svg><p id="point" style="min-height:3em"></p>
)";

inline const char* const kEmbeddingScript = R"(
const colours = ['#7b848f', '#4878a8', '#6a9f58', '#d1605e', '#e49444', '#a87c9f'];
const nameOf = k => data.names[k] || `class ${k}`;
const svg = document.getElementById('points'), space = 'http://www.w3.org/2000/svg';
const range = key => {
  const all = data.points.map(p => p[key]), low = Math.min(...all), high = Math.max(...all);
  return v => (v - low) / (high - low || 1);
};
const x = range('x'), y = range('y');
const add = (tag, attributes, text) => {
  const e = document.createElementNS(space, tag);
  for (const [name, value] of Object.entries(attributes)) e.setAttribute(name, value);
  if (text) e.textContent = text;
  return svg.appendChild(e);
};
data.points.forEach(p => {
  const at = {x: 20 + 400 * x(p.x), y: 20 + 280 * (1 - y(p.y))}, colour = colours[Math.max(p.label, 0) % 6];
  const mark = p.mean ?
    add('path', {d: `M${at.x - 7} ${at.y}h14M${at.x} ${at.y - 7}v14`, stroke: colour, 'stroke-width': 3}) :
    add('circle', {cx: at.x, cy: at.y, r: 5, fill: p.label < 0 ? '#ddd' : colour, 'fill-opacity': 0.75});
  mark.onmouseenter = () => {
    const own = p.label < 0 ? 'a class that is not ready' : nameOf(p.label);
    document.getElementById('point').textContent = (p.mean ? `The mean of ${own}` : `A window of ${own}`) +
      '; cosines with the means: ' + p.cosines.map((c, k) => `${nameOf(k)} ${c.toFixed(3)}`).join(', ');
  };
});
const classes = [...new Set(data.points.map(p => p.label))].filter(k => k >= 0).sort((a, b) => a - b);
classes.forEach((k, i) => {
  add('rect', {x: 440, y: 20 + 18 * i, width: 10, height: 10, fill: colours[k % 6]});
  add('text', {x: 456, y: 29 + 18 * i}, nameOf(k));
});
)";

inline const std::string kBackwardMarkup = R"(<p>
From the loss (left) to the first layer (right): root mean square of dL/dy at each op, on a logarithmic axis.
Move the slider, or click the curve, to follow it back.</p>
<svg id="flow" viewBox="0 0 1000 200" style="background:#fafafa;cursor:crosshair" font-family="sans-serif"
font-size="11"></svg>
<p><button id="back">one op back</button> <input type="range" id="at" min="0" value="0" style="width:60%">
<label>image <select id="of"></select></label></p>
<h3 id="name"></h3><p id="numbers"></p><ul id="parameters"></ul>
<div style="display:flex;gap:1em;flex-wrap:wrap"><figure><canvas id="value" style="width:300px;
image-rendering:pixelated"></canvas><figcaption id="value-says"></figcaption></figure>
<figure><canvas id="gradient" style="width:300px;image-rendering:pixelated"></canvas><figcaption
id="gradient-says"></figcaption></figure></div>
)";

inline const char* const kBackwardScript = R"(
const $ = id => document.getElementById(id), ops = data.ops;
const exact = v => v === null ? 'not finite' : v.toExponential(3);
const heights = ops.map(o => Math.log10(Math.max(o.gradient, 1e-300)));
const shown = heights.filter(v => v > -290), low = Math.min(...shown), high = Math.max(...shown);
const px = i => 50 + 930 * i / Math.max(ops.length - 1, 1);
const py = v => 180 - 160 * (Math.max(v, low) - low) / (high - low || 1);
$('flow').innerHTML = [low, (low + high) / 2, high].map(v => `<line x1="50" x2="980" y1="${py(v)}"
  y2="${py(v)}" stroke="#ddd"/><text x="44" y="${py(v) + 4}" text-anchor="end">${(10 ** v).toExponential(0)}
  </text>`).join('') + `<polyline fill="none" stroke="#4878a8" stroke-width="1.5" points="` +
  heights.map((v, i) => `${px(i)},${py(v)}`).join(' ') +
  '"/><line id="cursor" y1="10" y2="190" stroke="#d1605e"/>';
function picture(id, map, n) {
  const canvas = $(id), says = $(id + '-says');
  canvas.hidden = !map;
  says.textContent = '';
  if (!map) return;
  n = Math.min(n, map.n - 1);
  const bytes = Uint8Array.from(atob(map.values), c => c.charCodeAt(0)), size = map.height * map.width;
  canvas.width = map.width;
  canvas.height = map.height;
  const context = canvas.getContext('2d'), image = context.createImageData(map.width, map.height);
  for (let m = 0; m < size; ++m) {
    const v = bytes[n * size + m] / 255;
    image.data.set([68 + 185 * v, 1 + 230 * v, 84 - 47 * v, 255], 4 * m);
  }
  context.putImageData(image, 0, 0);
  says.textContent = `${id == 'value' ? 'y' : 'dL/dy'}, root mean square over channels; yellow is ` +
    `${exact(map.most)}`;
}
function show() {
  const i = +$('at').value, o = ops[i];
  $('cursor').setAttribute('x1', px(i));
  $('cursor').setAttribute('x2', px(i));
  $('name').textContent = `${o.op}${o.layer ? ' in ' + o.layer : ''}, ${o.shape}`;
  const place = data.sources ?
    `<a href="file://${data.sources}/${o.at.split(':')[0]}">${o.at}</a>` : o.at;
  $('numbers').innerHTML = `op ${i + 1} of ${ops.length} on the way back; |y| ${exact(o.value)}, ` +
    `|dL/dy| ${exact(o.gradient)} (root mean squares); recorded at ${place}`;
  $('parameters').innerHTML =
    (o.parameters || []).map(p => `<li>${p.name}: |dL/dw| ${exact(p.gradient)}</li>`).join('');
  const images = o.value_map ? o.value_map.n : 1, n = Math.min(+$('of').value || 0, images - 1);
  $('of').innerHTML = Array.from({length: images}, (_, k) => `<option value="${k}">${k}</option>`).join('');
  $('of').value = n;
  picture('value', o.value_map, n);
  picture('gradient', o.gradient_map, n);
}
$('at').max = ops.length - 1;
$('at').oninput = $('of').onchange = show;
$('back').onclick = () => { $('at').value = +$('at').value + 1; show(); };
$('flow').onclick = event => {
  const box = $('flow').getBoundingClientRect(), at = (event.clientX - box.left) / box.width * 1000;
  $('at').value = Math.round((at - 50) / 930 * (ops.length - 1));
  show();
};
show();
)";

}  // namespace patchcl
