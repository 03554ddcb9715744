"""A model for a device, none of whose stream's channels is much larger than the others.

Trained transformers tend to have a few channels that are many times as large as the rest. In int8
all channels of a tensor share one step, so that little is left of the rest. A rotation of the
stream spreads them over all channels, and the layers that write into the stream and read from it
take it in: the model gives the same, and only its head becomes one of its own (Ashkboos et al.
2024, "SliceGPT", section 3, and "QuaRot", section 4).
"""

from typing import Any

import keras
import numpy as np
from keras import ops

from examples.language_model.architecture import Architecture
from examples.language_model.model import build_model

_READERS = ("query", "key", "value", "expand")
_WRITERS = ("attention", "contract")


def rotated(model: keras.Model, architecture: Architecture) -> keras.Model:
    """The same model with a stream that is rotated, for the word behind a window alone.

    Args:
        model: Of `build_model`.
        architecture: That it was built with; its ranks may have been cut since then.

    Returns:
        A model from int32 (batch, length) to float32 (batch, vocabulary). Its head is no longer
        tied to its table, because the last normalization's scale is in the head.

    Raises:
        ValueError: If the last normalization leaves out a channel: its shift has no place then.
    """
    old = {layer.name: layer for layer in model.layers}
    scale, shift = map(_numbers, old["norm"].weights)
    if not scale.all():
        raise ValueError(
            "Expected a last normalization with scales other than zero. Received: zero for "
            f"{np.count_nonzero(scale == 0)} of {len(scale)} channels"
        )
    new = build_model(architecture, last_only=True, tied=False)
    turn = rotation(len(scale))
    for layer in new.layers:
        block, _, part = layer.name.rpartition("_")
        if layer.name == "norm":
            layer.set_weights([np.ones_like(scale), shift / scale @ turn])
        elif part == "norm":
            layer.set_weights([np.ones_like(scale), np.zeros_like(shift)])
        elif layer.name == "positions":
            layer.set_weights([_numbers(old["positions"].weights[0]) @ turn])
        elif layer.name.startswith("table"):
            _copy(old[layer.name], layer, after=turn)
        elif layer.name.startswith("head"):
            _copy(old[layer.name.replace("head", "table")], layer, after=scale[:, None] * turn)
        elif part in _READERS:
            norm = "feed_forward_norm" if part == "expand" else "attention_norm"
            its_scale, its_shift = map(_numbers, old[f"{block}_{norm}"].weights)
            _copy(old[layer.name], layer, before=turn.T * its_scale, shift=its_shift)
        elif part in _WRITERS:
            _copy(old[layer.name], layer, after=turn)
    return new


def rotation(width: int) -> np.ndarray:
    """A random orthogonal matrix, float64 (width, width), always the same.

    Rows and columns have the sum 1, so that the mean of the channels stays what it is, and
    normalization by mean and variance commutes with the rotation.
    """
    rng = np.random.default_rng(0)
    mean = np.full((width, 1), width**-0.5)
    others = rng.normal(size=(2, width, width - 1))
    before, after = (np.linalg.qr(np.hstack([mean, each]))[0][:, 1:] for each in others)
    return mean @ mean.T + before @ after.T


def _copy(
    old: keras.Layer,
    new: keras.Layer,
    before: np.ndarray | None = None,
    after: np.ndarray | None = None,
    shift: np.ndarray | None = None,
) -> None:
    """Give a layer another one's matrix and bias, with products in front and behind.

    Args:
        old: A dense layer or embedding, or a tensor train with one bond.
        new: One of the same kind.
        before: What the matrix is multiplied by from the left.
        after: Likewise from the right, and the bias, too.
        shift: What the old layer's inputs had added to them.
    """
    matrices = [_numbers(each) for each in getattr(old, "cores", old.weights[:1])]
    bias = None if getattr(old, "bias", None) is None else _numbers(old.bias)
    if shift is not None:
        row = shift
        for matrix in matrices:
            row = row @ _flat(matrix)
        bias = bias + row
    if before is not None:
        matrices[0] = np.reshape(before @ _flat(matrices[0]), matrices[0].shape)
    if after is not None:
        matrices[-1] = np.reshape(_flat(matrices[-1]) @ after, matrices[-1].shape)
        bias = None if bias is None else bias @ after
    if hasattr(new, "replace_cores"):
        new.replace_cores(matrices)
        if bias is not None:
            new.bias.assign(bias)
    else:
        new.set_weights([*matrices, *([] if bias is None else [bias])])


def _flat(core: np.ndarray) -> np.ndarray:
    # Cores are (rank, rows, columns, rank); of one bond's cores one has one column, the other row.
    return core if core.ndim == 2 else core.reshape(core.shape[0] * core.shape[1], -1)


def _numbers(variable: Any) -> np.ndarray:
    return ops.convert_to_numpy(variable).astype("float64")
