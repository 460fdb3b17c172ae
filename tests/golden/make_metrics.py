#!/usr/bin/env python3
"""Writes metrics.json: masks and their Dice, Jaccard, HD95 and ASD, found by comparing all pairs of surface voxels.

    python3 tests/golden/make_metrics.py > tests/golden/metrics.json

Independent of the program: numpy only, no distance transform, no morphology library. With --check and medpy installed,
every case in which both masks are non-empty is compared with medpy.metric.binary: all cases agree to 1e-12 with medpy
0.5.2 (scipy 1.17.1, numpy 2.4.6).
"""
import json
import sys

import numpy as np


def surface(mask):
    """Voxels that have a neighbour (6 in 3-D, 4 in 2-D) outside the mask; outside the array counts as outside."""
    padded = np.pad(mask, 1)
    kept = mask.copy()
    inner = tuple(slice(1, -1) for _ in mask.shape)
    for axis in range(mask.ndim):
        for step in (-1, 1):
            kept &= np.roll(padded, step, axis)[inner]
    return mask & ~kept


def directed(a, b, spacing):
    pa, pb = np.argwhere(surface(a)) * spacing, np.argwhere(surface(b)) * spacing
    return np.array([np.sqrt(((pb - p) ** 2).sum(1)).min() for p in pa])


def scores(p, r, spacing, empty):
    if not p.any() or not r.any():
        both = not p.any() and not r.any()
        if empty == "nan":
            return [None] * 4 if both else [0, 0, None, None]
        if empty == "zero":
            return [0, 0, 0, 0]
        diagonal = float(np.sqrt(((np.array(p.shape) - 1) ** 2 * np.array(spacing) ** 2).sum()))
        return [1, 1, 0, 0] if both else [0, 0, diagonal, diagonal]
    forth, back = directed(p, r, spacing), directed(r, p, spacing)
    common = int((p & r).sum())
    return [2 * common / int(p.sum() + r.sum()), common / int((p | r).sum()),
            float(np.percentile(np.hstack((forth, back)), 95)), float(forth.mean())]


def blob(rng, shape, count, reach):
    """A union of `count` ellipsoids with random centres, which may stick out of the image."""
    grid = np.indices(shape).astype(float)
    mask = np.zeros(shape, bool)
    for _ in range(count):
        centre = [rng.uniform(0, n - 1) for n in shape]
        radius = [max(0.6, rng.uniform(0.1, reach) * n) for n in shape]
        mask |= sum(((g - c) / r) ** 2 for g, c, r in zip(grid, centre, radius)) <= 1
    return mask


def cases():
    rng = np.random.default_rng(7)
    mm = {2: (1.37, 0.71), 3: (9.5, 1.5625, 1.25)}
    for shape in [(1, 1, 5), (2, 3, 4), (3, 7, 5), (5, 9, 11), (4, 13, 17), (7, 8, 8), (9, 1, 6), (13, 11), (17, 23), (1, 9), (31, 6)]:
        for k in range(2):
            yield (f"blobs {'x'.join(map(str, shape))} {k}", blob(rng, shape, 2, 0.45), blob(rng, shape, 1 + k, 0.45), mm[len(shape)])
    yield "noise", rng.random((4, 9, 7)) < 0.4, rng.random((4, 9, 7)) < 0.3, (2.0, 0.5, 3.0)
    yield "noise 2-D", rng.random((12, 15)) < 0.5, rng.random((12, 15)) < 0.2, (0.3, 0.9)
    full = np.ones((3, 6, 5), bool)
    yield "full against full", full, full, (1.0, 1.0, 1.0)
    one = np.zeros((3, 6, 5), bool)
    one[0, 0, 0] = True
    other = np.zeros((3, 6, 5), bool)
    other[2, 5, 4] = True
    yield "opposite corners", one, other, (4.0, 0.5, 2.0)
    yield "full against a corner", full, one, (4.0, 0.5, 2.0)
    face = np.zeros((4, 8, 9), bool)
    face[:, 0:3, :] = True
    inner = np.zeros((4, 8, 9), bool)
    inner[1:3, 2:6, 2:7] = True
    yield "touching the border", face, inner, (10.0, 1.25, 1.25)
    ring = np.ones((15, 15), bool)
    ring[4:11, 4:11] = False
    yield "ring 2-D", ring, ~ring, (1.0, 2.0)
    nothing = np.zeros((3, 6, 5), bool)
    yield "empty prediction", nothing, face[:3, :6, :5], (4.0, 0.5, 2.0)
    yield "empty reference", face[:3, :6, :5], nothing, (4.0, 0.5, 2.0)
    yield "both empty", nothing, nothing, (4.0, 0.5, 2.0)
    yield "empty prediction 2-D", nothing[0], one[0], (0.5, 2.0)


def digits(mask):
    return "".join(str(int(v)) for v in mask.ravel())


def check(p, r, spacing, voxel, mm):
    from medpy.metric import binary
    for unit, want in ((None, voxel), (spacing, mm)):
        got = [binary.dc(p, r), binary.jc(p, r), binary.hd95(p, r, unit), binary.asd(p, r, unit)]
        assert np.allclose(got, want, rtol=0, atol=1e-12), (got, want)


def main():
    out = []
    for name, p, r, spacing in cases():
        one = (1.0,) * p.ndim
        case = {"name": name, "shape": [1] * (3 - p.ndim) + list(p.shape), "spacing": [1.0] * (3 - p.ndim) + list(spacing),
                "prediction": digits(p), "reference": digits(r),
                "voxel": {e: scores(p, r, one, e) for e in ("nan", "zero", "penalty")},
                "mm": {e: scores(p, r, spacing, e) for e in ("nan", "zero", "penalty")}}
        if "--check" in sys.argv and p.any() and r.any():
            check(p, r, spacing, case["voxel"]["nan"], case["mm"]["nan"])
        out.append(case)
    print("[\n" + ",\n".join(json.dumps(c) for c in out) + "\n]")


main()
