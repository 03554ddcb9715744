"""Files written by `keras.Model.export(format="litert")`."""

import tempfile
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from dart_keras.utils.quiet import quiet


def exported(model: keras.Model, one_row: bool = False, rows: np.ndarray | None = None) -> bytes:
    """Export a model with one input and one output by Keras.

    Args:
        model: The model.
        one_row: Whether to fix the batch size at one row, which is not the default.
        rows: Array of shape (rows, N) for quantization to int8 after training, by options that
            Keras hands on to TensorFlow's converter. None keeps float32, the default.
    """
    options = {}
    if one_row:
        shape = (1, *model.input_shape[1:])
        options["input_signature"] = [keras.InputSpec(shape=shape, dtype="float32")]
    if rows is not None:
        options |= {
            "optimizations": [tf.lite.Optimize.DEFAULT],
            "representative_dataset": lambda: ([row[None]] for row in rows),
            "target_spec": {"supported_ops": [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]},
            "inference_input_type": tf.int8,
            "inference_output_type": tf.int8,
        }
    with tempfile.TemporaryDirectory() as folder, quiet():
        path = Path(folder) / "model.tflite"
        model.export(path, format="litert", verbose=False, **options)
        return path.read_bytes()
