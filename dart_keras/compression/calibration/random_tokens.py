"""Tokens drawn at random, in place of calibration data that nobody has."""

from typing import Any

import keras
import numpy as np
from keras import ops

from dart_keras.compression.calibration.inference import infer
from dart_keras.compression.calibration.sequence_padding import MASKS
from dart_keras.private_apis import can_be_stepped, input_structure, nodes_of

# What others call the input that says which of two sentences a token is of.
_SEGMENTS = ("segment_ids", "token_type_ids")
# With how many rows it is tried whether a model takes them.
_TRIED = 4
# Of sequences of a free length; the shorter ones for models that take no longer ones.
_ROWS, _LENGTHS = 512, (16, 8, 4)


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
    for length in _LENGTHS:
        rng = np.random.default_rng(0)
        arrays = [_rows(model, tensor, length, rng) for tensor in model.inputs]
        known = [array for array in arrays if array is not None]
        # Masks alone are no tokens.
        if len(known) < len(arrays) or not any(np.ptp(array) for array in known):
            return None
        found = keras.tree.pack_sequence_as(input_structure(model), known)
        if _are_taken(model, found):
            return found
    return None


def _are_taken(model: keras.Model, rows: Any) -> bool:
    size = next((x.shape[0] for x in model.inputs if x.shape[0] is not None), _TRIED)
    some = keras.tree.map_structure(lambda x: ops.convert_to_tensor(x[:size]), rows)
    # Whatever a model does not like about tokens that are no sentence, it has its weights.
    try:
        outputs = keras.tree.flatten(infer(model, some))
    except Exception:
        return False
    return all(bool(ops.all(ops.isfinite(ops.cast(y, "float32")))) for y in outputs)


def _rows(model: Any, tensor: Any, most: int, rng: np.random.Generator) -> np.ndarray | None:
    if "int" not in tensor.dtype or any(size is None for size in tensor.shape[2:]):
        return None
    length = most if len(tensor.shape) > 1 and tensor.shape[1] is None else None
    # Whole batches, for a model of one batch size.
    batch = tensor.shape[0] or 1
    shape = (max(1, _ROWS // batch) * batch, *(length or size for size in tensor.shape[1:]))
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
