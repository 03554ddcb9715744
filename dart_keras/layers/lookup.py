"""Lookup of rows of a TT matrix: ids become digits, which select slices of the cores."""

import math
from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from dart_keras.layers.lookup_gradient import repeated_rows, rows_with_own_gradient
from dart_keras.layers.lookup_steps import multiply
from dart_keras.layers.planning import planned_device
from dart_keras.private_apis import compiling_with_xla
from dart_keras.tensor_train.contraction import UNKNOWN_ROWS, product_interceptor
from dart_keras.tensor_train.lookup import LookupPlan, plan_lookup

# In float32, quotients of integers below 2^22 round down correctly.
_EXACT_IN_FLOAT = 2**22


def checked_ids(ids: Any, input_dim: int, layer_name: str) -> Any:
    """Return the ids as int32 or int64, and check that they are in [0, input_dim).

    TensorFlow can check, both eagerly and in a compiled function, except under XLA. Other backends
    have their own rules for indices out of range.
    """
    ids = ops.convert_to_tensor(ids, sparse=False)
    dtype = keras.backend.standardize_dtype(ids.dtype)
    if dtype not in ("int32", "int64"):
        # Of 64 bits, a large one would become a small one that is in range.
        ids = ops.cast(ids, "int64" if dtype == "uint64" else "int32")
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        message = f"Layer {layer_name!r} expected ids in [0, {input_dim}). Received: others"
        checks = [
            tf.debugging.assert_non_negative(ids, message=message),
            tf.debugging.assert_less(ids, tf.constant(input_dim, ids.dtype), message=message),
        ]
        # Otherwise the lookup may fail first, with a message about digits. In eager mode, the
        # checks are already done.
        with tf.control_dependencies([check for check in checks if check is not None]):
            return tf.identity(ids)
    return ids


def split_ids(ids: Any, modes: Sequence[int]) -> list[Any]:
    """Return the digits (i_1...i_d) of row-major ids.

    Args:
        ids: Integer tensor of any shape.
        modes: Sizes n_1...n_d, whose product bounds the ids.

    Returns:
        One int32 tensor a mode, each of the shape of `ids`.
    """
    if sum(mode > 1 for mode in modes) <= 1:
        whole = ops.cast(ids, "int32")
        return [whole if mode > 1 else ops.zeros_like(whole) for mode in modes]
    # In float32, because TensorFlow Lite Micro has no integer division.
    state = ops.cast(ids, "float32" if math.prod(modes) <= _EXACT_IN_FLOAT else "int32")
    digits = []
    for mode in reversed(modes[1:]):
        digits.append(ops.cast(ops.mod(state, mode), "int32"))
        state = ops.floor_divide(state, mode)
    digits.append(ops.cast(state, "int32"))
    return digits[::-1]


def lookup_plan_for(layer: Any, count: int | None, training: bool | None) -> LookupPlan:
    """Return the plan by which a layer looks up rows at its present ranks.

    Args:
        layer: A built `TTLayer`.
        count: Number of ids, `None` if unknown.
        training: Whether gradients are needed.

    Returns:
        The plan.
    """
    # XLA needs fixed sizes, so finding equal ids first does not help.
    fixed = keras.backend.backend() != "tensorflow" or compiling_with_xla()
    return plan_lookup(
        UNKNOWN_ROWS if count is None else count,
        layer.input_modes,
        layer.output_modes,
        layer.ranks,
        training=bool(training),
        target=planned_device() or "cpu",
        dynamic_shapes=not fixed,
    )


def lookup(ids: Any, cores: Sequence[Any], plan: LookupPlan) -> Any:
    """Return rows of a TT matrix, without computing the matrix.

    Args:
        ids: 1-D integer tensor. The number of ids may differ from the plan's.
        cores: Tensors of shape (r_{k-1}, n_k, m_k, r_k), with the modes and ranks of the plan.
        plan: What to merge, and in which order to multiply.

    Returns:
        Tensor of shape (number of ids, M).
    """
    if not plan.is_distinct:
        return _rows(ids, cores, plan)
    import tensorflow as tf

    distinct, places = tf.unique(ids)
    rows = _rows(distinct, cores, plan)
    return repeated_rows(rows, places) if plan.training else tf.gather(rows, places)


def _rows(ids: Any, cores: Sequence[Any], plan: LookupPlan) -> Any:
    tables = [table_of(cores[f.first : f.last + 1], plan.is_mirrored) for f in plan.factors]
    # Ids are split in the order of the modes.
    step = -1 if plan.is_mirrored else 1
    digits = split_ids(ids, [factor.n for factor in plan.factors[::step]])[::step]
    interceptor = product_interceptor()
    if interceptor is not None:
        tables = [interceptor.weights(k, table) for k, table in enumerate(tables)]
        rows = multiply(digits, tables, plan.factors, interceptor.result)[-1]
    elif plan.training and keras.backend.backend() == "tensorflow":
        rows = rows_with_own_gradient(digits, tables, plan)
    else:
        rows = multiply(digits, tables, plan.factors)[-1]
    if plan.ends_with_move:
        rows = ops.reshape(rows, (-1, *(factor.m for factor in plan.factors)))
        rows = ops.transpose(rows, (0, *range(len(plan.factors), 0, -1)))
    return ops.reshape(rows, (-1, math.prod(plan.output_modes)))


def table_of(cores: Sequence[Any], mirrored: bool) -> Any:
    """Return the slices of neighbouring cores, merged: a tensor of shape (n, r, m * r')."""
    left, n, m, right = cores[0].shape
    table = cores[0]
    for core in cores[1:]:
        rank, next_n, next_m, right = core.shape
        table = ops.matmul(ops.reshape(table, (-1, rank)), ops.reshape(core, (rank, -1)))
        table = ops.reshape(table, (left * n, m, next_n, next_m * right))
        table = ops.transpose(table, (0, 2, 1, 3))
        n, m = n * next_n, m * next_m
    table = ops.reshape(table, (left, n, m, right))
    if mirrored:
        return ops.reshape(ops.transpose(table, (1, 3, 2, 0)), (n, right, m * left))
    return ops.reshape(ops.transpose(table, (1, 0, 2, 3)), (n, left, m * right))
