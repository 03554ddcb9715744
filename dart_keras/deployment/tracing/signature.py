import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import keras
import numpy as np

from dart_keras.calibration_data import InputSpec, identifier
from dart_keras.calibration_data.row_checks import checked_input
from dart_keras.deployment.errors import ConversionError
from dart_keras.layers.replacement import looks_up_rows
from dart_keras.model_surgery.keras_quantization import check_not_quantized
from dart_keras.private_apis import flatten_layers, input_structure, is_looked_up, recorded_shapes


@dataclass(frozen=True)
class ModelSignature:
    """How to call a model with a flat list of tensors.

    Attributes:
        inputs: What it takes, in the order of the model's own flattened inputs.
        call: Runs the model in inference mode on one tensor for each input, and returns
            its outputs as a flat list.
        id_bound: Ids below this are safe to feed to every integer input.
        structure: How the model takes its inputs, as for `dart_keras.calibration_data.read_blocks`.
    """

    inputs: tuple[InputSpec, ...]
    call: Callable[[Sequence[Any]], list[Any]]
    id_bound: int
    structure: Any = None

    def resolved(self, arrays: Sequence[np.ndarray] | None) -> "ModelSignature":
        """Return the signature with every dtype known, the open ones taken from the data.

        Args:
            arrays: The data, an array for each input; `None` where there are none.

        Raises:
            ValueError: If the data of an input are strings, or integers of more than 32 bits.
        """
        for array, spec in zip(arrays or (), self.inputs, strict=False):
            if array.dtype.kind in "SUO":
                raise ValueError(
                    f"Expected numbers for input {spec.name!r}. Received: dtype {array.dtype}"
                )
        kinds = [array.dtype.kind for array in arrays] if arrays else ["f"] * len(self.inputs)
        inputs = (
            spec if spec.dtype else replace(spec, dtype="int32" if kind in "iu" else "float32")
            for spec, kind in zip(self.inputs, kinds, strict=True)
        )
        known = tuple(inputs)
        for array, spec in zip(arrays or (), known, strict=False):
            checked_input(array, spec, "calibration_data")
        return replace(self, inputs=known)

    def random_rows(self, rows: int = 32) -> list[np.ndarray]:
        """Return normal floats and ids below `id_bound`, always the same.

        Args:
            rows: How many rows.

        Returns:
            An array of shape (rows, *shape) for each input, whose dtype must be known.
        """
        rng = np.random.default_rng(0)
        return [
            rng.integers(0, self.id_bound, (rows, *spec.shape), dtype="int32")
            if spec.dtype == "int32"
            else rng.standard_normal((rows, *spec.shape), dtype="float32")
            for spec in self.inputs
        ]


def model_signature(model: keras.Model) -> ModelSignature:
    """Read a model's inputs from it.

    Functional and Sequential models say what they take. A subclassed model remembers the
    shapes, not the dtypes, that it was built with.

    Raises:
        ValueError: If `model` is no built Keras model, Keras has quantized it, or a shape is not
            fully known.
    """
    if not isinstance(model, keras.Model):
        raise ValueError(f"Expected `model` to be a keras.Model. Received: {model!r}")
    if not model.built:
        raise ValueError(
            "Expected a built model: give it a keras.Input, or call it on a batch first. "
            f"Received: {model!r}"
        )
    check_not_quantized(model)
    tensors = getattr(model, "inputs", None)
    packed = None
    if tensors:
        names = [identifier(tensor.name) for tensor in tensors]
        shapes = [tensor.shape[1:] for tensor in tensors]
        dtypes: list[str | None] = [_file_dtype(model, tensor) for tensor in tensors]
        packed = input_structure(model)

        def arguments(values: Sequence[Any]) -> tuple[list[Any], dict[str, Any]]:
            return [keras.tree.pack_sequence_as(packed, list(values))], {}

    else:
        names, shapes, arguments = _recorded_inputs(model)
        dtypes = [None] * len(names)

    specs = []
    for name, shape, dtype in zip(names, shapes, dtypes, strict=True):
        if None in shape:
            raise ValueError(
                "Expected every dimension but the batch to be fixed: rebuild the model with a "
                f"keras.Input of a fixed shape. Received: input {name!r} of shape "
                f"{(None, *shape)}"
            )
        specs.append(InputSpec(name, tuple(int(size) for size in shape), dtype))

    def call(values: Sequence[Any]) -> list[Any]:
        positional, named = arguments(values)
        outputs = keras.tree.flatten(model(*positional, **named, training=False))
        if mixed := [place for place, value in enumerate(outputs) if len(value.shape) == 0]:
            raise ConversionError(
                "Expected outputs with a first axis, of rows: let no operation go over all axes. "
                f"Received: single numbers as the outputs {mixed} of {model.name!r}."
            )
        return outputs

    return ModelSignature(tuple(specs), call, _id_bound(model), packed)


def _file_dtype(model: keras.Model, tensor: Any) -> str:
    # A keras.Input is float32 unless told otherwise, so the ids of an embedding often pass
    # for floats. Quantized as such, they would come out as other ids.
    if "int" in str(tensor.dtype) or is_looked_up(model, tensor, looks_up_rows):
        return "int32"
    if "float" in str(tensor.dtype):
        return "float32"
    raise ValueError(
        "Expected every input to be of a float or an integer dtype. Received: input "
        f"{tensor.name!r} of dtype {tensor.dtype!r}"
    )


def _id_bound(model: keras.Model) -> int:
    sizes = [
        layer.input_dim
        for layer in flatten_layers(model)
        if isinstance(getattr(layer, "input_dim", None), int)
    ]
    return min(sizes, default=2)


def _recorded_inputs(model: keras.Model) -> tuple[list[str], list[Any], Callable[..., Any]]:
    recorded = recorded_shapes(model)
    if not recorded:
        raise ValueError(
            "Expected a model whose input shapes are known: call it on a batch first. "
            f"Received: {model!r}"
        )
    needed = [
        name
        for name, parameter in inspect.signature(model.call).parameters.items()
        if parameter.default is parameter.empty
        and parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
        and name not in ("training", "mask")
    ]
    if len(needed) > len(recorded):
        raise ValueError(
            "Expected a `call` of one argument, because Keras records the shapes of one only: "
            "take the inputs as one list, tuple or dict, or wrap the model in a functional one. "
            "Received: "
            f"{type(model).__name__}.call with the arguments {needed}"
        )
    # One argument is passed by position, because its recorded name is not the parameter's.
    arguments = {key.removesuffix("_shape"): value for key, value in recorded.items()}
    names: list[str] = []
    shapes: list[Any] = []

    def visit(name: str, value: Any) -> Any:
        if isinstance(value, dict):
            return {key: visit(identifier(str(key)), value[key]) for key in sorted(value)}
        if value and isinstance(value[0], (tuple, list, dict)):
            return [visit(f"{name}_{index}", item) for index, item in enumerate(value)]
        names.append(name)
        shapes.append(value[1:])
        return len(names) - 1

    places = {name: visit(name, value) for name, value in arguments.items()}

    def pack(values: Sequence[Any]) -> tuple[list[Any], dict[str, Any]]:
        filled = keras.tree.map_structure(lambda place: values[place], places)
        if len(filled) == 1:
            return list(filled.values()), {}
        return [], filled

    return names, shapes, pack
