"""Tokens drawn at random, in place of calibration data that nobody has."""

from typing import Any

import keras
import numpy as np

from dart_keras.compression.calibration.sequence_padding import MASKS
from dart_keras.private_apis import can_be_stepped, input_structure, nodes_of

# What others call the input that says which of two sentences a token is of.
_SEGMENTS = ("segment_ids", "token_type_ids")
# Of sequences of a free length.
_ROWS, _LENGTH = 512, 16


def random_tokens(model: keras.Model) -> Any:
    """Return rows of random tokens for a model whose inputs are all ids, masks or segments.

    Sentences they are not, but vectors of tokens go into all layers, as in sentences. So which
    directions they take is known far better than from the weights alone.

    Args:
        model: A built model.

    Returns:
        Arrays in the structure of the model's inputs; `None` for a model with other inputs.
    """
    if not can_be_stepped(model):
        return None
    rng = np.random.default_rng(0)
    arrays = []
    for tensor in model.inputs:
        array = _rows(model, tensor, rng)
        if array is None:
            return None
        arrays.append(array)
    # Masks alone are no tokens.
    if not any(np.ptp(array) for array in arrays):
        return None
    return keras.tree.pack_sequence_as(input_structure(model), arrays)


def _rows(model: Any, tensor: Any, rng: np.random.Generator) -> np.ndarray | None:
    if "int" not in tensor.dtype or any(size is None for size in tensor.shape[2:]):
        return None
    length = _LENGTH if len(tensor.shape) > 1 and tensor.shape[1] is None else None
    shape = (tensor.shape[0] or _ROWS, *(length or size for size in tensor.shape[1:]))
    if tensor.name in MASKS:
        return np.ones(shape, "int32")
    if tensor.name in _SEGMENTS:
        return np.zeros(shape, "int32")
    sizes = _table_sizes(model, tensor)
    return rng.integers(0, min(sizes), shape).astype("int32") if sizes else None


def _table_sizes(model: Any, tensor: Any) -> list[int]:
    """Return how many rows the tables have that an input of a model is looked up in."""
    sizes = []
    for node in nodes_of(model):
        layer: Any = node.operation
        places = [k for k, each in enumerate(node.input_tensors) if each is tensor]
        if places and isinstance(layer, keras.layers.Embedding):
            sizes.append(layer.input_dim)
        elif places and isinstance(layer, keras.Model) and can_be_stepped(layer):
            sizes += [size for k in places for size in _table_sizes(layer, layer.inputs[k])]
    return sizes
