"""Gradient of a lookup in TensorFlow, which needs less time and memory than TensorFlow's own.

The terms are those of `lookup_steps`.
"""

from collections.abc import Sequence
from typing import Any

from dart_keras.layers.lookup_steps import multiply, per_id, places, slices_of
from dart_keras.tensor_train.lookup import Factor, LookupPlan


def rows_with_own_gradient(digits: Sequence[Any], tables: Sequence[Any], plan: LookupPlan) -> Any:
    """Return the last state, with a custom gradient that keeps only the ids.

    The gradient gathers the slices again, one block of ids after another. So slices and their
    gradients never exist for all ids at once. The gradients are added to those of the tables in
    place, which takes less than half the time of making `tf.IndexedSlices` dense.

    Args:
        digits: For each factor, a 1-D int32 tensor with the digit of every id.
        tables: For each factor, its slices.
        plan: Has the factors and the number of blocks.

    Returns:
        Tensor of shape (ids, w).
    """
    import tensorflow as tf

    @tf.custom_gradient
    def rows_of(*tables: Any) -> Any:
        def gradient(flow: Any) -> list[Any]:
            sums = [tf.zeros(table.shape, _sum_dtype(table)) for table in tables]
            # With transposed tables, the products need not transpose each slice.
            turned = _turned(tables, plan.factors)
            count = tf.shape(flow)[0] if flow.shape[0] is None else flow.shape[0]
            for block in range(plan.blocks):
                ids = slice(count * block // plan.blocks, count * (block + 1) // plan.blocks)
                # Wait until the previous block is done and its memory is free.
                with tf.control_dependencies(sums if block else []):
                    own_digits = [tf.identity(digit[ids]) for digit in digits]
                    own_flow = tf.identity(flow[ids])
                sums = _with_gradients(sums, own_digits, tables, turned, plan.factors, own_flow)
            return [tf.cast(s, table.dtype) for s, table in zip(sums, tables, strict=True)]

        return multiply(digits, tables, plan.factors)[-1], gradient

    return rows_of(*tables)


def repeated_rows(rows: Any, places: Any) -> Any:
    """Return `tf.gather(rows, places)`, with a gradient that is dense from the start.

    Args:
        rows: Tensor of shape (rows, width).
        places: 1-D int32 tensor.

    Returns:
        Tensor of shape (places, width).
    """
    import tensorflow as tf

    @tf.custom_gradient
    def repeat(rows: Any) -> Any:
        def gradient(flow: Any) -> Any:
            zeros = tf.zeros(tf.shape(rows), _sum_dtype(rows))
            return tf.cast(_scattered(zeros, places, flow), rows.dtype)

        return tf.gather(rows, places), gradient

    return repeat(rows)


def _sum_dtype(table: Any) -> str:
    # Half precision is not enough for sums over thousands of ids.
    return "float64" if table.dtype == "float64" else "float32"


def _with_gradients(
    sums: Sequence[Any],
    digits: Sequence[Any],
    tables: Sequence[Any],
    turned: Sequence[Any],
    factors: Sequence[Factor],
    flow: Any,
) -> list[Any]:
    """Return the sums with the gradients of a block of ids; `flow` is that of their last state."""
    import tensorflow as tf

    states = multiply(digits[:-1], tables[:-1], factors[:-1])
    sums = list(sums)
    for k in range(len(factors) - 1, 0, -1):
        if factors[k].grouped:
            change, flow = _gradients_per_group(states[k - 1], tables[k], digits[k], flow)
            sums[k] += tf.cast(change, sums[k].dtype)
            continue
        _, rank, columns = tables[k].shape
        width = states[k - 1].shape[1] // rank
        after = tf.reshape(flow, (-1, width, columns))
        if k == 1:
            state = tf.reshape(slices_of(turned[0], digits[0]), (-1, rank, width))
            change = tf.matmul(state, after)
        else:
            state = tf.reshape(states[k - 1], (-1, width, rank))
            change = tf.matmul(state, after, transpose_a=True)
        sums[k] = _scattered(sums[k], digits[k], change)
        flow = per_id(flow, turned[k], digits[k])
    sums[0] = _scattered(sums[0], digits[0], flow)
    return sums


def _gradients_per_group(state: Any, table: Any, digit: Any, flow: Any) -> tuple[Any, Any]:
    """Return the gradients of a table and of the state before it, from that of the next state."""
    import tensorflow as tf

    n, rank, columns = table.shape
    width = state.shape[1] // rank
    before, after = [state], [flow]
    if n > 1:
        before, after = (tf.dynamic_partition(x, digit, n) for x in (state, flow))
    before = [tf.reshape(group, (-1, rank)) for group in before]
    after = [tf.reshape(group, (-1, columns)) for group in after]
    pairs = list(zip(before, after, strict=True))
    change = tf.stack([tf.matmul(left, right, transpose_a=True) for left, right in pairs])
    groups = [
        tf.reshape(tf.matmul(right, table[k], transpose_b=True), (-1, width * rank))
        for k, right in enumerate(after)
    ]
    return change, tf.dynamic_stitch(places(digit, n), groups) if n > 1 else groups[0]


def _turned(tables: Sequence[Any], factors: Sequence[Factor]) -> list[Any]:
    """Return the tables with transposed slices, those of the first in the layout of the next."""
    import tensorflow as tf

    rank = factors[1].rank if len(factors) > 1 else 1
    first = tf.reshape(tables[0], (tables[0].shape[0], -1, rank))
    return [tf.transpose(table, (0, 2, 1)) for table in (first, *tables[1:])]


def _scattered(table_sum: Any, digit: Any, changes: Any) -> Any:
    """Add gradients of slices to the sum of a table, each at its digit."""
    import tensorflow as tf

    changes = tf.cast(tf.reshape(changes, (-1, *table_sum.shape[1:])), table_sum.dtype)
    return tf.tensor_scatter_nd_add(table_sum, digit[:, None], changes)
