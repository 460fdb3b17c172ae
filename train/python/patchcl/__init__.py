"""Networks of patchcl on numpy arrays, and the logs of its runs.

    import patchcl
    network = patchcl.Network("runs/acdc7")            # a run folder, or a weights file
    mask = network.predict(image)                      # (H,W), (H,W,C), (D,H,W) or (D,H,W,C), see there
    rows = patchcl.metrics("runs/acdc7")               # metrics.jsonl as a list of dicts
"""
import json
import os

import numpy as np

from . import _patchcl
from ._patchcl import Error, set_threads

__all__ = ["Network", "Error", "metrics", "set_threads"]


class Network:
    """Weights, as `patchcl predict` takes them. Error for a file that holds none."""

    def __init__(self, path):
        self._network = _patchcl.Network(os.fspath(path))

    class_names = property(lambda self: self._network.class_names)
    classes = property(lambda self: self._network.classes)
    channels = property(lambda self: self._network.channels)
    size = property(lambda self: self._network.size, doc="side of the network's input; images may have any")
    iteration = property(lambda self: self._network.iteration, doc="training steps behind the weights")

    def predict(self, image, probabilities=False, largest_component=False, value_range=None):
        """Classes (uint8) of the shape of `image` without its channels; or with `probabilities` float32 with one
        number for each class behind it.

        image: (H,W) or (D,H,W) for a network of one channel, else (H,W,C) or (D,H,W,C). It is scaled to [0,1] as
        the program scales files: 8-bit pictures by 255, others each channel by its own smallest and largest value;
        value_range=(low, high) says another: (0, 1) for SSL4MIS's .h5, which are scaled already. ValueError for
        other shapes and for values that are not finite.
        """
        image = np.asarray(image)
        x = image if self.channels > 1 else image[..., None]
        if x.ndim not in (3, 4) or x.shape[-1] != self.channels or 0 in x.shape:
            raise ValueError(f"an image of shape {image.shape}; the network wants (H,W) or (D,H,W)"
                             + (f" with {self.channels} channels behind" if self.channels > 1 else ""))
        if value_range is None:
            pixels = tuple(range(x.ndim - 1))
            value_range = (0, 255) if image.dtype == np.uint8 else (x.min(pixels), x.max(pixels))
        low, high = (np.asarray(v, np.float64) for v in value_range)
        if not np.isfinite(low + high).all() or not np.isfinite(x).all():
            raise ValueError("values that are not finite")
        x = np.where(high > low, (x.astype(np.float64) - low) / np.where(high > low, high - low, 1), 0)
        flat = self._network.predict(np.ascontiguousarray(x.reshape((-1,) + x.shape[-3:]), np.float32),
                                     probabilities, largest_component)
        return flat[0] if x.ndim == 3 else flat


def metrics(run):
    """The rows of a run's metrics.jsonl; those with "validation" hold scores."""
    with open(os.path.join(os.fspath(run), "metrics.jsonl"), encoding="utf-8") as f:
        return [json.loads(line) for line in f]
