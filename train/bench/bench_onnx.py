"""ONNX Runtime or OpenVINO on the UNet of weights/, peers of `patchcl bench` in inference: for each line "infer" it
prints the seconds that one pass took.

Usage: bench_onnx.py onnxruntime|openvino BATCH SIZE THREADS cpu f32|bf16 eager
Needs onnx, numpy and the engine. OpenVINO takes bf16 as a hint; ONNX Runtime has f32 only.
"""
import os
import subprocess
import sys
import tempfile
import time

import numpy as np

HERE = os.path.dirname(os.path.abspath(__file__))
WEIGHTS = os.path.join(HERE, "..", "..", "weights", "acdc-7-base.safetensors")


def exported(folder):
    path = os.path.join(folder, "unet.onnx")
    script = os.path.join(HERE, "..", "export_onnx.py")
    subprocess.run([sys.executable, script, WEIGHTS, path], check=True, stdout=subprocess.DEVNULL)
    return path


def onnxruntime(path, threads, shape, math):
    import onnxruntime as engine
    options = engine.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    session = engine.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return engine.__version__, lambda image: session.run(None, {"image": image})


def openvino(path, threads, shape, math):
    import openvino as engine
    core = engine.Core()
    model = core.read_model(path)
    model.reshape(list(shape))
    compiled = core.compile_model(model, "CPU", {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": threads,
                                                 "INFERENCE_PRECISION_HINT": math})
    request = compiled.create_infer_request()
    return engine.__version__.split("-")[0], lambda image: request.infer({"image": image})


def main():
    name, batch, size, threads, math = sys.argv[1], *map(int, sys.argv[2:5]), sys.argv[6]
    shape = (batch, 1, size, size)
    with tempfile.TemporaryDirectory() as folder:
        version, infer = {"onnxruntime": onnxruntime, "openvino": openvino}[name](
            exported(folder), threads, shape, math)
    image = np.random.default_rng(1).random(shape, np.float32)
    print(version, flush=True)
    for _ in sys.stdin:
        start = time.perf_counter()
        infer(image)
        print(time.perf_counter() - start, flush=True)


if __name__ == "__main__":
    main()
