#!/usr/bin/env python3
"""Writes the network of a weights file as ONNX, for ONNX Runtime, OpenVINO and others.

    python3 train/export_onnx.py runs/acdc/best.safetensors unet.onnx

Input "image": f32 (N,C,H,W), each image scaled to [0,1] as metadata "normalisation" says, H and W multiples
of 2^(levels-1). Output "probabilities": f32 (N,K,H,W). Batch norm with its running statistics, no dropout.
A network with uncertainty gates (--uafs) is refused. Needs onnx and numpy.
"""
import json
import os
import sys

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from convert_weights import load_safetensors

OPSET = 17
SLOPE, EPS = 0.01, 1e-5


class Graph:
    def __init__(self, weights):
        self.weights, self.nodes, self.constants, self.count = weights, [], {}, 0

    def constant(self, name, value):
        self.constants[name] = numpy_helper.from_array(np.ascontiguousarray(value), name)
        return name

    def weight(self, name):
        return self.constant(name, self.weights[name].astype(np.float32))

    def op(self, kind, inputs, **attributes):
        self.count += 1
        name = f"{kind}_{self.count}"
        self.nodes.append(helper.make_node(kind, inputs, [name], name=name, **attributes))
        return name

    def conv(self, x, name):
        w = self.weights[name + ".weight"]
        pad = w.shape[2] // 2
        parts = [self.weight(name + ".weight"), self.weight(name + ".bias")]
        return self.op("Conv", [x, *parts], pads=[pad] * 4)

    def norm(self, x, name, kind):
        if kind == "none":
            return x
        if kind == "batch":
            parts = [self.weight(f"{name}.{p}") for p in ("weight", "bias", "running_mean", "running_var")]
            return self.op("BatchNormalization", [x, *parts], epsilon=EPS)
        conv = name[:-1] + str(int(name[-1]) - 1)
        channels = len(self.weights[conv + ".bias"])
        if kind == "instance-affine":
            scale, shift = self.weight(name + ".weight"), self.weight(name + ".bias")
        else:
            scale = self.constant(name + ".ones", np.ones(channels, np.float32))
            shift = self.constant(name + ".zeros", np.zeros(channels, np.float32))
        return self.op("InstanceNormalization", [x, scale, shift], epsilon=EPS)

    def block(self, x, name, kind):
        for conv in (0, 4):
            x = self.conv(x, f"{name}.conv_conv.{conv}")
            x = self.op("LeakyRelu", [self.norm(x, f"{name}.conv_conv.{conv + 1}", kind)], alpha=SLOPE)
        return x

    def up(self, x, name, kind):
        if kind == "transposed":
            parts = [self.weight(f"{name}.up.weight"), self.weight(f"{name}.up.bias")]
            return self.op("ConvTranspose", [x, *parts], strides=[2, 2])
        scales = self.constant("twice", np.array([1, 1, 2, 2], np.float32))
        return self.op("Resize", [self.conv(x, name + ".conv1x1"), "", scales], mode="linear",
                       coordinate_transformation_mode="align_corners")


def unet(weights, network):
    levels, kind = len(network["widths"]), network["norm"]
    g = Graph(weights)
    x, maps = "image", []
    for i in range(levels):
        name = "encoder.in_conv" if i == 0 else f"encoder.down{i}.maxpool_conv.1"
        if i:
            x = g.op("MaxPool", [x], kernel_shape=[2, 2], strides=[2, 2])
        x = g.block(x, name, kind)
        maps.append(x)
    for i in range(1, levels):
        name = f"decoder.up{i}"
        x = g.op("Concat", [maps[levels - 1 - i], g.up(x, name, network["up"])], axis=1)
        x = g.block(x, name + ".conv", kind if network["decoder_norm"] else "none")
    x = g.op("Softmax", [g.conv(x, "decoder.out_conv")], axis=1)
    g.nodes[-1].output[0] = "probabilities"
    image, result = (helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", channels, "H", "W"])
                     for name, channels in (("image", network["in_channels"]),
                                            ("probabilities", network["classes"])))
    return helper.make_graph(g.nodes, "patchcl", [image], [result], list(g.constants.values()))


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    weights, metadata = load_safetensors(sys.argv[1])
    if "network" not in metadata:
        sys.exit(f"{sys.argv[1]}: says nothing of its network; train or predict write weights that do")
    network = json.loads(metadata["network"])
    if network.get("uafs", "none") != "none":
        sys.exit(f"{sys.argv[1]}: uncertainty gates are not exported")
    model = helper.make_model(unet(weights, network), opset_imports=[helper.make_opsetid("", OPSET)])
    model.ir_version = 8
    for key in ("class_names", "size", "fit", "normalisation", "border"):
        if key in metadata:
            model.metadata_props.add(key=key, value=metadata[key])
    onnx.checker.check_model(model)
    onnx.save(model, sys.argv[2])
    print(f"wrote {sys.argv[2]}")


if __name__ == "__main__":
    main()
