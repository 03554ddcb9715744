"""Which rows of a batch are data, and which only fill it up."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from dart_keras.compression.calibration.inference import infer
from dart_keras.private_apis import mask_of

# What KerasHub and others call the input that is 0 where a sequence is filled up.
MASKS = ("padding_mask", "attention_mask")

# Of batches without padding: about as many tokens as keep two cores busy. Derivatives of a large
# vocabulary's outputs take gigabytes for some thousands.
_MOST_TOKENS, _MOST_ROWS = 1024, 256
# Lengths up to the next multiple of this are made one.
_SAME_LENGTHS = 8

# By which outputs of data with and without padding may differ, as a share of the largest.
_SAME = 1e-3


class VisibleRows:
    """The rows of a batch that are not padding.

    They are known from Keras's masks, which tensors carry, or else from an input with the name
    "padding_mask" or "attention_mask". What a layer makes of padding tells nothing of what it is
    for, and in sentences of different lengths most rows may be padding.

    Args:
        model: A built model.
        batch: Inputs of it.
    """

    def __init__(self, model: keras.Model, batch: Any) -> None:
        self._mask = _mask_input(model, batch)

    def of(self, tensor: Any, rows: int) -> np.ndarray | None:
        """Return which rows of a tensor are data, of shape (rows,); `None` if all are.

        Args:
            tensor: A tensor, whose first axes are those of the batch's sequences, or another one.
            rows: How many rows are made of it, in the order of its axes.
        """
        known = mask_of(tensor)
        mask = self._mask if known is None else _as_mask(known)
        if mask is None or tuple(tensor.shape[: mask.ndim]) != mask.shape or rows % mask.size:
            return None
        return np.repeat(mask.reshape(-1), rows // mask.size)

    def rows_of(self, tensor: Any, rows: np.ndarray) -> np.ndarray:
        """Return the rows that are data.

        Args:
            tensor: As for `of`.
            rows: Array whose first axis is that of the rows.
        """
        visible = self.of(tensor, len(rows))
        return rows if visible is None else rows[visible]


def visible_rows(model: keras.Model, batches: Sequence[Any]) -> list[VisibleRows]:
    """Return the rows of batches that are data.

    Raises:
        ValueError: If an input says that none are.
    """
    masks = [_mask_input(model, batch) for batch in batches]
    if masks and all(mask is not None and not mask.any() for mask in masks):
        raise ValueError(
            f"Expected `calibration_data` with an input {' or '.join(map(repr, MASKS))} that is "
            f"not 0 for data. Received: nothing but padding for the model {model.name!r}"
        )
    return [VisibleRows(model, batch) for batch in batches]


def without_padding(
    model: keras.Model, batches: Sequence[Any], size: int | None = None
) -> list[tuple[Any, np.ndarray]] | None:
    """Return batches of rows of about the same length, without columns that are padding alone.

    Of sentences, often three in four tokens are padding, on which a model would take as long. The
    batches are in a random order, so that the first ones are of all lengths.

    Args:
        model: A built model.
        batches: Inputs, of which one may be a mask.
        size: Rows of a batch; `None` for about as many tokens in each.

    Returns:
        The batches, each with the places that its rows had among all; `None` if no input is a mask,
        or if the model takes one length alone or gives something else for data without padding.
    """
    masks = [_mask_input(model, batch) for batch in batches]
    inputs = keras.tree.flatten(getattr(model, "inputs", None) or [])
    # Of a subclassed model nobody knows which lengths it takes.
    is_free = inputs and all(x.shape[0] is None and x.shape[1:2] == (None,) for x in inputs)
    lengths = [
        _lengths(mask)
        for mask, batch in zip(masks, batches, strict=True)
        if mask is not None and all(x.shape[:2] == mask.shape for x in keras.tree.flatten(batch))
    ]
    if not is_free or len(lengths) < len(batches):
        return None
    rng = np.random.default_rng(0)
    rows = keras.tree.map_structure(lambda *parts: _joined(parts), *batches)
    of_row, found = np.concatenate(lengths), []
    mixed = rng.permutation(len(of_row))
    order = mixed[np.argsort(of_row[mixed], kind="stable")]
    while len(order):
        shortest = int(of_row[order[0]])
        many = size or min(max(_MOST_TOKENS // shortest, 1), _MOST_ROWS)
        chosen, order = np.split(order, [many])
        longest = int(of_row[chosen].max())
        if size:
            # Training is compiled for each length.
            longest = -(-longest // _SAME_LENGTHS) * _SAME_LENGTHS
        found.append((_part(rows, chosen, longest), chosen))
        if len(found) == 1 and not _is_same(model, _part(rows, chosen, None), found[0][0]):
            return None
    return [found[k] for k in rng.permutation(len(found))]


def _lengths(mask: np.ndarray) -> np.ndarray:
    """Return up to where each row has data; all of it where there are none."""
    return mask.shape[1] - np.argmax(mask[:, ::-1], axis=1)


def _joined(parts: Sequence[Any]) -> np.ndarray:
    arrays = [np.asarray(ops.convert_to_numpy(x)) for x in parts]
    widest = max(x.shape[1] for x in arrays)
    rest = [[(0, 0)] * (x.ndim - 2) for x in arrays]
    wide = [
        np.pad(x, [(0, 0), (0, widest - x.shape[1]), *more])
        for x, more in zip(arrays, rest, strict=True)
    ]
    return np.concatenate(wide)


def _part(rows: Any, chosen: np.ndarray, length: int | None) -> Any:
    return keras.tree.map_structure(lambda x: ops.convert_to_tensor(x[chosen, :length]), rows)


def _is_same(model: keras.Model, whole: Any, part: Any) -> bool:
    """Return whether a model gives the same for data, with padding or without."""
    results = []
    for batch in (whole, part):
        visible = VisibleRows(model, batch)
        outputs = keras.tree.flatten(infer(model, batch))
        results.append([visible.rows_of(y, _rows(y)) for y in outputs])
    return all(
        x.shape == y.shape and np.allclose(x, y, rtol=0, atol=_SAME * np.max(np.abs(x), initial=0))
        for x, y in zip(*results, strict=True)
    )


def _rows(outputs: Any) -> np.ndarray:
    array = np.asarray(ops.convert_to_numpy(outputs))
    return array.reshape(-1, array.shape[-1] if array.ndim > 1 else 1)


def _mask_input(model: keras.Model, batch: Any) -> np.ndarray | None:
    named = batch if isinstance(batch, dict) else {}
    inputs = keras.tree.flatten(getattr(model, "inputs", None) or [])
    if not named and len(inputs) == len(keras.tree.flatten(batch)):
        names = (tensor.name for tensor in inputs)
        named = dict(zip(names, keras.tree.flatten(batch), strict=True))
    masks = [named[name] for name in MASKS if name in named]
    return _as_mask(masks[0]) if masks else None


def _as_mask(tensor: Any) -> np.ndarray:
    return np.asarray(ops.convert_to_numpy(tensor)).astype(bool)
