#!/usr/bin/env python3
"""Converts weights between PyTorch (.pth, a state_dict) and safetensors, which patchcl reads and writes.

    python3 train/convert_weights.py unet_best_model.pth weights.safetensors
    python3 train/convert_weights.py runs/acdc/best.safetensors unet.pth

Names and layouts are SSL4MIS's UNet's on both sides, so nothing is renamed or transposed. Needs torch and numpy only.
"""
import json
import struct
import sys

import numpy as np

TYPES = {"F32": np.float32, "F64": np.float64, "I64": np.int64, "I32": np.int32, "U8": np.uint8}


def save_safetensors(path, arrays, metadata=None):
    header, offset = {"__metadata__": metadata or {}}, 0
    for name, a in arrays.items():
        dtype = next(t for t, n in TYPES.items() if n == a.dtype)
        header[name] = {"dtype": dtype, "shape": list(a.shape), "data_offsets": [offset, offset + a.nbytes]}
        offset += a.nbytes
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text)
        for a in arrays.values():
            f.write(a.tobytes())


def load_safetensors(path):
    with open(path, "rb") as f:
        header = json.loads(f.read(struct.unpack("<Q", f.read(8))[0]))
        data = f.read()
    metadata = header.pop("__metadata__", {})
    arrays = {}
    for name, t in header.items():
        begin, end = t["data_offsets"]
        arrays[name] = np.frombuffer(data[begin:end], TYPES[t["dtype"]]).reshape(t["shape"]).copy()
    return arrays, metadata


def main():
    import torch
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    source, target = sys.argv[1:]
    if source.endswith(".safetensors"):
        arrays, _ = load_safetensors(source)
        network = {k: torch.from_numpy(v) for k, v in arrays.items()  # .range: of `patchcl calibrate`
                   if k.startswith(("encoder.", "decoder.")) and not k.endswith(".range")}
        torch.save(network, target)
    else:
        state = torch.load(source, map_location="cpu")
        state = state.get("state_dict", state)
        if not all(isinstance(v, torch.Tensor) for v in state.values()):
            sys.exit(f"{source}: no state_dict of tensors, but {', '.join(state)}; save the network's alone")
        half = (torch.float16, torch.bfloat16)
        save_safetensors(target, {k: (v.float() if v.dtype in half else v).contiguous().numpy()
                                  for k, v in state.items()})


if __name__ == "__main__":
    main()
