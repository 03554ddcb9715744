"""Rotate the residual stream of a model, so that no channel is much larger than the others.

Trained transformers tend to have a few channels that are many times as large as the rest. In int8
all channels of a tensor share one scale, so the other channels lose precision. A rotation spreads
the large values over all channels. It is folded into the layers that write to the stream and read
from it. The outputs stay the same, but the head is no longer tied to the table (Ashkboos et al.
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


def rotate(model: keras.Model, architecture: Architecture) -> keras.Model:
    """Return the same model with a rotated residual stream, for the next word after a window.

    Args:
        model: A model of `build_model`.
        architecture: The architecture it was built with; its ranks may be truncated since then.

    Returns:
        A model from int32 (batch, length) to float32 (batch, vocabulary). Its head is not tied to
        its table, because the scale of the last normalization is folded into the head.

    Raises:
        ValueError: If the last normalization scales a channel by zero, so that its shift cannot be
            folded.
    """
    old = {layer.name: layer for layer in model.layers}
    scale, shift = map(_to_numpy, old["norm"].weights)
    if not scale.all():
        raise ValueError(
            "Expected nonzero scales in the last normalization. Received: zero for "
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
            layer.set_weights([_to_numpy(old["positions"].weights[0]) @ turn])
        elif layer.name.startswith("table"):
            _copy(old[layer.name], layer, after=turn)
        elif layer.name.startswith("head"):
            _copy(old[layer.name.replace("head", "table")], layer, after=scale[:, None] * turn)
        elif part in _READERS:
            norm = "feed_forward_norm" if part == "expand" else "attention_norm"
            its_scale, its_shift = map(_to_numpy, old[f"{block}_{norm}"].weights)
            _copy(old[layer.name], layer, before=turn.T * its_scale, shift=its_shift)
        elif part in _WRITERS:
            _copy(old[layer.name], layer, after=turn)
    return new


def rotation(width: int) -> np.ndarray:
    """Return a random orthogonal matrix of a fixed seed, float64 of shape (width, width).

    The sum of each row and column is 1. So the mean of the channels does not change, and
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
    """Copy a layer's matrix and bias to another one, multiplied from the left and the right.

    Args:
        old: A dense layer or embedding, or a TT layer with one bond.
        new: A layer of the same kind.
        before: Left factor of the matrix.
        after: Right factor of the matrix and the bias.
        shift: Constant that the old layer's inputs contain.
    """
    matrices = [_to_numpy(each) for each in getattr(old, "cores", old.weights[:1])]
    bias = None if getattr(old, "bias", None) is None else _to_numpy(old.bias)
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
    # Cores have shape (rank, rows, columns, rank); here columns or rows are 1.
    return core if core.ndim == 2 else core.reshape(core.shape[0] * core.shape[1], -1)


def _to_numpy(variable: Any) -> np.ndarray:
    return ops.convert_to_numpy(variable).astype("float64")
