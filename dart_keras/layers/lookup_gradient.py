"""The gradient of a lookup in TensorFlow, in less time and memory than its own takes.

Words are those of `lookup_steps`.
"""

from collections.abc import Sequence
from typing import Any

from dart_keras.layers.lookup_steps import multiply, per_id, places, slices_of
from dart_keras.tensor_train.lookup import Factor, LookupPlan


def rows_with_own_gradient(digits: Sequence[Any], tables: Sequence[Any], plan: LookupPlan) -> Any:
    """The last state. Only the ids are kept for the gradient, the slices are picked once more.

    The gradient is worked out for one block of ids after another, so that slices and their
    gradients are never there for all ids at once. It is added to those of the tables in place,
    which takes less than half the time of making `tf.IndexedSlices` dense.

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
            # Slices picked from these need not be transposed, one by one, by the products.
            turned = _turned(tables, plan.factors)
            count = tf.shape(flow)[0] if flow.shape[0] is None else flow.shape[0]
            for block in range(plan.blocks):
                ids = slice(count * block // plan.blocks, count * (block + 1) // plan.blocks)
                # Not before the last block is done and its memory is free.
                with tf.control_dependencies(sums if block else []):
                    own_digits = [tf.identity(digit[ids]) for digit in digits]
                    own_flow = tf.identity(flow[ids])
                sums = _with_gradients(sums, own_digits, tables, turned, plan.factors, own_flow)
            return [tf.cast(s, table.dtype) for s, table in zip(sums, tables, strict=True)]

        return multiply(digits, tables, plan.factors)[-1], gradient

    return rows_of(*tables)


def repeated_rows(rows: Any, places: Any) -> Any:
    """`tf.gather(rows, places)`, with a gradient that is dense from the start.

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
    # Half precision is too little for sums over thousands of ids.
    return "float64" if table.dtype == "float64" else "float32"


def _with_gradients(
    sums: Sequence[Any],
    digits: Sequence[Any],
    tables: Sequence[Any],
    turned: Sequence[Any],
    factors: Sequence[Factor],
    flow: Any,
) -> list[Any]:
    """The sums with the gradients of a block's ids added; `flow` is that of their last state."""
    import tensorflow as tf

    states = multiply(digits[:-1], tables[:-1], factors[:-1])
    sums = list(sums)
    for k in range(len(factors) - 1, 0, -1):
        if factors[k].grouped:
            change, flow = _gradients_per_part(states[k - 1], tables[k], digits[k], flow)
            sums[k] += tf.cast(change, sums[k].dtype)
            continue
        _, rank, columns = tables[k].shape
        width = states[k - 1].shape[1] // rank
        behind = tf.reshape(flow, (-1, width, columns))
        if k == 1:
            state = tf.reshape(slices_of(turned[0], digits[0]), (-1, rank, width))
            change = tf.matmul(state, behind)
        else:
            state = tf.reshape(states[k - 1], (-1, width, rank))
            change = tf.matmul(state, behind, transpose_a=True)
        sums[k] = _scattered(sums[k], digits[k], change)
        flow = per_id(flow, turned[k], digits[k])
    sums[0] = _scattered(sums[0], digits[0], flow)
    return sums


def _gradients_per_part(state: Any, table: Any, digit: Any, flow: Any) -> tuple[Any, Any]:
    """The gradients of a table and of the state before it, from that of the state behind it."""
    import tensorflow as tf

    n, rank, columns = table.shape
    width = state.shape[1] // rank
    before, behind = [state], [flow]
    if n > 1:
        before, behind = (tf.dynamic_partition(x, digit, n) for x in (state, flow))
    before = [tf.reshape(part, (-1, rank)) for part in before]
    behind = [tf.reshape(part, (-1, columns)) for part in behind]
    pairs = list(zip(before, behind, strict=True))
    change = tf.stack([tf.matmul(left, right, transpose_a=True) for left, right in pairs])
    parts = [
        tf.reshape(tf.matmul(right, table[k], transpose_b=True), (-1, width * rank))
        for k, right in enumerate(behind)
    ]
    return change, tf.dynamic_stitch(places(digit, n), parts) if n > 1 else parts[0]


def _turned(tables: Sequence[Any], factors: Sequence[Factor]) -> list[Any]:
    """The tables, their slices transposed, those of the first factor as the next one meets them."""
    import tensorflow as tf

    rank = factors[1].rank if len(factors) > 1 else 1
    first = tf.reshape(tables[0], (tables[0].shape[0], -1, rank))
    return [tf.transpose(table, (0, 2, 1)) for table in (first, *tables[1:])]


def _scattered(table_sum: Any, digit: Any, changes: Any) -> Any:
    """The sum for a table with the gradients of slices added to it, each at its digit."""
    import tensorflow as tf

    changes = tf.cast(tf.reshape(changes, (-1, *table_sum.shape[1:])), table_sum.dtype)
    return tf.tensor_scatter_nd_add(table_sum, digit[:, None], changes)
