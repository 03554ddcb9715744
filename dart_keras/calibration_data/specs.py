"""What a model takes."""

import re
from dataclasses import dataclass
from typing import Any

import keras

from dart_keras.private_apis import recorded_shapes


@dataclass(frozen=True)
class InputSpec:
    """One input of a model.

    Attributes:
        name: Its name.
        shape: The shape of one row, `None` for sizes that are free.
        dtype: "float32" or "int32", to which its data are converted; `None` to leave them as they
            are, be it numbers or strings.
    """

    name: str
    shape: tuple[Any, ...]
    dtype: str | None


def input_specs(model: keras.Model) -> list[InputSpec] | None:
    """Return the inputs of a model, of any dtype.

    Of a subclassed model that was built with a single tensor, only how many axes it has is known.
    `None` for other subclassed models.
    """
    tensors = keras.tree.flatten(getattr(model, "inputs", None) or [])
    if tensors:
        return [InputSpec(tensor.name, tuple(tensor.shape[1:]), None) for tensor in tensors]
    [(name, shape), *others] = (recorded_shapes(model) or {"": None}).items()
    if others or not _is_shape(shape):
        return None
    return [InputSpec(name.removesuffix("_shape"), (None,) * (len(shape) - 1), None)]


def _is_shape(value: Any) -> bool:
    is_sequence = isinstance(value, tuple | list) and len(value) > 0
    return is_sequence and all(size is None or isinstance(size, int) for size in value)


def identifier(name: str) -> str:
    """Return a name as a file has it, with nothing but letters, digits and underscores."""
    return re.sub(r"\W", "_", name)
