"""Multiplying the slices that digits pick, factor by factor.

A table holds the slices of a factor: a tensor of shape (n, r, m * r'). A state holds, for each id,
the product of its slices so far: a tensor of shape (ids, w * r), w being the product of the output
modes so far and r the rank that the next factor has on its left.
"""

from collections.abc import Callable, Sequence
from typing import Any

import keras
from keras import ops

from dart_keras.tensor_train.lookup import Factor


def gather_rows(table: Any, indices: Any) -> Any:
    """Rows of a table of shape (rows, width), for a 1-D tensor of int32 indices.

    `keras.ops.take` allows for negative indices by a select, which a microcontroller's interpreter
    does not have.
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
    """The states after each factor.

    Args:
        digits: For each factor, a 1-D int32 tensor with the digit of every id.
        tables: For each factor, its slices.
        factors: The factors, in the order in which they are multiplied.
        change: Called with the place of a product, the first one's being 0, and with its result;
            what it returns takes the result's place.

    Returns:
        As many tensors; the last one holds the rows.
    """
    states: list[Any] = []
    for digit, table, factor in zip(digits, tables, factors, strict=True):
        if not states:
            state = slices_of(table, digit)
        else:
            state = (per_part if factor.grouped else per_id)(states[-1], table, digit)
            if change is not None:
                state = change(len(states) - 1, state)
        states.append(state)
    return states


def slices_of(table: Any, digit: Any) -> Any:
    """For each id the slice that its digit picks: a tensor of shape (ids, r * m * r')."""
    n, rank, columns = table.shape
    return gather_rows(ops.reshape(table, (n, rank * columns)), digit)


def per_id(state: Any, table: Any, digit: Any) -> Any:
    """The next state, by one product of small matrices for each id."""
    _, rank, columns = table.shape
    width = state.shape[1] // rank
    slices = ops.reshape(slices_of(table, digit), (-1, rank, columns))
    product = ops.matmul(ops.reshape(state, (-1, width, rank)), slices)
    return ops.reshape(product, (-1, width * columns))


def per_part(state: Any, table: Any, digit: Any) -> Any:
    """The next state, by one product of large matrices for each value of the digit.

    Only in TensorFlow, but for a digit that has one value.
    """
    n, rank, columns = table.shape
    width = state.shape[1] // rank

    def product(part: Any, k: int) -> Any:
        return ops.reshape(
            ops.matmul(ops.reshape(part, (-1, rank)), table[k]), (-1, width * columns)
        )

    if n == 1:
        return product(state, 0)
    import tensorflow as tf

    parts = tf.dynamic_partition(state, digit, n)
    return tf.dynamic_stitch(places(digit, n), [product(part, k) for k, part in enumerate(parts)])


def places(digit: Any, n: int) -> list[Any]:
    """For each value of a digit the indices of the ids that have it. Only in TensorFlow."""
    import tensorflow as tf

    return tf.dynamic_partition(tf.range(tf.shape(digit)[0]), digit, n)
