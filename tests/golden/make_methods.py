#!/usr/bin/env python3
"""Writes methods.safetensors: what PyTorch and numpy compute in f64 for steps of whole methods, options and all.

    python3 tests/golden/make_methods.py tests/golden/methods.safetensors

Needs torch and numpy; the tests need the file only. Networks, data and random numbers as in make_training.py. The options
differ from every default. Contents:
  steps.METHOD.*   ten steps of SGD, two of them warm-up: the ten losses, and per tensor of student and teacher, running
                   statistics too, its norm and 4 projections
  patchcl.*        one step of PatchCL in the warm-up and one in the main phase, on patches, augmented patches and queues
                   that formulas give: the teacher's keys, the statistics with truncated hard negatives, all terms, and under
                   PHASE.grad.TERM.NAME norm and projections of each term's gradient
  region.*         the main phase with regions of the decoder's map against class means, likewise
"""
import contextlib
import math
import os
import sys

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

sys.path.insert(0, os.path.dirname(__file__))
from make_training import (CLASSES, SEED, Net, Small, average, cut_patches, dice_loss, fill, gradients,  # noqa: E402
                           guided_contrastive, images, labels, queue_statistics, random_bits, save_safetensors,
                           start_step, summary, unit)

STEPS, LABELED = 10, 2
LR, MOMENTUM, WEIGHT_DECAY, EMA = 0.015, 0.8, 1e-3, 0.7
WARM_UP, RAMP_UP, GAMMA, BETA = 0.2, 0.5, 3, 0.3
EARLY, LATE = dict(tau=0.7, lam=3, psi=64), dict(tau=0.5, lam=4, psi=16)
INFO_NCE_TAU, INFO_NCE_NEGATIVES = 0.4, 5
CONFIDENCE, DROPOUT_PASSES = 0.4, 2
SITE_TEACHER, SITE_NOISE, SITE_PATCHES, SITE_UNCERTAINTY = 1000, 3000, 4500, 10000
SITE_SECOND_STUDENT, SITE_SECOND_TEACHER, SITE_PASTE, SITE_TURNS = 2000, 2500, 5000, 5109
CHANNEL_DROPOUT = 0.4
PSEUDO_WEIGHT = 0.3
CAPACITY, READY, FILLED = 24, 20, (23, 24, 20, 4)  # of the queues; the last class is not ready


def warming_up(t):
    return t < WARM_UP * STEPS


def ramp(t):
    return np.exp(-5 * (1 - np.clip((t - WARM_UP * STEPS) / (RAMP_UP * STEPS), 0, 1)) ** 2)


def supervised(logits, y):
    return F.cross_entropy(logits, y), dice_loss(torch.softmax(logits, 1), y)


# --- Targets and consistency, METHODS 4.4 -----------------------------------------------------------------------------

def predict(net, x, t, site=0, training=False):
    net.train(training)
    start_step(t, site)
    with torch.no_grad():
        return torch.softmax(net(x), 1)


def noisy(x, t, site):
    u = (random_bits(SEED, t, site, 2 * x.numel()) + 0.5) / 4294967296.0
    normal = np.sqrt(-2 * np.log(u[0::2])) * np.cos(2 * np.pi * u[1::2])
    return x + torch.from_numpy(np.clip(0.1 * normal, -0.2, 0.2).reshape(x.shape))  # one channel


def target_of(method, net, teacher, x, t):
    if method == "fixmatch":
        return predict(net, x, t)
    if method == "patchcl":
        return predict(teacher, x, t)
    return predict(teacher, noisy(x, t, SITE_NOISE), t, SITE_TEACHER, training=True)


def agreement(method, teacher, logits, target, x, t):
    if method == "fixmatch":
        best, y = target.max(1)
        return (F.cross_entropy(logits, y, reduction="none") * (best >= CONFIDENCE)).mean()
    error = (torch.softmax(logits, 1) - target) ** 2
    if method != "ua-mt":
        return error.mean()
    sites = [SITE_UNCERTAINTY + 100 * i for i in range(DROPOUT_PASSES)]
    q = sum(predict(teacher, noisy(x, t, s + 99), t, s, training=True) for s in sites) / DROPOUT_PASSES
    certain = (-(q * q.log()).sum(1, keepdim=True) < (0.75 + 0.25 * ramp(t)) * np.log(2)).double()
    weight = single(error.numel() / (2 * certain.sum() + 1e-16))  # the product's weights are f32
    return (error * certain).mean() * float(weight)


# --- Mixing, METHODS 7.2, 7.4, 7.7 --------------------------------------------------------------------------------------

class Draws:
    """Rng of tensor/random.h: numbers drawn one after the other."""

    def __init__(self, t, site):
        self.bits = iter(random_bits(SEED, t, site, 1000).tolist())

    def below(self, n):
        return next(self.bits) * n >> 32

    def uniform(self):
        return (next(self.bits) + 0.5) / 4294967296.0

    def gamma(self):
        return -np.log(np.prod([self.uniform() for _ in range(4)]))


def square(draws, side):
    edge = side * 2 // 3
    top, left = draws.below(side - edge + 1), draws.below(side - edge + 1)
    return slice(top, top + edge), slice(left, left + edge)


def cut_mix_boxes(draws, n, side):
    a, b = draws.gamma(), draws.gamma()
    edge = int(side * np.sqrt(b / (a + b)))
    boxes = []
    for _ in range(n):
        y, x = (side // 8 + draws.below(side - side // 8) for _ in range(2))
        boxes.append(tuple(slice(max(c - edge // 2, 0), min(c + edge // 2, side)) for c in (y, x)))
    order = list(range(n))
    for i in range(n - 1, 0, -1):
        j = draws.below(i + 1)
        order[i], order[j] = order[j], order[i]
    return boxes, order


def pasted(base, patch, box):
    out = base.clone()
    out[..., box[0], box[1]] = patch[..., box[0], box[1]]
    return out


def largest_components(y):
    """Of each class the largest 8-connected part, of equals the first; the rest is background."""
    out = y.clone()
    for image in out:
        seen, best = np.zeros(image.shape, bool), {}
        for start in np.ndindex(*image.shape):
            k = int(image[start])
            if k == 0 or seen[start]:
                continue
            part, todo = [], [start]
            seen[start] = True
            while todo:
                r, c = todo.pop()
                part.append((r, c))
                for p in np.ndindex(3, 3):
                    q = (r + p[0] - 1, c + p[1] - 1)
                    if min(q) >= 0 and max(q) < len(image) and not seen[q] and int(image[q]) == k:
                        seen[q] = True
                        todo.append(q)
            if len(part) > len(best.get(k, [])):
                best[k] = part
        kept = torch.zeros_like(image)
        for k, part in best.items():
            for p in part:
                kept[p] = k
        image.copy_(kept)
    return out


def region_loss(logits, y, box, w_out, w_in):
    """CE and Dice, each region by its own pixels."""
    inside = pasted(torch.zeros(y.shape, dtype=torch.double), torch.ones(y.shape, dtype=torch.double), box)
    ce, p = F.cross_entropy(logits, y, reduction="none"), torch.softmax(logits, 1)
    g = F.one_hot(y, CLASSES).permute(0, 3, 1, 2).double()
    total_ce = total_dice = 0
    for region, w in ((1 - inside, w_out), (inside, w_in)):
        overlap, sizes = (region[:, None] * p * g).sum((0, 2, 3)), (region[:, None] * (p * p + g)).sum((0, 2, 3))
        each = float(single(w * y.numel() / region.sum().item())) / y.numel()  # the product's weights are f32
        total_ce = total_ce + (region * ce).sum() * each
        total_dice = total_dice + w * (1 - (2 * overlap + 1e-10) / (sizes + 1e-10)).mean()
    return total_ce + total_dice


def bcp_loss(net, teacher, x, y, t):
    box = square(Draws(t, SITE_PASTE), 32)
    net.train()
    start_step(t)
    if warming_up(t):
        return region_loss(net(pasted(x[:1], x[1:2], box)), pasted(y[:1], y[1:2], box), box, 1, 1) / 2
    wanted = [largest_components(predict(teacher, x[i:i + 1], t, site, training=True).argmax(1))
              for i, site in ((2, SITE_TEACHER), (3, SITE_SECOND_TEACHER))]
    net.train()
    start_step(t)
    loss = region_loss(net(pasted(x[2:3], x[:1], box)), pasted(wanted[0], y[:1], box), box, PSEUDO_WEIGHT, 1)
    start_step(t, SITE_SECOND_STUDENT)
    return (loss + region_loss(net(pasted(x[1:2], x[3:], box)), pasted(y[1:2], wanted[1], box), box, 1, PSEUDO_WEIGHT)) / 2


def predict_by_batch(net, x):
    """With the batch's own statistics, which leave no trace, and without dropout."""
    with own_statistics(net), torch.no_grad():
        net.eval()
        for m in norms_of(net):
            m.train()
        p = torch.softmax(net(x), 1)
        net.train()
    return p


def base_views(teacher, x, strong, y, t):
    """What the student sees of unlabelled images, their pseudo-labels, and which of those count."""
    best, wanted = predict_by_batch(teacher, x[LABELED:]).max(1)
    sure = (best >= CONFIDENCE).double()
    draws, seen = Draws(t, SITE_PASTE), strong[LABELED:]
    if draws.below(2) == 0:
        box = square(draws, 32)
        return pasted(seen, x[:LABELED], box), pasted(wanted, y, box), pasted(sure, torch.ones_like(sure), box)
    boxes, order = cut_mix_boxes(draws, len(seen), 32)
    return tuple(torch.stack([pasted(v[i], v[order[i]], boxes[i]) for i in range(len(v))])
                 for v in (seen, wanted, sure))


def base_loss(net, teacher, x, strong, y, t):
    net.train()
    start_step(t)
    if warming_up(t):
        return sum(supervised(net(x), y)) / 2
    seen, wanted, sure = base_views(teacher, x, strong, y, t)
    start_step(t)
    logits = net(torch.cat([x[:LABELED], seen]))
    agreed = masked_dice(logits[LABELED:], wanted, sure)
    return sum(supervised(logits[:LABELED], y)) / 2 + GAMMA * ramp(t) * agreed


def masked_dice(logits, y, sure):
    p, g = torch.softmax(logits, 1), F.one_hot(y, CLASSES).permute(0, 3, 1, 2).double()
    overlap, sizes = (sure[:, None] * p * g).sum((0, 2, 3)), (sure[:, None] * (p * p + g)).sum((0, 2, 3))
    return (1 - (2 * overlap + 1e-5) / (sizes + 1e-5)).mean()


def random_cut(draws, side):
    cuts = draws.below(2) == 0
    area = (0.02 + (0.4 - 0.02) * draws.uniform()) * side * side
    while True:
        aspect = 0.3 + (1 / 0.3 - 0.3) * draws.uniform()
        h, w = int(np.sqrt(area * aspect)), int(np.sqrt(area / aspect))
        top, left = draws.below(side), draws.below(side)
        if top + h <= side and left + w <= side:
            return (slice(top, top + h), slice(left, left + w)) if cuts else (slice(0, 0), slice(0, 0))


def unimatch_loss(net, x, strong, other, y, t):
    n, m = LABELED, LABELED
    x = torch.cat([x[:n], torch.floor(255 * x[n:]) / 255])
    p_v = predict(net, x[n + m:], t)
    net.train()
    start_step(t)
    maps = net.encoder(x[:n + m])
    for level, f in enumerate(maps):
        kept = random_bits(SEED, t, 5 + level, f.shape[0] * f.shape[1]) >= int(CHANNEL_DROPOUT * 4294967296)
        scaled = torch.from_numpy(kept / (1 - CHANNEL_DROPOUT)).reshape(f.shape[0], f.shape[1], 1, 1)
        maps[level] = torch.cat([f, f * scaled])
    logits = net.decoder(maps)
    plain, perturbed = logits[:n + m], logits[n + m + n:]
    (c_u, y_u), (c_v, y_v) = torch.softmax(plain[n:], 1).detach().max(1), p_v.max(1)
    of_u, of_v = (c_u >= CONFIDENCE).double(), (c_v >= CONFIDENCE).double()
    draws, views = Draws(t, SITE_PASTE), []
    for shown in (strong, other):
        boxes = [random_cut(draws, 32) for _ in range(m)]
        views.append([torch.stack([pasted(u[i], v[i], boxes[i]) for i in range(m)])
                      for u, v in ((shown[n:n + m], shown[n + m:]), (y_u, y_v), (of_u, of_v))])
    start_step(t, SITE_SECOND_STUDENT)
    seen = net(torch.cat([views[0][0], views[1][0]]))
    d1, d2 = (masked_dice(seen[i * m:(i + 1) * m], views[i][1], views[i][2]) for i in range(2))
    return sum(supervised(plain[:n], y)) / 4 + (d1 + d2) / 8 + masked_dice(perturbed, y_u, of_u) / 4


def first_is_active(t):
    draws, first = Draws(0, SITE_TURNS), True
    end = 1 + draws.below(50)
    while end <= t:
        first, end = not first, end + 1 + draws.below(50)
    return first


def ad_mt_loss(net, teacher, second, x, strong, y, t, form):
    """form: "" as ours, "uncut" as released, "plain" without CutMix, teachers as in base."""
    net.train()
    start_step(t)
    if warming_up(t):
        return sum(supervised(net(x), y)) / 2
    first, u = first_is_active(t), x[LABELED:]
    p1, p2 = (predict_by_batch(who, u) if form == "plain" else predict(who, u, t, site, training=active)
              for who, site, active in ((teacher, SITE_TEACHER, first), (second, SITE_SECOND_TEACHER, not first)))
    e1, e2 = (torch.exp((p * torch.log2(p)).sum(1, keepdim=True)) for p in (p1, p2))
    c, wanted = ((e1 * p1 + e2 * p2) / (e1 + e2)).max(1)
    disputed, seen = p1.argmax(1) != p2.argmax(1), strong[LABELED:]
    boxes, order = cut_mix_boxes(Draws(t, SITE_PASTE), len(u), 32)

    def cut(v):
        return torch.stack([pasted(v[i], v[order[i]], boxes[i]) for i in range(len(v))])

    if not first and form != "plain":
        seen, wanted, c, disputed = cut(u), cut(wanted), cut(c), cut(disputed)
    net.train()
    start_step(t)
    logits = net(torch.cat([x, seen]))
    own_c, own = torch.softmax(logits[LABELED:2 * LABELED], 1).detach().max(1)
    if not first and form == "":
        own_c, own = cut(own_c), cut(own)
    surer = disputed & (own != wanted) & (own_c > c)
    wanted, c = torch.where(surer, own, wanted), torch.where(surer, own_c, c)
    agreed = masked_dice(logits[2 * LABELED:], wanted, (c >= CONFIDENCE).double())
    return sum(supervised(logits[:LABELED], y)) / 2 + GAMMA * ramp(t) * agreed


# --- PatchCL: queues, moments, hard negatives, METHODS 1.6 to 1.8 -----------------------------------------------------

def norms_of(net):
    return [m for m in net.modules() if isinstance(m, (nn.BatchNorm1d, nn.BatchNorm2d))]


@contextlib.contextmanager
def own_statistics(net):
    """The batch's statistics leave the running ones alone."""
    momenta = [m.momentum for m in norms_of(net)]
    for m in norms_of(net):
        m.momentum = 0
    yield
    for m, momentum in zip(norms_of(net), momenta):
        m.momentum = momentum


def embed(net, patches, t, dropout):
    with own_statistics(net):
        net.train(dropout)
        for m in norms_of(net):
            m.train()
        start_step(t, SITE_PATCHES)
        out = net.embed(patches)
    net.train()
    return out


def single(x):
    return np.asarray(x).astype(np.float32).astype(np.float64)


def filled_queues(dimension):
    v = unit("patchcl.queue", CLASSES * CAPACITY * dimension).reshape(CLASSES, CAPACITY, dimension) - 0.5
    v = v + 1.5 * (unit("patchcl.queue.centre", CLASSES * dimension).reshape(CLASSES, 1, dimension) - 0.5)
    v = single(v / np.linalg.norm(v, axis=2, keepdims=True))
    return [list(v[k, :n]) for k, n in enumerate(FILLED)]


def moments(queue):
    q = np.array(queue)
    return q.mean(0), np.cov(q.T, bias=True)


def shrunk(covariance):
    d = len(covariance)
    return 0.95 * covariance + 0.05 * np.trace(covariance) / d * np.eye(d)


def distances(x, mean, covariance):
    return np.einsum("nd,dn->n", x - mean, np.linalg.solve(covariance, (x - mean).T))


def truncated(anchors, negatives, positive, negative):
    """Mean and covariance of the negative class in the slab between its nearest point and its nearest anchor."""
    a_n = negatives[np.argmin(distances(negatives, *positive))]
    a_p = anchors[np.argmin(distances(anchors, *negative))]
    mean, covariance = negative
    v = a_n - a_p
    w, centre = v @ covariance @ v, v @ mean
    low, high = ((v @ x - centre) / np.sqrt(w) for x in (a_p, a_n))
    density = [np.exp(-z * z / 2) / np.sqrt(2 * np.pi) for z in (low, high)]
    mass = (math.erfc(low / np.sqrt(2)) - math.erfc(high / np.sqrt(2))) / 2
    shift = (density[0] - density[1]) / mass
    variance = w * (1 + (low * density[0] - high * density[1]) / mass - shift ** 2)
    c = covariance @ v / w
    return mean + c * np.sqrt(w) * shift, covariance - np.outer(c, c) * (w - variance)


def statistics(queues, keys, classes):
    """mean (K,D), covariance (K,D,D), those of class j as a negative of class i (K,K,..), which classes are ready."""
    d = keys.shape[1]
    ready = np.array([len(q) >= READY for q in queues])
    own = [moments(q) for q in queues]
    wide = [(m, shrunk(c)) for m, c in own]
    negative_mean, negative_covariance = np.zeros((CLASSES, CLASSES, d)), np.zeros((CLASSES, CLASSES, d, d))
    for i in range(CLASSES):
        for j in range(CLASSES):
            if i != j and ready[i] and ready[j]:
                negative_mean[i, j], negative_covariance[i, j] = truncated(
                    keys[classes == i], np.array(queues[j]), wide[i], wide[j])
    return [single(x) for x in ([m for m, _ in own], [c for _, c in own], negative_mean, negative_covariance)] + [ready]


def guided_with_hard_negatives(t, classes, stats, tau, lam, psi):
    mean, covariance, negative_mean, negative_covariance, ready = (torch.from_numpy(s) for s in stats)
    losses = []
    for x, i in zip(t, classes):
        if not ready[i]:
            continue
        terms = []
        for j in torch.nonzero(ready)[:, 0]:
            m, S = (mean[i], covariance[i]) if i == j else (negative_mean[i, j], negative_covariance[i, j])
            s = x @ m / tau + lam / (2 * tau * tau) * (x @ S @ x)
            terms.append(s if i == j else s + np.log(psi / int(ready.sum())))
        losses.append(torch.logsumexp(torch.stack(terms), 0) - x @ mean[i] / tau)
    return torch.stack(losses).mean()


def info_nce_against(t, keys, classes, queues):
    losses = []
    ready = [k for k in range(CLASSES) if len(queues[k]) >= READY]
    for x, key, i in zip(t, torch.from_numpy(keys), classes):
        if i in ready:
            others = [q for k in ready if k != i for q in queues[k][-INFO_NCE_NEGATIVES:]]
            z = torch.cat([(x @ key).reshape(1), torch.from_numpy(np.array(others)) @ x]) / INFO_NCE_TAU
            losses.append(torch.logsumexp(z, 0) - z[0])
    return torch.stack(losses).mean()


# --- What is written --------------------------------------------------------------------------------------------------

def patchcl_step(out, phase, t):
    net = fill(Net(Small.widths, Small.dimension)).train()
    teacher = fill(Net(Small.widths, Small.dimension), "teacher.")
    x, strong, y = images("patchcl.images", 4, 32, 32), images("patchcl.strong", 4, 32, 32), labels("patchcl.labels", 2, 32, 32)
    plain, augmented = images("patchcl.plain", 12, 16, 16), images("patchcl.augmented", 12, 16, 16)
    classes, queues = np.arange(12) % CLASSES, filled_queues(Small.dimension)

    early = warming_up(t)
    wanted = None if early else predict(teacher, x[LABELED:], t)
    start_step(t)
    logits = net(x[:LABELED] if early else torch.cat([x[:LABELED], strong[LABELED:]]))
    terms = dict(zip(("ce", "dice"), supervised(logits[:LABELED], y)))
    total = (terms["ce"] + terms["dice"]) / 2
    if not early:
        terms["consistency"] = ((torch.softmax(logits[LABELED:], 1) - wanted) ** 2).mean()
        total = total + GAMMA * ramp(t) * terms["consistency"]
    with torch.no_grad():
        keys = single(embed(teacher, augmented, t, dropout=False).numpy())
    for k, key in zip(classes, keys):
        queues[k] = (queues[k] + [key])[-CAPACITY:]
    stats = statistics(queues, keys, classes)
    embeddings = embed(net, plain, t, dropout=True)
    terms["contrast"] = guided_with_hard_negatives(embeddings, classes, stats, **(EARLY if early else LATE))
    terms["total"] = total + BETA * terms["contrast"]
    terms["info-nce"] = info_nce_against(embeddings, keys, classes, queues)

    key = f"patchcl.{phase}."
    out[key + "keys"] = keys
    for name, value in zip(("mean", "covariance", "negative_mean", "negative_covariance"), stats):
        out[key + name] = value
    for term, loss in terms.items():
        out[key + "loss." + term] = loss.detach().reshape(1).numpy()
        net.zero_grad()
        loss.backward(retain_graph=True)
        for name, g in gradients(net):
            out[f"{key}grad.{term}.{name}"] = summary(name, g.copy())


class RegionNet(Net):
    """The head on rows pooled from the decoder's last map, METHODS 1.13."""

    def __init__(self):
        super().__init__(Small.widths, Small.dimension)
        w, d = Small.widths[0], Small.dimension
        self.projection = nn.Sequential(nn.Linear(w, d), nn.BatchNorm1d(d), nn.ReLU(), nn.Linear(d, d))
        self.decoder.out_conv.register_forward_hook(lambda layer, x, y: setattr(self, "map", x[0]))

    def embed_regions(self, maps, windows, weights):
        rows = torch.stack([(w * maps[n, :, top:top + 16, left:left + 16]).sum((1, 2))
                            for (n, top, left), w in zip(windows, weights)])
        with own_statistics(self):
            v = self.projection(rows)
        return v / torch.sqrt((v * v).sum(1, keepdim=True) + 1e-12)


def regions(name):
    u = unit(name, 12 * 3).reshape(12, 3)
    windows = (u * np.array([4, 17, 17])).astype(int)
    w = unit(name + ".weights", 12 * 256).reshape(12, 16, 16)
    return windows, torch.from_numpy(single(w / w.sum((1, 2), keepdims=True)))


def region_step(out):
    """PatchCL's main phase with --embed region --contrast prototype --contrast-ramp true; InfoNCE in its place."""
    t, classes = 6, np.arange(12) % CLASSES
    net, teacher = fill(RegionNet()).train(), fill(RegionNet(), "teacher.")
    x, strong, y = images("patchcl.images", 4, 32, 32), images("patchcl.strong", 4, 32, 32), labels("patchcl.labels", 2, 32, 32)
    wanted = predict(teacher, x[LABELED:], t)
    unlabeled_map = teacher.map
    predict(teacher, x[:LABELED], t)
    teacher.train()
    with torch.no_grad():
        keys = single(teacher.embed_regions(torch.cat([teacher.map, unlabeled_map]), *regions("regions.teacher")).numpy())
    queues = filled_queues(Small.dimension)
    for k, key in zip(classes, keys):
        queues[k] = (queues[k] + [key])[-CAPACITY:]
    ready = [k for k in range(CLASSES) if len(queues[k]) >= READY]
    mean = torch.from_numpy(single([moments(queues[k])[0] for k in ready]))
    start_step(t)
    logits = net(torch.cat([x[:LABELED], strong[LABELED:]]))
    anchors = [i for i in range(12) if classes[i] in ready]
    embeddings = net.embed_regions(net.map, *regions("regions"))
    z = embeddings[anchors] @ mean.T / LATE["tau"]
    contrast = F.cross_entropy(z, torch.tensor([ready.index(classes[i]) for i in anchors]))
    means = np.stack([keys[classes == k].mean(0) for k in classes])
    positives = single(means / np.linalg.norm(means, axis=1, keepdims=True))
    total = sum(supervised(logits[:LABELED], y)) / 2 + ramp(t) * (
        GAMMA * ((torch.softmax(logits[LABELED:], 1) - wanted) ** 2).mean() + BETA * contrast)
    out["region.keys"] = keys
    info_nce = info_nce_against(embeddings, positives, classes, queues)
    for term, loss in (("contrast", contrast), ("total", total), ("info-nce", info_nce)):
        out["region.loss." + term] = loss.detach().reshape(1).numpy()
        net.zero_grad()
        loss.backward(retain_graph=True)
        for name, g in gradients(net):
            out[f"region.grad.{term}.{name}"] = summary(name, g.copy())


def loss_of(method, net, teacher, second, t, moments_of_classes):
    x, strong = images(f"steps.images{t}", 4, 32, 32), images(f"steps.strong{t}", 4, 32, 32)
    y = labels(f"steps.labels{t}", 2, 32, 32)
    if method == "unimatch":
        return unimatch_loss(net, *(images(f"steps.{v}{t}", 6, 32, 32) for v in ("images", "strong", "other")), y, t)
    if method == "bcp":
        return bcp_loss(net, teacher, x, y, t)
    early = method == "supervised" or warming_up(t)
    if early:
        x = x[:LABELED]
    if method.startswith("ad-mt"):
        return ad_mt_loss(net, teacher, second, x, strong, y, t, method.removeprefix("ad-mt").strip())
    if method == "base":
        return base_loss(net, teacher, x, strong, y, t)
    seen = strong if method in ("fixmatch", "patchcl") else x
    wanted = None if early else target_of(method, net, teacher, x[LABELED:], t)
    net.train()
    start_step(t)
    logits = net(torch.cat([x[:LABELED], seen[LABELED:]]) if not early else x)
    loss = sum(supervised(logits[:LABELED], y)) / 2
    if not early:
        loss = loss + GAMMA * ramp(t) * agreement(method, teacher, logits[LABELED:], wanted, x[LABELED:], t)
    if method == "patchcl":
        everywhere = torch.ones(len(x), CLASSES, 32, 32, dtype=torch.double)
        patches, classes = cut_patches(x, everywhere, Small.side, Small.count)
        loss = loss + BETA * guided_contrastive(
            embed(net, patches, t, dropout=True), classes, *moments_of_classes, **(EARLY if early else LATE))
    return loss


def steps(out):
    moments_of_classes = queue_statistics("queue", Small.dimension)
    out["steps.mean"], out["steps.covariance"] = (m.numpy() for m in moments_of_classes)
    for method in ("supervised", "mean-teacher", "ua-mt", "fixmatch", "patchcl", "base", "bcp", "unimatch", "ad-mt",
                   "ad-mt uncut", "ad-mt plain"):
        net, teacher, second = (fill(Net(Small.widths, Small.dimension)).train() for _ in range(3))
        sgd = torch.optim.SGD(net.parameters(), lr=LR, momentum=MOMENTUM, weight_decay=WEIGHT_DECAY)
        losses = []
        for t in range(STEPS):
            if method == "bcp" and t == WARM_UP * STEPS:
                teacher.load_state_dict(net.state_dict())
            sgd.param_groups[0]["lr"] = LR * (1 - t / STEPS) ** 0.9
            loss = loss_of(method, net, teacher, second, t, moments_of_classes)
            sgd.zero_grad()
            loss.backward()
            for p in net.parameters():  # one flat buffer decays as a whole, also what the loss does not use
                p.grad = torch.zeros_like(p) if p.grad is None else p.grad
            sgd.step()
            if method.startswith("ad-mt"):  # copies of the student for a hundred steps
                (teacher if first_is_active(t) else second).load_state_dict(net.state_dict())
            elif method != "bcp":
                average(teacher, net, min(1 - 1 / (t + 1), EMA))
            elif not warming_up(t):
                average(teacher, net, EMA)
            losses.append(loss.item())
        out[f"steps.{method}.loss"] = np.array(losses)
        for who, model in (("student", net), ("teacher", teacher)):
            for name, w in model.state_dict().items():
                if w.is_floating_point() and (method == "patchcl" or not name.startswith("projection")):
                    out[f"steps.{method}.{who}.{name}"] = summary(name, w.numpy())


def main():
    out = {}
    steps(out)
    patchcl_step(out, "warm-up", 1)
    patchcl_step(out, "main", 6)
    region_step(out)
    save_safetensors(sys.argv[1], out)
    print(f"{len(out)} tensors, {os.path.getsize(sys.argv[1]) / 1024:.0f} KiB")
    for name, value in out.items():
        if "loss" in name:
            print(f"{name:34} {value}")


if __name__ == "__main__":
    main()
