"""Looking up rows of a tensor train: ids become digits, and these pick slices of the cores."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

# float32 holds every integer up to 2^24, and quotients of integers below 2^22 round down rightly.
_EXACT_IN_FLOAT = 2**22


def checked_ids(ids: Any, input_dim: int, layer_name: str) -> Any:
    """The ids, after a check that raises an error for one outside [0, input_dim).

    TensorFlow can do so, both eagerly and in a compiled function, except under XLA. Other backends
    go by their own rule for indices out of range.
    """
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        message = f"Layer {layer_name!r} expected ids in [0, {input_dim}). Received others"
        checks = [
            tf.debugging.assert_non_negative(ids, message=message),
            tf.debugging.assert_less(ids, tf.constant(input_dim, ids.dtype), message=message),
        ]
        # So that the lookup does not fail first, with a message about digits. Eagerly, the checks
        # are done and there is nothing to wait for.
        with tf.control_dependencies([check for check in checks if check is not None]):
            return tf.identity(ids)
    return ids


def split_ids(ids: Any, modes: Sequence[int]) -> list[Any]:
    """The digits (i_1...i_d) of row-major ids.

    Args:
        ids: Integer tensor of any shape.
        modes: The sizes n_1...n_d, whose product bounds the ids.

    Returns:
        One int32 tensor a mode, each of the shape of `ids`.
    """
    size = 1
    for mode in modes:
        size *= mode
    # In float32, because a microcontroller's interpreter divides no integers.
    state = ops.cast(ids, "float32" if size <= _EXACT_IN_FLOAT else "int32")
    digits = []
    for mode in reversed(modes[1:]):
        digits.append(ops.cast(ops.mod(state, mode), "int32"))
        state = ops.floor_divide(state, mode)
    digits.append(ops.cast(state, "int32"))
    return digits[::-1]


def gather_rows(table: Any, indices: Any) -> Any:
    """Rows of a table of shape (rows, width), for a 1-D tensor of int32 indices.

    `keras.ops.take` allows for negative indices by a select, which a microcontroller's interpreter
    does not have.
    """
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        return tf.gather(table, indices)
    return ops.take(table, indices, axis=0)


def lookup(ids: Any, cores: Sequence[Any]) -> Any:
    """Rows of the matrix that the cores make, working with the slices of these rows only.

    Args:
        ids: 1-D integer tensor.
        cores: Tensors of shape (r_{k-1}, n_k, m_k, r_k).

    Returns:
        Tensor of shape (number of ids, M).
    """
    rows: Any = None
    for digits, core in zip(split_ids(ids, [c.shape[1] for c in cores]), cores, strict=True):
        rank, n, m, next_rank = core.shape
        table = ops.reshape(ops.transpose(core, (1, 0, 2, 3)), (n, rank * m * next_rank))
        slices = gather_rows(table, digits)
        if rows is None:
            rows = ops.reshape(slices, (-1, m, next_rank))
        else:
            rows = ops.matmul(rows, ops.reshape(slices, (-1, rank, m * next_rank)))
            rows = ops.reshape(rows, (-1, rows.shape[1] * m, next_rank))
    return ops.reshape(rows, (-1, rows.shape[1]))
