#!/usr/bin/env python3
"""Writes unet.safetensors: the logits of SSL4MIS's UNet in PyTorch for weights and an input that a formula gives.

    python3 tests/golden/make_unet.py tests/golden/unet.safetensors        the golden file
    python3 tests/golden/make_unet.py --export FILE                        all weights, 7 MB, to load with patchcl
    python3 tests/golden/make_unet.py --load FILE                          loads FILE strictly and prints the worst
                                                                           difference of its logits from the golden ones

The 1.8 million weights are not stored: number i of tensor `name` is splitmix64(fnv1a64(name) + i) scaled to a range that
its kind decides (numbers()), in both languages. The metadata lists names and shapes of the state_dict.
"""
import json
import os
import sys

import numpy as np
import torch
from torch import nn

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../../train"))
from convert_weights import load_safetensors, save_safetensors  # noqa: E402


class ConvBlock(nn.Module):
    def __init__(self, i, o, p):
        super().__init__()
        self.conv_conv = nn.Sequential(nn.Conv2d(i, o, 3, padding=1), nn.BatchNorm2d(o), nn.LeakyReLU(), nn.Dropout(p),
                                       nn.Conv2d(o, o, 3, padding=1), nn.BatchNorm2d(o), nn.LeakyReLU())

    def forward(self, x):
        return self.conv_conv(x)


class Down(nn.Module):
    def __init__(self, i, o, p):
        super().__init__()
        self.maxpool_conv = nn.Sequential(nn.MaxPool2d(2), ConvBlock(i, o, p))

    def forward(self, x):
        return self.maxpool_conv(x)


class Up(nn.Module):
    def __init__(self, i, o):
        super().__init__()
        self.conv1x1 = nn.Conv2d(i, o, 1)
        self.up = nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True)
        self.conv = ConvBlock(2 * o, o, 0.0)

    def forward(self, x, skip):
        return self.conv(torch.cat([skip, self.up(self.conv1x1(x))], 1))


class Encoder(nn.Module):
    def __init__(self, channels, w, p):
        super().__init__()
        self.in_conv = ConvBlock(channels, w[0], p[0])
        self.down1, self.down2, self.down3, self.down4 = (Down(w[i], w[i + 1], p[i + 1]) for i in range(4))

    def forward(self, x):
        levels = [self.in_conv(x)]
        for down in (self.down1, self.down2, self.down3, self.down4):
            levels.append(down(levels[-1]))
        return levels


class Decoder(nn.Module):
    def __init__(self, classes, w):
        super().__init__()
        self.up1, self.up2, self.up3, self.up4 = (Up(w[4 - i], w[3 - i]) for i in range(4))
        self.out_conv = nn.Conv2d(w[0], classes, 3, padding=1)

    def forward(self, levels):
        x = levels[4]
        for up, skip in zip((self.up1, self.up2, self.up3, self.up4), levels[3::-1]):
            x = up(x, skip)
        return self.out_conv(x)


class UNet(nn.Module):
    def __init__(self, channels=1, classes=4, widths=(16, 32, 64, 128, 256), dropout=(0.05, 0.1, 0.2, 0.3, 0.5)):
        super().__init__()
        self.encoder = Encoder(channels, widths, dropout)
        self.decoder = Decoder(classes, widths)

    def forward(self, x):
        return self.decoder(self.encoder(x))


def unit(name, n):
    """n numbers in [0,1): a pure function of the name and the index."""
    key = 0xCBF29CE484222325
    for byte in name.encode():
        key = (key ^ byte) * 0x100000001B3 % 2**64
    with np.errstate(over="ignore"):
        z = (np.arange(n, dtype=np.uint64) + np.uint64(key)) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z ^= z >> np.uint64(31)
    return (z >> np.uint64(11)).astype(np.float64) * 2.0**-53


def numbers(name, shape):
    """Ranges that keep the activations of every level near 1."""
    u = unit(name, int(np.prod(shape)))
    if len(shape) > 1:
        v = (2 * u - 1) * np.sqrt(6 / np.prod(shape[1:]))
    elif name.endswith("running_var") or (name.endswith("weight") and len(shape) == 1):
        v = 0.5 + u
    elif name == "input":
        v = u
    else:
        v = 0.4 * u - 0.2
    return v.astype(np.float32).reshape(shape)


def golden_model():
    model = UNet()
    state = model.state_dict()
    for name, t in state.items():
        if not name.endswith("num_batches_tracked"):
            t.copy_(torch.from_numpy(numbers(name, tuple(t.shape))))
    model.load_state_dict(state)
    return model.eval()


def main():
    model = golden_model()
    x = torch.from_numpy(numbers("input", (48 * 32,)).reshape(1, 1, 48, 32))
    if "--export" in sys.argv:
        save_safetensors(sys.argv[2], {k: v.numpy() for k, v in model.state_dict().items()})
        return
    with torch.no_grad():
        logits = model(x)
        if "--load" in sys.argv:
            arrays, _ = load_safetensors(sys.argv[2])
            model.load_state_dict({k: torch.from_numpy(v) for k, v in arrays.items()}, strict=True)
            print("worst difference", (model(x) - logits).abs().max().item(), "of", logits.abs().max().item())
            return
    shapes = {k: list(v.shape) for k, v in model.state_dict().items()}
    save_safetensors(sys.argv[1], {"logits": logits.numpy()}, {"state_dict": json.dumps(shapes)})
    print("parameters", sum(p.numel() for p in model.parameters()), "max |logit|", logits.abs().max().item())


if __name__ == "__main__":
    main()
