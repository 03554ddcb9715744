"""Files quantized by ai-edge-quantizer."""

import io
from contextlib import redirect_stdout

import numpy as np

from dart_keras.utils.quiet import quiet

# Recipes of the package.
STATIC_INT8 = "static_wi8_ai8"
STATIC_INT16 = "static_wi8_ai16"
DYNAMIC = "dynamic_wi8_afp32"


def quantized(content: bytes, recipe: str, rows: np.ndarray) -> bytes:
    """Quantize a float file by a recipe of ai-edge-quantizer.

    Args:
        content: A `.tflite` file with a signature, one float32 input and tensor names.
        recipe: Name of a function of `ai_edge_quantizer.recipe`.
        rows: Array of shape (rows, N) for the activation ranges; dynamic recipes ignore it.
    """
    from ai_edge_litert.interpreter import Interpreter
    from ai_edge_quantizer import quantizer
    from ai_edge_quantizer import recipe as recipes

    # The package draws progress bars and prints a report.
    with quiet(), redirect_stdout(io.StringIO()):
        made = quantizer.Quantizer(content, getattr(recipes, recipe)())
        ranges = None
        if made.need_calibration:
            [(key, names)] = Interpreter(model_content=content).get_signature_list().items()
            [name] = names["inputs"]
            ranges = made.calibrate({key: [{name: row[None]} for row in rows]})
        return bytes(made.quantize(ranges).quantized_model)
