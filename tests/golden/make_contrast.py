#!/usr/bin/env python3
"""Writes contrast.safetensors: what PyTorch computes in f64 for the contrast of pixels (docs/methods.md 2.3), PDCR's loss
and a UAFS block (3.2, 3.3).

    python3 tests/golden/make_contrast.py tests/golden/contrast.safetensors

Needs torch and numpy; the tests need the file only. The loss is written as it is published, pair by pair with the maximum
subtracted, and its gradient is autograd's. Contents:
  NAME.loss, NAME.grad         of vectors unit("f") on 2 images, before they are brought to length 1
  pixels.FORM.DENOMINATOR.loss and .grad, likewise, of 2 groups of 9 vectors with labels floor(3 unit("label"))
  uafs.x, uafs.y, uafs.dx ...  a block with weights by numbers() of make_unet.py, and all gradients of sum(y * v)
"""
import os
import sys

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

sys.path.insert(0, os.path.dirname(__file__))
from make_training import save_safetensors, unit  # noqa: E402

B, N, D, K, TAU = 2, 7, 5, 3, 0.5
M, CHANNELS, HIDDEN, SIDE = 2, 12, 8, 6


def numbers(name, shape):
    return torch.tensor(unit(name, int(np.prod(shape))).reshape(shape))


def divergence(affinity, phi):
    apart = (phi[:, :, None] - phi[:, None]).abs().sum(-1)
    if affinity == "ratio":
        return apart
    if affinity == "variation":
        return apart / 2
    common = torch.minimum(phi[:, :, None], phi[:, None]).sum(-1)
    both = (phi[:, :, None] + phi[:, None]).sum(-1)
    return 1 - 2 * common / both


def pdcr(f, phi, form, affinity, flipped=False):
    f = F.normalize(f, dim=-1)
    cosine = f @ f.transpose(1, 2)
    div = divergence(affinity, phi)
    error = (1 - cosine) / 2 - div
    if form == "l1":
        return error.abs().mean()
    if form == "l2":
        return (error**2).mean()
    pull, push = (div, 1 - div) if flipped else (1 - div, div)
    s = cosine / TAU
    s = s - s.flatten(1).max(1)[0][:, None, None].detach()
    return -torch.log(torch.exp(s * pull) / torch.exp(s * push).sum(-1, keepdim=True)).mean()


def pixel_contrast(f, label, form, denominator):
    """By the full matrix of a group and masks; groups and anchors without a partner are left out."""
    groups = []
    for z, y in zip(F.normalize(f, dim=-1), label):
        s = z @ z.T / TAU
        others = ~torch.eye(len(y), dtype=torch.bool)
        positive = (y[:, None] == y) & others
        negative = (y[:, None] != y) & others
        losses = []
        for i in range(len(y)):
            if y[i] == 0 or not positive[i].any() or not negative[i].any():
                continue
            below = torch.logsumexp(s[i][positive[i] | negative[i] if denominator == "all" else negative[i]], 0)
            if form == "paper":
                losses.append((below - torch.logsumexp(s[i][positive[i]], 0)) / positive[i].sum())
            else:
                losses.append(below - s[i][positive[i]].mean())
        if losses:
            groups.append(torch.stack(losses).mean())
    return torch.stack(groups).mean()


class Uafs(nn.Module):
    def __init__(self):
        super().__init__()
        self.block = nn.Sequential(nn.Conv2d(CHANNELS, HIDDEN, 3, padding=1), nn.BatchNorm2d(HIDDEN), nn.ReLU(),
                                   nn.Conv2d(HIDDEN, M, 1))

    def forward(self, x):
        u = torch.softmax(self.block(x), 1)
        entropy = -(u * torch.log(u)).sum(1, keepdim=True) / np.log(M)
        return x + x * (1 - entropy)


def main():
    out = {}
    settings = {"contrastive": ("contrastive", "ratio"), "variation": ("contrastive", "variation"),
                "dice": ("contrastive", "dice"), "l1": ("l1", "ratio"), "l2": ("l2", "ratio"),
                "reversed": ("contrastive", "ratio", True)}
    for name, setting in settings.items():
        f = (2 * numbers("f", (B, N, D)) - 1).requires_grad_()
        loss = pdcr(f, numbers("phi", (B, N, K)) / K, *setting)
        loss.backward()
        out[f"{name}.loss"] = loss.detach().reshape(1)
        out[f"{name}.grad"] = f.grad
    for form in ("released", "paper"):
        for denominator in ("all", "negatives"):
            f = (2 * numbers("pixels", (2, 9, 4)) - 1).requires_grad_()
            loss = pixel_contrast(f, torch.floor(3 * numbers("label", (2, 9))), form, denominator)
            loss.backward()
            out[f"pixels.{form}.{denominator}.loss"] = loss.detach().reshape(1)
            out[f"pixels.{form}.{denominator}.grad"] = f.grad
    net = Uafs().double()
    with torch.no_grad():
        for name, p in net.block.named_parameters():
            scale = 0.5 if p.ndim > 1 else 1
            p.copy_(torch.from_numpy(np.float32(scale * (numbers("uafs." + name, p.shape) - 0.4)).astype(np.float64)))
    x = (2 * numbers("x", (2, SIDE, SIDE, CHANNELS)) - 1).permute(0, 3, 1, 2).requires_grad_()
    y = net(x)
    v = numbers("v", (2, SIDE, SIDE, CHANNELS)).permute(0, 3, 1, 2)
    (y * v).sum().backward()
    out["uafs.y"] = y.detach().permute(0, 2, 3, 1).contiguous()
    out["uafs.dx"] = x.grad.permute(0, 2, 3, 1).contiguous()
    for name, p in net.block.named_parameters():
        out["uafs.grad." + name] = p.grad
    save_safetensors(sys.argv[1], {k: np.ascontiguousarray(v.numpy()) for k, v in out.items()})


if __name__ == "__main__":
    main()
