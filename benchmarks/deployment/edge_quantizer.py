"""Files quantized by ai-edge-quantizer."""

import io
from contextlib import redirect_stdout

import numpy as np

from dart_keras.utils.quiet import quiet

# Of the package's own recipes, those with int8 weights that compute with integers.
STATIC_INT8 = "static_wi8_ai8"
STATIC_INT16 = "static_wi8_ai16"
DYNAMIC = "dynamic_wi8_afp32"


def quantized(content: bytes, recipe: str, rows: np.ndarray) -> bytes:
    """A float file, quantized by a recipe of ai-edge-quantizer.

    Args:
        content: A `.tflite` file with a signature, one float32 input and names for its tensors.
        recipe: The name of a function of `ai_edge_quantizer.recipe`.
        rows: Array of shape (rows, N), for the ranges of the activations; the dynamic recipes
            need none.
    """
    from ai_edge_litert.interpreter import Interpreter
    from ai_edge_quantizer import quantizer
    from ai_edge_quantizer import recipe as recipes

    # It draws progress bars and prints a report.
    with quiet(), redirect_stdout(io.StringIO()):
        made = quantizer.Quantizer(content, getattr(recipes, recipe)())
        ranges = None
        if made.need_calibration:
            [(key, names)] = Interpreter(model_content=content).get_signature_list().items()
            [name] = names["inputs"]
            ranges = made.calibrate({key: [{name: row[None]} for row in rows]})
        return bytes(made.quantize(ranges).quantized_model)
