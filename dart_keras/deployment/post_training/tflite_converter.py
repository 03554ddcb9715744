import os
import re
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import numpy as np

from dart_keras.deployment.errors import ConversionError
from dart_keras.deployment.flatbuffer.reader import ModelFile
from dart_keras.deployment.flatbuffer.serialization import pack, unpack
from dart_keras.deployment.post_training.activation_ranges import choose_ranges, set_true_ranges
from dart_keras.deployment.post_training.attention_masks import clip_masks
from dart_keras.deployment.schemes import SCHEMES, QuantizationScheme
from dart_keras.deployment.tracing.function import Exported
from dart_keras.private_apis import measure_ranges, quantize
from dart_keras.utils.quiet import quiet

# How TensorFlow's converter says what it cannot do.
_NO_BUILTIN = re.compile(r"(?:TF Select|Custom) ops: ([\w, ]+)|'tf\.(\w+)' op is neither")
_NO_QUANTIZED = re.compile(r"not yet supported for op: '(\w+)'")
_NO_RANGE = re.compile(r"Failed for tensor (\S+)")
_NO_OUTPUT = re.compile(r"Unsupported output type INT\d+ for output tensor '\w+:(\d+)'")
_MOVES = ("RESHAPE", "TRANSPOSE")
# Bytes that are written at once.
_BLOCK = 2**20
_LOOPS = ["While", "StatelessWhile"]


@dataclass(frozen=True)
class FileConverter:
    """Files that TensorFlow's converter makes of one exported model; ranges are measured once.

    Attributes:
        exported: The model.
        scheme: How to quantize it.
        arrays: The calibration rows, one array for each input.
        method: How ranges follow from the rows, one of `activation_ranges.METHODS`.
        per_channel_dense: Whether the weights of FULLY_CONNECTED may have several scales.
    """

    exported: Exported
    scheme: QuantizationScheme
    arrays: Sequence[np.ndarray]
    method: str = "minmax"
    per_channel_dense: bool = True

    def model(self, per_channel: bool = True) -> Any:
        """Convert to a parsed `.tflite` file.

        Args:
            per_channel: Whether each channel of quantized weights has a scale of its own. In
                int16x8 files with a DEPTHWISE_CONV_2D, convolutions have these in any case.

        Returns:
            A `ModelT`; its inputs and outputs are in the Keras model's order.

        Raises:
            ConversionError: If an operation has no builtin operator, or none that is quantized.
            OSError: If there is no room for temporary files.
        """
        if self.scheme.needs_data:
            integers = self.scheme.interface
            dense = per_channel and self.per_channel_dense
            convolutions = per_channel or (integers == "int16" and self._is_depthwise)
            return self._try(partial(quantize, self._with_ranges, integers, convolutions, dense))
        return self._try(lambda: self._converter(per_channel).convert())

    @cached_property
    def _with_ranges(self) -> bytes:
        # One row shows which tensors have ranges; these are measured below, on all rows.
        model = self._try(lambda: measure_ranges(self._converter(count=1)))
        integers = self.scheme.interface
        set_true_ranges(model, self.arrays)
        clip_masks(model, integers, self.arrays)
        choose_ranges(model, self.method, integers, self.arrays)
        return pack(model)

    @cached_property
    def _is_depthwise(self) -> bool:
        # Of which TensorFlow's int16 quantizer cannot give the weights a single scale.
        return "DEPTHWISE_CONV_2D" in ModelFile(self._with_ranges).operator_counts

    def _converter(self, per_channel: bool = True, count: int | None = None) -> Any:
        import tensorflow as tf

        loops = self.exported.layers_with(_LOOPS)
        if self.scheme.calibrated and loops:
            # Not tried, because it can end the process: in a recurrent layer's loop, it does.
            raise ConversionError(
                "TensorFlow's converter cannot quantize the activations of a loop. Build recurrent "
                "layers with unroll=True; a trained model's weights can be set in such layers. "
                'Only LiteRT, as on a Raspberry Pi, runs loops, with quantization="float32".',
                operators=["WHILE"],
                layers=loops,
            )
        # An empty module: the function's weights are constants, there is nothing to track.
        converter = tf.lite.TFLiteConverter.from_concrete_functions(
            [self.exported.function], tf.Module()
        )
        self.scheme.configure(converter, partial(self._rows, count), per_channel)
        return converter

    def _rows(self, count: int | None) -> Iterator[dict[str, np.ndarray]]:
        for row in zip(*(array[:count] for array in self.arrays), strict=True):
            yield {name: value[None] for name, value in zip(self._names, row, strict=True)}

    @property
    def _names(self) -> list[str]:
        return [spec.name for spec in self.exported.signature.inputs]

    def _try(self, make: Callable[[], bytes]) -> Any:
        with quiet():
            try:
                content = make()
            except ConversionError:
                raise
            # What the converter raises shares no base class but Exception.
            except Exception as error:
                failure: Exception | None = error
            else:
                failure = None
        if failure is not None:
            self._check_room()
            raise _explained(failure, self.exported, self.scheme) from failure
        model = unpack(content)
        if not model.signatureDefs:
            # So it is without the temporary files, whose failure the converter keeps to itself.
            self._check_room()
        order_interface(model, self._names)
        return model

    def _check_room(self) -> None:
        # The converter writes the model, and reads it again.
        _check_room(2 * self.exported.function.graph.as_graph_def().ByteSize())


def convert_exported(
    exported: Exported,
    scheme: QuantizationScheme,
    arrays: Sequence[np.ndarray],
    per_channel: bool = True,
) -> bytes:
    """Convert an exported model to the bytes of a `.tflite` file, as `FileConverter.model` does."""
    return pack(FileConverter(exported, scheme, arrays).model(per_channel))


def order_interface(model: Any, input_names: Sequence[str]) -> None:
    """Put a file's inputs and outputs into the order of its signature.

    The converter lists them in an order of its own. A device addresses them by index alone,
    so index k is made to be the Keras model's k-th input or output.

    Args:
        model: The `ModelT` of a file whose signature calls the outputs `output_0`, `output_1`,
            ...; changed in place.
        input_names: The signature's names of the inputs, in the order wanted.

    Raises:
        ConversionError: If the file has no signature.
    """
    if not model.signatureDefs:
        raise ConversionError(
            "Expected TensorFlow's converter to add a signature, which names inputs and outputs. "
            "Received: a file without a signature."
        )
    [signature, *_], [graph, *_] = model.signatureDefs, model.subgraphs
    # The schema's Python code leaves names as bytes.
    by_name = {
        entry.name.decode(): entry.tensorIndex for entry in [*signature.inputs, *signature.outputs]
    }
    graph.inputs = np.array([by_name[name] for name in input_names], "int32")
    outputs = [by_name[f"output_{place}"] for place in range(len(signature.outputs))]
    graph.outputs = np.array(outputs, "int32")


def layers_at(indices: Sequence[int], content: bytes, exported: Exported) -> list[str]:
    """Return the paths of the layers that the operators at these places in a file come from."""
    operators = ModelFile(content).operators
    found = []
    for index in indices:
        # A fused operator's tensor carries the names of all that went into it.
        parts = [part for name in operators[index].tensor_names for part in name.split(";")]
        found.append(next((path for path in map(exported.layer_of, parts) if path), None))
    return [path for path in found if path]


def _check_room(size: int) -> None:
    """Raise an OSError if temporary files of so many bytes, all together, cannot be written."""
    try:
        with tempfile.TemporaryFile() as file:
            # Not only its length: a file may have holes.
            for done in range(0, size, _BLOCK):
                file.write(bytes(min(_BLOCK, size - done)))
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise OSError(
            error.errno,
            f"Expected room for {size:,} bytes in the folder for temporary files: free some, or "
            f"set TMPDIR to another folder. Received: {error.strerror}",
            tempfile.tempdir,
        ) from error


def _explained(error: Exception, exported: Exported, scheme: QuantizationScheme) -> ConversionError:
    text = str(error)
    missing = {
        name.strip()
        for several, single in _NO_BUILTIN.findall(text)
        for name in (several or single).split(",")
    }
    if missing:
        return ConversionError(
            "The model needs TensorFlow operations for which TensorFlow Lite has no builtin "
            "operator.",
            operators=missing,
            layers=exported.layers_with(sorted(missing)),
        )
    names, tensors = _NO_QUANTIZED.findall(text), _NO_RANGE.findall(text)
    places = [int(place) for place in _NO_OUTPUT.findall(text)]
    if names or tensors or places:
        # Quantization got no further, but without it the same operators can be found.
        plain = convert_exported(exported, SCHEMES["float32"], ())
        operators = ModelFile(plain).operators
        blamed = [
            index
            for index, operator in enumerate(operators)
            if operator.name in names or set(tensors) & set(operator.tensor_names)
        ]
        blamed += [_maker(plain, place) for place in places]
        return ConversionError(
            f"The model needs operators that quantization={scheme.name!r} does not cover.",
            operators=[operators[index].name for index in blamed],
            layers=layers_at(blamed, plain, exported),
        )
    reason = next((line for line in text.splitlines() if line.strip()), type(error).__name__)
    return ConversionError(f"TensorFlow's converter refused the model: {reason}")


def _maker(content: bytes, output: int) -> int:
    """Return the place of the operator that computes an output, and does not only move it about."""
    file = ModelFile(content)
    operators = file.operators
    makers = {operator.tensor_names[0]: index for index, operator in enumerate(operators)}
    index = makers[file.output_names[output]]
    while operators[index].name in _MOVES and operators[index].tensor_names[1] in makers:
        index = makers[operators[index].tensor_names[1]]
    return index
