from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from dart_keras.private_apis import set_per_channel

# TensorFlow's converter leaves constants of fewer elements in float, if activations are.
_SMALLEST_QUANTIZED = 1024


@dataclass(frozen=True)
class QuantizationScheme:
    """A quantization scheme: what of a model becomes integers, and of which kind.

    Attributes:
        name: What `convert(quantization=...)` calls it.
        operator_sets: The members of `tf.lite.OpsSet` that hold its kernels.
        optimized: Whether weights are quantized at all.
        calibrated: Whether activations are quantized too, which takes calibration data.
        interface: The dtype of the file's float inputs and outputs.
        learned: Whether the model itself says the ranges of its activations.
    """

    name: str
    operator_sets: tuple[str, ...]
    optimized: bool
    calibrated: bool
    interface: str
    learned: bool = False

    @property
    def needs_data(self) -> bool:
        """Whether calibration data have to show the ranges of the activations."""
        return self.calibrated and not self.learned

    def with_learned_ranges(self) -> "QuantizationScheme":
        """Return the scheme for a model whose graph holds the ranges of its activations."""
        # The set of integer operators alone is refused without calibration data.
        return replace(self, operator_sets=("TFLITE_BUILTINS",), learned=True)

    def scales_dense_by_channel(self, runtimes: Sequence[str]) -> bool:
        """Return whether weights of FULLY_CONNECTED may have a scale for each channel.

        Args:
            runtimes: The runtimes that the file is for, such as `("litert", "tflm")`.
        """
        # On boards CMSIS-NN takes the place of TFLM's own kernels. With int16 it has one scale.
        return not (self.interface == "int16" and "tflm" in runtimes)

    def bytes_per_weight(self, elements: int) -> int:
        """Return the bytes of one weight of a constant with that number of elements."""
        small = not self.calibrated and elements < _SMALLEST_QUANTIZED
        return 4 if small or not self.optimized else 1

    def configure(
        self, converter: Any, rows: Callable[[], Iterator[Any]], per_channel: bool = True
    ) -> None:
        """Set up a `tf.lite.TFLiteConverter`.

        Args:
            converter: The converter to set up, in place.
            rows: Gives the calibration rows, for each row a dict of batch-1 arrays by input
                name. Not called unless the scheme `needs_data`.
            per_channel: Whether each channel of quantized weights has a scale of its own.
        """
        import tensorflow as tf

        # Builtin operators alone, never Flex: neither device carries TensorFlow's kernels.
        converter.target_spec.supported_ops = [
            getattr(tf.lite.OpsSet, name) for name in self.operator_sets
        ]
        if self.optimized:
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
            set_per_channel(converter, per_channel)
        if self.needs_data:
            converter.representative_dataset = rows
        if self.calibrated:
            converter.inference_input_type = tf.as_dtype(self.interface)
            converter.inference_output_type = tf.as_dtype(self.interface)


SCHEMES = {
    scheme.name: scheme
    for scheme in (
        QuantizationScheme("float32", ("TFLITE_BUILTINS",), False, False, "float32"),
        QuantizationScheme("dynamic", ("TFLITE_BUILTINS",), True, False, "float32"),
        QuantizationScheme("int8", ("TFLITE_BUILTINS_INT8",), True, True, "int8"),
        QuantizationScheme(
            "int16x8",
            # The second set is for operators that have no int16 kernel, such as the CAST of
            # an id: they stay in float, between a DEQUANTIZE and a QUANTIZE if need be. (The
            # int8 set does so by itself.)
            (
                "EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8",
                "TFLITE_BUILTINS",
            ),
            True,
            True,
            "int16",
        ),
    )
}
