"""Size and accuracy of int8 files."""

import gzip
from typing import Any

import numpy as np

from examples.fashion_mnist.data import FashionMnist


def measure(content: bytes, images: FashionMnist) -> dict[str, Any]:
    """Return the bytes of a `.tflite` file, plain and gzipped, and its accuracy."""
    right = accuracy(content, images.test_images, images.test_labels)
    return {**sizes(content), "accuracy": right}


def sizes(content: bytes) -> dict[str, int]:
    """Return the bytes of a file, plain and gzipped."""
    return {
        "file bytes": len(content),
        "gzipped bytes": len(gzip.compress(content, 9, mtime=0)),
    }


def accuracy(content: bytes, rows: np.ndarray, labels: np.ndarray) -> float:
    """Return the share of rows for which LiteRT's largest output is the label.

    Args:
        content: A `.tflite` file that takes one row at a time, int8 in and out.
        rows: Float array of shape (rows, N).
        labels: Integer array of shape (rows,).
    """
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=content, num_threads=1)
    interpreter.allocate_tensors()
    [takes], [gives] = interpreter.get_input_details(), interpreter.get_output_details()
    scale, zero = takes["quantization"]
    quantized = np.clip(np.round(rows / scale) + zero, -128, 127).astype(np.int8)
    right = 0
    for row, label in zip(quantized, labels, strict=True):
        interpreter.set_tensor(takes["index"], row[None])
        interpreter.invoke()
        right += int(interpreter.get_tensor(gives["index"])[0].argmax() == label)
    return right / len(labels)
