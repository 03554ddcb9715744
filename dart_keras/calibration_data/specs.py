"""What a model takes."""

import re
from dataclasses import dataclass
from typing import Any

import keras


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
    """Return the inputs of a Sequential or functional model, of any dtype; else `None`."""
    tensors = keras.tree.flatten(getattr(model, "inputs", None) or [])
    if not tensors:
        return None
    return [InputSpec(tensor.name, tuple(tensor.shape[1:]), None) for tensor in tensors]


def identifier(name: str) -> str:
    """Return a name as a file has it, with nothing but letters, digits and underscores."""
    return re.sub(r"\W", "_", name)
