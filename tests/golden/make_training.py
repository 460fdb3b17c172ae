#!/usr/bin/env python3
"""Writes training.safetensors: what PyTorch computes in f64 for one training step of each loss of this project.

    python3 tests/golden/make_training.py tests/golden/training.safetensors

Needs torch and numpy; the tests need the file only. Weights, images and labels are functions of their names
(make_unet.py), dropout masks come from the same counter-based generator as in tensor/random.h, and activations are stored
in this project's layout (N,H,W,C). Contents:
  small.*   a UNet of widths 2,4,4,8,8 on 2 labelled and 2 unlabelled images of 32x32: activations, loss terms, entropy
            windows, and under small.grad.TERM.NAME the gradient of each term by each parameter
  full.*    the UNet of widths 16..256 on two images of 48x32: per gradient tensor its norm and 4 projections
"""
import os
import sys

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

sys.path.insert(0, os.path.dirname(__file__))
from make_unet import UNet, numbers, save_safetensors, unit  # noqa: E402

SEED = 7
CLASSES = 4


# --- The random numbers of tensor/random.h ----------------------------------------------------------------------------

def random_bits(seed, step, site, n):
    """Philox4x32-10, the words of elements 0..n-1."""
    i = np.arange(n, dtype=np.uint64)
    full = np.ones(n, dtype=np.uint64)
    low = np.uint64(0xFFFFFFFF)
    c = [i >> np.uint64(2) & low, (i >> np.uint64(34) ^ np.uint64(site << 8)) & low, full * np.uint64(step), full * np.uint64(0)]
    k0, k1 = seed & 0xFFFFFFFF, seed >> 32
    for _ in range(10):
        a, b = np.uint64(0xD2511F53) * c[0], np.uint64(0xCD9E8D57) * c[2]
        c = [b >> np.uint64(32) ^ c[1] ^ np.uint64(k0), b & low, a >> np.uint64(32) ^ c[3] ^ np.uint64(k1), a & low]
        k0, k1 = (k0 + 0x9E3779B9) & 0xFFFFFFFF, (k1 + 0xBB67AE85) & 0xFFFFFFFF
    return np.choose((i & np.uint64(3)).astype(int), c).astype(np.uint32)


class SharedDropout(nn.Module):
    """Dropout whose mask is known to both languages. Sites are numbered in the order in which they run."""
    step, site = 0, 0

    def __init__(self, p):
        super().__init__()
        self.p = p

    def forward(self, x):
        if not self.training or self.p == 0:
            return x
        n, c, h, w = x.shape
        bits = random_bits(SEED, SharedDropout.step, SharedDropout.site, x.numel())
        SharedDropout.site += 1
        kept = (bits >= np.uint32(self.p * 4294967296.0)).reshape(n, h, w, c).transpose(0, 3, 1, 2)
        return x * torch.from_numpy(kept.astype(np.float64)) / (1 - self.p)


def share_dropout(model):
    for block in model.modules():
        if isinstance(block, nn.Sequential):
            for i, layer in enumerate(block):
                if isinstance(layer, nn.Dropout):
                    block[i] = SharedDropout(layer.p)


def start_step(step, site=0):
    SharedDropout.step, SharedDropout.site = step, site


# --- Models and data as functions of names ----------------------------------------------------------------------------

def fill(model, prefix=""):
    state = model.state_dict()
    for name, t in state.items():
        if not name.endswith("num_batches_tracked"):
            t.copy_(torch.from_numpy(numbers(prefix + name, tuple(t.shape)).astype(np.float64)))
    model.load_state_dict(state)
    return model.double()


class Net(nn.Module):
    """UNet and projection head: global average pooling of the bottleneck, linear - BN - ReLU - linear, unit length."""

    def __init__(self, widths, dimension):
        super().__init__()
        unet = UNet(1, CLASSES, widths)
        share_dropout(unet)
        self.encoder, self.decoder = unet.encoder, unet.decoder
        d = widths[-1]
        self.projection = nn.Sequential(nn.Linear(d, d), nn.BatchNorm1d(d), nn.ReLU(), nn.Linear(d, dimension))

    def forward(self, x):
        return self.decoder(self.encoder(x))

    def embed(self, patches):
        v = self.projection(self.encoder(patches)[-1].mean((2, 3)))
        return v / torch.sqrt((v * v).sum(1, keepdim=True) + 1e-12)


def blocks(name, n, h, w, side):
    """One number per block of side x side pixels."""
    u = unit(name, n * (h // side) * (w // side)).reshape(n, h // side, w // side)
    return u.repeat(side, 1).repeat(side, 2)


def images(name, n, h, w):
    u = 0.75 * blocks(name + ".coarse", n, h, w, 8) + 0.25 * blocks(name, n, h, w, 1)
    return torch.from_numpy(u.astype(np.float32).astype(np.float64)).unsqueeze(1)


def labels(name, n, h, w):
    return torch.from_numpy((CLASSES * blocks(name, n, h, w, 4)).astype(np.int64))


class Margin:
    """How near the activations of a run come to a kink: the smallest |input| of a leaky ReLU or ReLU and the smallest lead of
    a pooling window's largest element. Images are chosen for a large margin, so that f32 takes f64's branches. Exact ties
    do not count: they come from regions of equal pixels and are ties in every precision."""

    def __init__(self, net):
        self.value = np.inf
        for layer in net.modules():
            if isinstance(layer, (nn.LeakyReLU, nn.ReLU)):
                layer.register_forward_hook(lambda _, x, y: self.see(x[0].abs().min()))
            if isinstance(layer, nn.MaxPool2d):
                layer.register_forward_hook(lambda _, x, y: self.see(self.lead(x[0])))

    def see(self, value):
        self.value = min(self.value, float(value))

    @staticmethod
    def lead(x):
        n, c, h, w = x.shape
        top = x.reshape(n, c, h // 2, 2, w // 2, 2).permute(0, 1, 2, 4, 3, 5).reshape(-1, 4).topk(2).values
        lead = top[:, 0] - top[:, 1]
        return lead[lead > 0].min()


def best_attempt(make_net, run, attempts):
    """The attempt whose run(net, attempt) keeps the largest margin."""
    margins = []
    for attempt in range(attempts):
        net = make_net()
        margin = Margin(net)
        with torch.no_grad():
            run(net, attempt)
        margins.append(margin.value)
    print(f"margin {max(margins):.2e}")
    return int(np.argmax(margins))


# --- Losses, METHODS 1.7, 1.11 and 4.4 --------------------------------------------------------------------------------

def dice_loss(p, y):
    g = F.one_hot(y, CLASSES).permute(0, 3, 1, 2).double()
    overlap, sizes = (p * g).sum((0, 2, 3)), (p * p + g).sum((0, 2, 3))
    return (1 - (2 * overlap + 1e-5) / (sizes + 1e-5)).mean()


def info_nce(q, k, negatives, anchor_class, negative_class, tau):
    positive = (q * k).sum(1, keepdim=True) / tau
    z = q @ negatives.T / tau
    z = z.masked_fill(anchor_class[:, None] == negative_class[None, :], -np.inf)
    return (torch.logsumexp(torch.cat([positive, z], 1), 1) - positive[:, 0]).mean()


def guided_contrastive(t, classes, mean, covariance, tau, lam, psi):
    quadratic = torch.einsum("nd,kde,ne->nk", t, covariance, t)
    s = t @ mean.T / tau + lam / (2 * tau * tau) * quadratic
    own = F.one_hot(classes, CLASSES).bool()
    terms = torch.where(own, s, s + np.log(psi / CLASSES))
    positive = (t @ mean.T / tau)[own]
    return (torch.logsumexp(terms, 1) - positive).mean()


def queue_statistics(name, dimension, per_class=20):
    """Mean and biased covariance of unit vectors that a formula scatters around one centre per class."""
    v = torch.from_numpy(unit(name, CLASSES * per_class * dimension).reshape(CLASSES, per_class, dimension) - 0.5)
    v = v + 1.5 * torch.from_numpy(unit(name + ".centre", CLASSES * dimension).reshape(CLASSES, 1, dimension) - 0.5)
    v = v / v.norm(dim=2, keepdim=True)
    mean = v.mean(1)
    centred = v - mean[:, None]
    return mean, torch.einsum("knd,kne->kde", centred, centred) / per_class


def cut_patches(x, confidence, side, count):
    """`count` windows of the attended images x C^k whose place and class a formula gives."""
    n, _, h, w = x.shape
    u = unit("windows", 4 * count).reshape(count, 4)
    patches, classes = [], []
    for i, top, left, k in np.stack([n * u[:, 0], (h - side + 1) * u[:, 1], (w - side + 1) * u[:, 2], CLASSES * u[:, 3]], 1).astype(int):
        attended = x[i] * confidence[i, k:k + 1]
        patches.append(attended[:, top:top + side, left:left + side])
        classes.append(k)
    return torch.stack(patches), torch.tensor(classes)


def entropy_windows(confidence, side, stride):
    """Mean base-2 entropy of each class's confidence over windows: (N,K,rows,cols)."""
    c = confidence.clamp(1e-300, 1)
    h = -(c * torch.log2(c) + (1 - c) * torch.log2((1 - c).clamp(1e-300, 1)))
    return F.avg_pool2d(h, side, stride)


# --- What is written --------------------------------------------------------------------------------------------------

def nhwc(t):
    t = t.detach()
    return (t.permute(0, 2, 3, 1) if t.dim() == 4 else t).contiguous().numpy()


def gradients(net):
    """Names and gradients, without those that are zero but for rounding: a bias in front of a batch norm."""
    found = [(name, p.grad.numpy()) for name, p in net.named_parameters() if p.grad is not None]
    total = np.sqrt(sum((g ** 2).sum() for _, g in found))
    return [(name, g) for name, g in found if np.linalg.norm(g) > 1e-12 * total]


class Small:
    """The batch of an attempt, and what the networks make of it up to the embeddings."""
    widths, dimension, side, count = (2, 4, 4, 8, 8), 6, 16, 12

    def __init__(self, net, teacher, attempt):
        x, self.labels = images(f"images{attempt}", 4, 32, 32), labels("labels", 2, 32, 32)
        start_step(0)
        self.encoder = net.encoder(x)
        up, self.decoder = self.encoder[4], []
        d = net.decoder
        for block, skip in zip((d.up1, d.up2, d.up3, d.up4), self.encoder[3::-1]):
            up = block(up, skip)
            self.decoder.append(up)
        self.logits = d.out_conv(up)
        with torch.no_grad():
            self.target = torch.softmax(teacher(x), 1)
        confidence = torch.cat([F.one_hot(self.labels, CLASSES).permute(0, 3, 1, 2).double(), self.target[2:]])
        self.patches, self.classes = cut_patches(x, confidence, self.side, self.count)
        self.embeddings = net.embed(self.patches)
        with torch.no_grad():
            self.keys = teacher.embed(self.patches)


def small(out):
    def make():
        return fill(Net(Small.widths, Small.dimension)).train()

    teacher = fill(Net(Small.widths, Small.dimension), "teacher.").eval()
    attempt = best_attempt(make, lambda net, a: Small(net, teacher, a), 100)
    net = make()
    s = Small(net, teacher, attempt)
    out["small.attempt"] = np.array([attempt])
    for name, level in zip(("in_conv", "down1", "down2", "down3", "down4"), s.encoder):
        out["small.activation.encoder." + name] = nhwc(level)
    for name, level in zip(("up1", "up2", "up3", "up4"), s.decoder):
        out["small.activation.decoder." + name] = nhwc(level)
    out["small.activation.logits"] = nhwc(s.logits)
    out["small.teacher.probabilities"] = nhwc(s.target[2:])
    out["small.entropy"] = entropy_windows(s.target[2:], 16, 8).numpy()
    mean, covariance = queue_statistics("queue", Small.dimension)
    out["small.patches"], out["small.classes"] = nhwc(s.patches), s.classes.numpy().astype(np.int32)
    out["small.embeddings"], out["small.keys"] = nhwc(s.embeddings), nhwc(s.keys)
    out["small.mean"], out["small.covariance"] = mean.numpy(), covariance.numpy()

    p = torch.softmax(s.logits, 1)
    terms = {
        "ce": F.cross_entropy(s.logits[:2], s.labels),
        "dice": dice_loss(p[:2], s.labels),
        "consistency": ((p[2:] - s.target[2:]) ** 2).mean(),
        "info_nce": info_nce(s.embeddings, s.keys, s.keys, s.classes, s.classes, 0.5),
        "guided": guided_contrastive(s.embeddings, s.classes, mean, covariance, 0.5, 4, 16),
    }
    for term, loss in terms.items():
        out["small.loss." + term] = loss.detach().reshape(1).numpy()
        net.zero_grad()
        loss.backward(retain_graph=True)
        for name, g in gradients(net):
            out[f"small.grad.{term}.{name}"] = g.copy()


def full(out):
    def make():
        net = UNet()
        share_dropout(net)
        return fill(net).train()

    def run(net, attempt):
        start_step(3)
        return net(images(f"full.images{attempt}", 2, 48, 32))

    attempt = best_attempt(make, run, 100)
    net, y = make(), labels("full.labels", 2, 48, 32)
    logits = run(net, attempt)
    loss = (F.cross_entropy(logits, y) + dice_loss(torch.softmax(logits, 1), y)) / 2
    loss.backward()
    out["full.attempt"] = np.array([attempt])
    out["full.loss"] = loss.detach().reshape(1).numpy()
    for name, g in gradients(net):
        out["full.grad." + name] = summary(name, g)


def summary(name, g):
    g = g.reshape(-1)
    return np.array([np.linalg.norm(g)] + [g @ (unit(f"{name}.direction{i}", g.size) - 0.5) for i in range(4)])


def average(teacher, student, alpha):
    for t, s in zip(teacher.state_dict().values(), student.state_dict().values()):
        if t.is_floating_point():
            t.mul_(alpha).add_(s, alpha=1 - alpha)


def main():
    out = {}
    small(out)
    full(out)
    save_safetensors(sys.argv[1], out)
    print(f"{len(out)} tensors, {os.path.getsize(sys.argv[1]) / 1024:.0f} KiB")
    for name, value in out.items():
        if "loss" in name:
            print(f"{name:24} {value[0]:.9f}")


if __name__ == "__main__":
    main()
