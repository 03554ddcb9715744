"""The two halves of TensorFlow's quantization after training, which its converter has in one piece.

What is called here is not public. The tests hold it against what the converter makes by itself.
"""

from typing import Any

from dart_keras.deployment.post_training.schemes import Recipe


def measure_ranges(converter: Any) -> bytes:
    """Converts to a file in float whose tensors carry the ranges that they had on the rows.

    Args:
        converter: A `tf.lite.TFLiteConverter`, set up to quantize activations; it is changed.
    """
    import tensorflow as tf

    converter._experimental_calibrate_only = True
    converter.inference_input_type = converter.inference_output_type = tf.float32
    return converter.convert()


def quantize(measured: bytes, recipe: Recipe, per_channel: bool = True) -> bytes:
    """Quantizes a file by the ranges that its tensors carry.

    Args:
        measured: What `measure_ranges` has made.
        recipe: How to quantize.
        per_channel: Whether each channel of the weights has a scale of its own.
    """
    import tensorflow as tf
    from tensorflow.lite.python.convert import mlir_quantize
    from tensorflow.lite.python.optimize.calibrator import Calibrator

    interface = tf.as_dtype(recipe.interface)
    if interface == tf.int8:
        return mlir_quantize(
            measured, not per_channel, input_data_type=interface, output_data_type=interface
        )
    # The other quantizer measures by itself, but given no rows it keeps what it finds.
    return Calibrator(measured).calibrate_and_quantize(
        lambda: iter(()),
        interface,
        interface,
        allow_float=True,
        activations_type=interface,
        bias_type=tf.int64,
        disable_per_channel=not per_channel,
    )
