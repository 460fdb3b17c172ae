#!/usr/bin/env python3
"""Writes papers.safetensors: what PyTorch computes in f64 for one step of contrastive pre-training (Hu et
al., docs/methods.md 2), of methods with PDCR beside them (Li et al., 3.2, 3.6), and of both papers' networks:
instance norm and transposed convolutions (2.5), features weighted by their uncertainty (UAFS, 3.3).

    python3 tests/golden/make_papers.py tests/golden/papers.safetensors

The losses themselves are in make_contrast.py; here it is which views, pixels, labels and patches go into
them, and the heads. Needs torch and numpy; the tests need the file only. Data, random numbers and, but for
those of the papers, networks as in make_training.py. The options differ from every default, images are wider
than high. For each case:
  CASE.loss.TERM   PDCR's terms, and the whole loss
  CASE.grad.NAME   of the loss's gradient by each parameter, heads too, its norm and 4 projections
"""
import os
import sys
from functools import partial

import numpy as np
import torch
from torch import nn

sys.path.insert(0, os.path.dirname(__file__))
from make_contrast import pixel_contrast  # noqa: E402
from make_methods import (GAMMA, LABELED, Draws, agreement, base_views, masked_dice, norms_of,  # noqa: E402
                          ramp, single, supervised, target_of)
from make_training import (CLASSES, Net, Small, fill, gradients, images, labels,  # noqa: E402
                           save_safetensors, share_dropout, start_step, summary)
from make_unet import ConvBlock, Up, UNet  # noqa: E402

HEIGHT, WIDTH = 32, 48
DIMENSION, HIDDEN = 6, 5
GLOBAL_TAU = 0.4
STRIDE, BLOCK = 8, 8
PDCR_LEVELS, PDCR_VECTORS, PDCR_TAU, PDCR_WIDTH, PDCR_CONFIDENCE = (0, 1, 2), 20, 0.4, 6, 0.45
SITE_PDCR = 6000
FIELDS = {0: (5, 1), 1: (14, 2), 2: (32, 4)}  # of the encoder's levels: side and step in pixels, METHODS 3.2
MASK_POINTS = 9


def unit_length(v):
    return v / torch.sqrt((v * v).sum(-1, keepdim=True) + 1e-12)


class PaperNet(Net):
    """The UNet with the heads of both papers, and all of its maps."""

    def __init__(self, relu):
        super().__init__(Small.widths, DIMENSION)
        first, deepest = Small.widths[0], Small.widths[-1]
        between = nn.ReLU if relu else nn.Identity
        self.global_head, self.local_head = (
            nn.Sequential(nn.Linear(width, hidden), between(), nn.Linear(hidden, DIMENSION))
            for width, hidden in ((deepest, deepest), (first, HIDDEN)))
        self.predictor = nn.Sequential(nn.Linear(DIMENSION, DIMENSION), nn.BatchNorm1d(DIMENSION), nn.ReLU(),
                                       nn.Linear(DIMENSION, DIMENSION))
        self.pdcr = nn.ModuleDict({
            f"level{i}": nn.Sequential(nn.Linear(Small.widths[i], PDCR_WIDTH), nn.BatchNorm1d(PDCR_WIDTH))
            for i in PDCR_LEVELS})

    def maps(self, x):
        """Of the encoder and of the decoder, each from the finest on, and the logits."""
        encoder, decoder = self.encoder(x), []
        d, up = self.decoder, encoder[-1]
        for block, skip in zip((d.up1, d.up2, d.up3, d.up4), encoder[3::-1]):
            up = block(up, skip)
            decoder.insert(0, up)
        return encoder, decoder, d.out_conv(up)


def network(prefix="", relu=False):
    return fill(PaperNet(relu), prefix).train()


# --- The networks of both papers, METHODS 2.5 and 3.3 -------------------------------------------------------

GATED_WIDTHS = (4, 4, 8, 36, 36)  # a fourth of 36 is more than the 8 hidden channels that a gate has at least


class UNetOf(UNet):
    """SSL4MIS's UNet with another norm, transposed convolutions, or gates of m classes behind its blocks."""

    def __init__(self, widths, norm=nn.BatchNorm2d, decoder_norm=True, transposed=False, gates=(), m=2,
                 kernel=3):
        super().__init__(1, CLASSES, widths)
        share_dropout(self)
        for half in (self.encoder, self.decoder):
            for block in [b for b in half.modules() if isinstance(b, ConvBlock)]:
                self.change_norms(block.conv_conv, norm if decoder_norm or half is self.encoder else None)
                if half in [getattr(self, name) for name in gates]:
                    self.add_gate(block, m, kernel)
        for up in [u for u in self.modules() if transposed and isinstance(u, Up)]:
            up.up = nn.ConvTranspose2d(up.conv1x1.in_channels, up.conv1x1.out_channels, 2, 2)
            up.conv1x1 = nn.Identity()

    @staticmethod
    def change_norms(layers, norm):
        for i, layer in enumerate(layers):
            if isinstance(layer, nn.BatchNorm2d):
                layers[i] = norm(layer.num_features) if norm else nn.Identity()

    @staticmethod
    def add_gate(block, m, kernel):
        channels = block.conv_conv[0].out_channels
        hidden = max(8, channels // 4)
        block.uafs = nn.Sequential(nn.Conv2d(channels, hidden, kernel, padding=kernel // 2),
                                   nn.BatchNorm2d(hidden), nn.ReLU(), nn.Conv2d(hidden, m, 1))
        block.register_forward_hook(lambda _, __, x: x * (2 - uncertainty(block.uafs(x))))


def uncertainty(a):
    u = torch.cat([torch.sigmoid(a), torch.sigmoid(-a)], 1) if a.shape[1] == 1 else torch.softmax(a, 1)
    return -(u * torch.log(u)).sum(1, keepdim=True) / np.log(u.shape[1])


def of_network(**changes):
    """A supervised step."""
    net = fill(UNetOf(**changes)).train()
    start_step(6)
    logits = net(images("papers.images", 2, HEIGHT, WIDTH))
    return net, {"total": sum(supervised(logits, labels("papers.labels", 2, HEIGHT, WIDTH))) / 2}


# --- Contrastive pre-training, METHODS 2.2 and 2.3 ----------------------------------------------------------

def embedded(net, both):
    return unit_length(net.global_head(net.encoder(both)[-1].mean((2, 3))))


def nt_xent(z):
    b = len(z) // 2
    losses = []
    for i in range(2 * b):
        sibling = i + b if i < b else i - b
        s = z @ z[i] / GLOBAL_TAU
        losses.append(torch.logsumexp(torch.cat([s[:i], s[i + 1:]]), 0) - s[sibling])
    return torch.stack(losses).mean()


def global_loss(form, both):
    relu = form == "simsiam"
    net, b = network(relu=relu), len(both) // 2
    start_step(1)
    z = embedded(net, both)
    if form == "nt-xent":
        return net, {"total": nt_xent(z)}
    p, compared = unit_length(net.predictor(z)), z.detach()
    if form == "byol":  # an average of the network: no dropout, the batch's statistics
        teacher = network("teacher.").eval()
        for m in norms_of(teacher):
            m.train()
        with torch.no_grad():
            compared = embedded(teacher, both)
    products = [p[i] @ compared[(i + b) % (2 * b)] for i in range(2 * b)]
    mean = sum(products) / (2 * b)
    return net, {"total": 2 - 2 * mean if form == "byol" else -mean}


def pixel_groups(selection, scope, n):
    """Lists of (image, row, column), each of one tile of one image or of all."""
    side = (BLOCK, BLOCK) if selection == "block" else (HEIGHT, WIDTH)
    step = 1 if selection == "block" else STRIDE
    groups = []
    for together in ([[i] for i in range(n)] if scope == "image" else [range(n)]):
        for top in range(0, HEIGHT, side[0]):
            for left in range(0, WIDTH, side[1]):
                groups.append([(i, r, c) for i in together for r in range(top, top + side[0], step)
                               for c in range(left, left + side[1], step)])
    return groups


def local_loss(both, y, selection, scope, wanted, form, denominator):
    net, n = network(), len(y)
    start_step(4)
    maps = net.maps(both)[1][0]
    losses = []
    for group in pixel_groups(selection, scope, n):
        pixels = torch.stack([maps[i + view * n, :, r, c] for view in range(2) for i, r, c in group])
        if wanted == "truth":
            label = torch.tensor([int(y[i, r, c]) for i, r, c in group])
        else:
            label = torch.arange(1, len(group) + 1)
        f, label = unit_length(net.local_head(pixels)), torch.cat([label, label])
        if has_anchor(label):
            losses.append(pixel_contrast(f[None], label[None], form, denominator))
    print(f"{len(losses)} groups with anchors")
    return net, {"total": torch.stack(losses).mean()}


def has_anchor(label):
    """Both views show each pixel, so a pixel of the foreground has a positive."""
    return bool((label > 0).any()) and len(label.unique()) > 1


# --- PDCR, METHODS 3.2 and 3.6 ------------------------------------------------------------------------------

def drawn_cells(h, w, level, t):
    """Rows and columns of a regular grid whose phase is drawn."""
    step = next(s for s in range(1, h + 1) if (h // s) * (w // s) <= PDCR_VECTORS)
    rows, columns = h // step, w // step
    draws = Draws(t, SITE_PDCR + level)
    top = draws.below(h - (rows - 1) * step)
    left = draws.below(w - (columns - 1) * step)
    return [(top + i * step, left + j * step) for i in range(rows) for j in range(columns)]


def within(cell, jump, side, size):
    """Pixels of one axis within `side` around the centre of a map's pixel."""
    return [m for m in range(size) if abs(m + 0.5 - jump * (cell + 0.5)) < side / 2]


def mask_points(y, cell, jump, side):
    """The middles of 9 x 9 equal parts of the patch; outside the image there is no foreground."""
    shown = np.zeros((CLASSES - 1, MASK_POINTS, MASK_POINTS))
    middles = (np.arange(MASK_POINTS) + 0.5) * side / MASK_POINTS
    rows, columns = (np.floor(jump * (i + 0.5) - side / 2 + middles).astype(int) for i in cell)
    for i, r in enumerate(rows):
        for j, c in enumerate(columns):
            if 0 <= r < y.shape[0] and 0 <= c < y.shape[1] and y[r, c] > 0:
                shown[y[r, c] - 1, i, j] = 1
    return shown.reshape(-1)


def patch_of(image, cell, jump, side):
    return image[np.ix_(*(within(i, jump, side, size) for i, size in zip(cell, image.shape)))]


def shown_by(y, cell, jump, side, affinity):
    if affinity == "dice":
        return mask_points(y, cell, jump, side)
    patch = patch_of(y, cell, jump, side)
    return np.array([(patch == k).mean() for k in range(affinity == "ratio", CLASSES)])


class Vectors:
    """The vectors of a map's grid, and of each set of sides what their patches show and which count."""

    def __init__(self, x, level, t, y, sure, sets_of_sides, o):
        jump = FIELDS[level][1]
        cells = drawn_cells(x.shape[2], x.shape[3], level, t)
        self.rows = torch.stack([torch.stack([x[i, :, r, c] for r, c in cells]) for i in range(len(y))])
        if o.get("position"):
            places = np.array([position(r * jump, c * jump, x.shape[1]) for r, c in cells])
            self.rows = unit_length(self.rows) + unit_length(torch.from_numpy(single(places)))
        self.patches = []
        for sides in sets_of_sides:  # the product keeps what patches show in f32
            phi = [[sum(single(shown_by(image, cell, jump, s, o["affinity"]) / len(sides)) for s in sides)
                    for cell in cells] for image in y]
            certain = [[np.mean([patch_of(image, cell, jump, s).mean() for s in sides])
                        for cell in cells] for image in sure]
            self.patches.append((torch.from_numpy(single(phi)), np.array(certain) >= PDCR_CONFIDENCE))
        print(f"level {level}: of {len(cells)} patches count", *(int(c.sum()) for c in self.patches[0][1]))


def position(y, x, c):
    half = c // 2
    w = [10 ** (-16 * k / c) for k in range(half)]
    return [(np.cos if k % 2 else np.sin)(at * w[k // 2]) for at in (y, x) for k in range(half)]


def divergence(a, b, affinity):
    apart = (a - b).abs().sum(1)
    if affinity == "ratio":
        return apart
    if affinity == "variation":
        return apart / 2
    return torch.where((a + b).sum(1) > 0, apart / (a + b).sum(1).clamp(min=1e-9), torch.zeros_like(apart))


def dragsaw(f, p, g, q, o):
    """Of the vectors f and g of some images, whose patches are p and q."""
    by_image = []
    for b in range(len(f)):
        rows, columns = np.flatnonzero(p[1][b]), np.flatnonzero(q[1][b])
        if len(rows) == 0 or len(columns) == 0:
            continue
        losses = []
        for i in rows:
            cos = g[b][columns] @ f[b][i]
            div = divergence(p[0][b][i][None], q[0][b][columns], o["affinity"])
            if o["form"] == "l2":
                losses.append((((1 - cos) / 2 - div) ** 2).mean())
            else:
                s = (cos - 1) / PDCR_TAU
                losses.append((-s * (1 - div)).mean() + torch.logsumexp(s * div, 0))
        by_image.append(torch.stack(losses).mean())
    return torch.stack(by_image).mean()


def of_pair(f, v, g, w, o):
    """The mean over the sets of sides."""
    return sum(dragsaw(f, p, g, q, o) for p, q in zip(v.patches, w.patches)) / len(v.patches)


def pdcr_terms(net, encoder, decoder, y, sure, t, o):
    def vectors(maps, level):
        side, jump = FIELDS[level]
        sides = [side] if "sides" not in o else [s * jump for s in o["sides"]]
        sets_of_sides = [sides] if o.get("average") == "ratio" else [[s] for s in sides]
        return Vectors(maps[level], level, t, y, sure, sets_of_sides, o)

    terms = {}
    for name, maps in (("pdcr", encoder), ("pdcr_decoder", decoder)):
        if name in o:
            levels = [vectors(maps, level) for level in PDCR_LEVELS]
            terms[name] = sum(of_pair(unit_length(v.rows), v, unit_length(v.rows), v, o)
                              for v in levels) / len(levels)
    if "pdcr_cross" in o:
        levels = [vectors(encoder, level) for level in PDCR_LEVELS]
        seen = []
        for level, v in zip(PDCR_LEVELS, levels):
            b, n, c = v.rows.shape
            projected = torch.relu(net.pdcr[f"level{level}"](v.rows.reshape(b * n, c)))
            seen.append(unit_length(projected).reshape(b, n, -1))
        pairs = [(i, j) for i in range(len(levels)) for j in range(len(levels)) if i < j]
        terms["pdcr_cross"] = sum(of_pair(seen[i], levels[i], seen[j], levels[j], o)
                                  for i, j in pairs) / len(pairs)
    return terms


def seen_unlabeled(method, x, strong, y, t):
    """What the student sees of unlabelled images, what it is to agree with, pseudo-labels, confidence."""
    teacher = network("teacher.")
    if method == "base":
        seen, wanted, sure = base_views(teacher, x, strong, y, t)
        return seen, (wanted, sure), wanted, sure
    p = target_of(method, None, teacher, x[LABELED:], t)
    sure, wanted = p.max(1)
    return x[LABELED:], p, wanted, sure


def with_pdcr(method, width, o):
    """One step of a method with PDCR: on labelled images, or with pseudo-labels on unlabelled ones too."""
    net = network()
    x, strong = images("papers.images", 4, HEIGHT, width), images("papers.strong", 4, HEIGHT, width)
    y, t = labels("papers.labels", LABELED, HEIGHT, width), o["step"]
    sure, shown = torch.ones(y.shape, dtype=torch.double), x[:LABELED]
    if method != "supervised":
        seen, target, wanted, known = seen_unlabeled(method, x, strong, y, t)
        shown, y, sure = torch.cat([shown, seen]), torch.cat([y, wanted]), torch.cat([sure, known])
    start_step(t)
    encoder, decoder, logits = net.maps(shown)
    total = sum(supervised(logits[:LABELED], y[:LABELED])) / 2
    if method == "base":
        total = total + GAMMA * ramp(t) * masked_dice(logits[LABELED:], *target)
    if method == "mean-teacher":
        total = total + GAMMA * ramp(t) * agreement(method, None, logits[LABELED:], target, None, t)
    terms = pdcr_terms(net, encoder, decoder, y.numpy(), single(sure.numpy()), t, o)
    terms["total"] = total + sum(o[name] * loss for name, loss in terms.items())
    return net, terms


# --- What is written ----------------------------------------------------------------------------------------

def cases():
    views = [images(f"papers.{v}", 3, HEIGHT, WIDTH) for v in ("images", "strong", "other")]
    y = labels("papers.labels", 3, HEIGHT, WIDTH)
    for form in ("nt-xent", "byol", "simsiam"):
        yield form, global_loss(form, torch.cat(views[:2]))
    both = torch.cat(views[1:])
    yield "stride-batch", local_loss(both, y, "stride", "batch", "truth", "released", "negatives")
    yield "stride-image", local_loss(both, y, "stride", "image", "truth", "released", "negatives")
    yield "block-batch", local_loss(both, y, "block", "batch", "truth", "paper", "all")
    yield "block-image", local_loss(both, y, "block", "image", "truth", "paper", "all")
    yield "position-batch", local_loss(both, y, "stride", "batch", "position", "released", "negatives")
    yield "position-image", local_loss(both, y, "block", "image", "position", "paper", "all")
    ratio = {"affinity": "ratio", "form": "contrastive"}
    yield "pdcr-field", with_pdcr("mean-teacher", WIDTH, {**ratio, "step": 6, "pdcr": 0.7})
    yield "pdcr-hierarchy", with_pdcr("supervised", WIDTH, {
        **ratio, "step": 6, "pdcr": 0.6, "pdcr_decoder": 0.5, "pdcr_cross": 0.4, "sides": (3, 5),
        "position": True})
    yield "pdcr-mixed", with_pdcr("base", HEIGHT, {
        "step": 6, "affinity": "variation", "form": "l2", "pdcr_decoder": 0.5, "pdcr_cross": 0.4,
        "sides": (3, 7), "average": "ratio"})
    yield "pdcr-dice", with_pdcr("supervised", WIDTH, {
        "step": 1, "affinity": "dice", "form": "contrastive", "pdcr": 0.7})
    yield "instance", of_network(
        widths=Small.widths, norm=nn.InstanceNorm2d, decoder_norm=False, transposed=True)
    yield "instance-affine", of_network(widths=Small.widths, norm=partial(nn.InstanceNorm2d, affine=True))
    yield "uafs-all", of_network(widths=GATED_WIDTHS, gates=("encoder", "decoder"), m=3, kernel=5)
    yield "uafs-decoder", of_network(widths=GATED_WIDTHS, gates=("decoder",), m=1)


def main():
    out = {}
    for case, (net, terms) in cases():
        for term, loss in terms.items():
            out[f"{case}.loss.{term}"] = loss.detach().reshape(1).numpy()
        terms["total"].backward()
        for name, g in gradients(net):
            out[f"{case}.grad.{name}"] = summary(name, g)
        print(case, {term: round(loss.item(), 9) for term, loss in terms.items()})
    save_safetensors(sys.argv[1], out)
    print(f"{len(out)} tensors, {os.path.getsize(sys.argv[1]) / 1024:.0f} KiB")


if __name__ == "__main__":
    main()
