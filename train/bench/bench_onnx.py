"""ONNX Runtime or OpenVINO on the UNet of weights/, peers of `patchcl bench` in inference: for each line "infer" it
prints the seconds that one pass took.

Usage: bench_onnx.py onnxruntime|openvino BATCH SIZE THREADS cpu f32|bf16|int8 eager
Needs onnx, numpy and the engine, for int8 ONNX Runtime too. OpenVINO takes bf16 as a hint; ONNX Runtime has none.
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


def quantized(path, size):
    """Factors in int8, weights by channel. Calibrated on random images: right for time, not for accuracy."""
    from onnxruntime.quantization import CalibrationDataReader, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class RandomImages(CalibrationDataReader):
        def __init__(self):
            draw = np.random.default_rng(2)
            self.images = iter([{"image": draw.random((1, 1, size, size), np.float32)} for _ in range(4)])

        def get_next(self):
            return next(self.images, None)

    folded, to = path.replace(".onnx", "-folded.onnx"), path.replace(".onnx", "-int8.onnx")
    quant_pre_process(path, folded, skip_symbolic_shape=True)  # norms into convolutions
    quantize_static(folded, to, RandomImages(), per_channel=True, activation_type=QuantType.QUInt8,
                    weight_type=QuantType.QInt8)
    return to


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
                                                 "INFERENCE_PRECISION_HINT": "bf16" if math == "bf16" else "f32"})
    request = compiled.create_infer_request()
    return engine.__version__.split("-")[0], lambda image: request.infer({"image": image})


def main():
    name, batch, size, threads, math = sys.argv[1], *map(int, sys.argv[2:5]), sys.argv[6]
    shape = (batch, 1, size, size)
    with tempfile.TemporaryDirectory() as folder:
        path = exported(folder)
        if math == "int8":
            path = quantized(path, size)
        version, infer = {"onnxruntime": onnxruntime, "openvino": openvino}[name](path, threads, shape, math)
    image = np.random.default_rng(1).random(shape, np.float32)
    print(version, flush=True)
    for _ in sys.stdin:
        start = time.perf_counter()
        infer(image)
        print(time.perf_counter() - start, flush=True)


if __name__ == "__main__":
    main()
