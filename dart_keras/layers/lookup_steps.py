"""Multiply the slices that digits select, factor by factor.

A table has the slices of a factor: a tensor of shape (n, r, m * r'). A state has, for each id, the
product of its slices so far: a tensor of shape (ids, w * r), where w is the product of the output
modes so far and r the left rank of the next factor.
"""

from collections.abc import Callable, Sequence
from typing import Any

import keras
from keras import ops

from dart_keras.tensor_train.lookup import Factor


def gather_rows(table: Any, indices: Any) -> Any:
    """Return rows of a table of shape (rows, width), for a 1-D tensor of int32 indices.

    `keras.ops.take` supports negative indices by a select operator, which TensorFlow Lite Micro
    lacks.
    """
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        return tf.gather(table, indices)
    return ops.take(table, indices, axis=0)


def multiply(
    digits: Sequence[Any],
    tables: Sequence[Any],
    factors: Sequence[Factor],
    change: Callable[[int, Any], Any] | None = None,
) -> list[Any]:
    """Return the states after each factor.

    Args:
        digits: For each factor, a 1-D int32 tensor with the digit of every id.
        tables: For each factor, its slices.
        factors: The factors, in the order of their multiplication.
        change: Called with the index of a product, from 0, and with its result; its return value
            replaces the result.

    Returns:
        As many tensors; the last one has the rows.
    """
    states: list[Any] = []
    for digit, table, factor in zip(digits, tables, factors, strict=True):
        if not states:
            state = slices_of(table, digit)
        else:
            state = (per_group if factor.grouped else per_id)(states[-1], table, digit)
            if change is not None:
                state = change(len(states) - 1, state)
        states.append(state)
    return states


def slices_of(table: Any, digit: Any) -> Any:
    """Return for each id the slice of its digit: a tensor of shape (ids, r * m * r')."""
    n, rank, columns = table.shape
    return gather_rows(ops.reshape(table, (n, rank * columns)), digit)


def per_id(state: Any, table: Any, digit: Any) -> Any:
    """Return the next state, by one product of small matrices for each id."""
    _, rank, columns = table.shape
    width = state.shape[1] // rank
    slices = ops.reshape(slices_of(table, digit), (-1, rank, columns))
    product = ops.matmul(ops.reshape(state, (-1, width, rank)), slices)
    return ops.reshape(product, (-1, width * columns))


def per_group(state: Any, table: Any, digit: Any) -> Any:
    """Return the next state, by one product of large matrices for each value of the digit.

    Only in TensorFlow, except for a digit with one value.
    """
    n, rank, columns = table.shape
    width = state.shape[1] // rank

    def product(group: Any, k: int) -> Any:
        return ops.reshape(
            ops.matmul(ops.reshape(group, (-1, rank)), table[k]), (-1, width * columns)
        )

    if n == 1:
        return product(state, 0)
    import tensorflow as tf

    groups = tf.dynamic_partition(state, digit, n)
    return tf.dynamic_stitch(
        places(digit, n), [product(group, k) for k, group in enumerate(groups)]
    )


def places(digit: Any, n: int) -> list[Any]:
    """Return the indices of the ids of each value of a digit. Only in TensorFlow."""
    import tensorflow as tf

    return tf.dynamic_partition(tf.range(tf.shape(digit)[0]), digit, n)
