"""The steps of TensorFlow's conversion to TFLite, which its converter has in one piece only.

The tests compare what the steps make with what the converter makes by itself.
"""

import inspect
from typing import Any


def set_per_channel(converter: Any, per_channel: bool) -> None:
    """Set whether each channel of quantized weights gets a scale of its own.

    Args:
        converter: A `tf.lite.TFLiteConverter`, changed in place.
        per_channel: Whether it does; if not, one scale is for all of them.
    """
    converter._experimental_disable_per_channel = not per_channel


def measure_ranges(converter: Any) -> bytes:
    """Convert to a float file whose tensors carry the ranges that they had on the rows.

    Args:
        converter: A `tf.lite.TFLiteConverter`, set up to quantize activations; it is changed.
    """
    import tensorflow as tf

    converter._experimental_calibrate_only = True
    converter.inference_input_type = converter.inference_output_type = tf.float32
    return converter.convert()


def quantize(
    measured: bytes, interface: str, per_channel: bool = True, per_channel_dense: bool = True
) -> bytes:
    """Quantize a file by the ranges that its tensors carry.

    Args:
        measured: What `measure_ranges` has made.
        interface: The dtype of activations, inputs and outputs: `"int8"` or `"int16"`.
        per_channel: Whether each channel of the weights has a scale of its own.
        per_channel_dense: Whether that holds for FULLY_CONNECTED, too.
    """
    import tensorflow as tf
    from tensorflow.lite.python.convert import mlir_quantize
    from tensorflow.lite.python.optimize.calibrator import Calibrator

    dtype = tf.as_dtype(interface)
    if dtype == tf.int8:
        return mlir_quantize(
            measured,
            not per_channel,
            input_data_type=dtype,
            output_data_type=dtype,
            disable_per_channel_for_dense_layers=not per_channel_dense,
        )
    calibrate = Calibrator(measured).calibrate_and_quantize
    dense = {"disable_per_channel_quantization_for_dense_layers": not per_channel_dense}
    if not dense.keys() <= inspect.signature(calibrate).parameters.keys():
        # TensorFlow 2.18 cannot tell them apart: a single scale for all is right for each of them.
        per_channel, dense = per_channel and per_channel_dense, {}
    # The other quantizer measures by itself, but given no rows it keeps what it finds.
    return calibrate(
        lambda: iter(()),
        dtype,
        dtype,
        allow_float=True,
        activations_type=dtype,
        bias_type=tf.int64,
        disable_per_channel=not per_channel,
        **dense,
    )
