"""Run a .tflite file over the rows of a NumPy file, with ai-edge-litert and NumPy alone."""

import argparse
import statistics
import sys
import time

import numpy as np
from ai_edge_litert.interpreter import Interpreter


def quantize(values: np.ndarray, detail: dict) -> np.ndarray:
    scale, zero_point = detail["quantization"]
    dtype = detail["dtype"]
    if not scale:
        return values.astype(dtype)
    limits = np.iinfo(dtype)
    return np.clip(np.round(values / scale) + zero_point, limits.min, limits.max).astype(dtype)


def dequantize(values: np.ndarray, detail: dict) -> np.ndarray:
    scale, zero_point = detail["quantization"]
    return (values.astype("float32") - zero_point) * scale if scale else values


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", help="the .tflite file")
    parser.add_argument("inputs", help="a .npy file of shape (rows, ...)")
    parser.add_argument("outputs", help="where to write the outputs, as .npy")
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    interpreter = Interpreter(arguments.model, num_threads=arguments.threads)
    interpreter.allocate_tensors()
    [given], [wanted] = interpreter.get_input_details(), interpreter.get_output_details()
    rows = np.load(arguments.inputs)
    if rows.shape[1:] != tuple(given["shape"][1:]):
        print(
            f"Expected inputs of shape (rows, {', '.join(map(str, given['shape'][1:]))}). "
            f"Received: {rows.shape}",
            file=sys.stderr,
        )
        return 1
    results, times = [], []
    for row in quantize(rows, given):
        interpreter.set_tensor(given["index"], row[None])
        start = time.perf_counter()
        interpreter.invoke()
        times.append(time.perf_counter() - start)
        results.append(dequantize(interpreter.get_tensor(wanted["index"]), wanted)[0])
    np.save(arguments.outputs, np.stack(results))
    print(f"{len(rows)} rows, median {1e6 * statistics.median(times):.1f} microseconds a row")
    return 0


if __name__ == "__main__":
    sys.exit(main())
