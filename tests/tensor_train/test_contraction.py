import math

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st
from trains import random_train, trains

from dart_keras.tensor_train.contraction import (
    UNKNOWN_ROWS,
    chain,
    chain_multiply_adds,
    cheaper_contraction,
    rebuild,
    rebuild_multiply_adds,
)

ROWS = 3


def multiply_by_rebuilding(x, cores):
    return keras.ops.matmul(x, rebuild(cores))


def traced(contraction, tt, rows=ROWS):
    cores = [tf.constant(core) for core in tt.cores]
    function = tf.function(lambda x: contraction(x, cores))
    graph = function.get_concrete_function(tf.TensorSpec((rows, tt.shape[0]), tf.float64)).graph
    return graph.get_operations()


def counted_multiply_adds(operations):
    """Multiply-adds of all products of two matrices in a graph, by their shapes."""
    total = 0
    for operation in operations:
        if "MatMul" in operation.type:
            a, b = (tensor.shape.as_list() for tensor in operation.inputs)
            total += math.prod(a) * b[-1]
    return total


@given(trains(), st.integers(1, 5))
def test_both_contractions_multiply_by_the_dense_matrix(tt, rows):
    x = np.random.default_rng(0).normal(size=(rows, tt.shape[0]))
    expected = x @ tt.to_dense()
    scale = np.abs(expected).max() + 1
    np.testing.assert_allclose(chain(x, tt.cores), expected, atol=1e-10 * scale)
    np.testing.assert_allclose(rebuild(tt.cores), tt.to_dense(), atol=1e-10 * scale)


def test_the_gradients_of_both_contractions_are_the_same():
    tt = random_train((2, 3, 2), (3, 2, 2), (1, 3, 4, 1))
    x = np.random.default_rng(0).normal(size=(5, tt.shape[0]))
    gradients = []
    for contraction in (chain, multiply_by_rebuilding):
        cores = [tf.Variable(core) for core in tt.cores]
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(tf.sin(contraction(x, cores)))
        gradients.append(tape.gradient(loss, cores))
    for a, b in zip(*gradients, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-10)


@pytest.mark.parametrize(
    ("inputs", "outputs", "ranks"),
    [
        ((4, 4), (2, 2), (1, 3, 1)),
        ((2, 3, 4), (4, 3, 2), (1, 5, 2, 1)),
        ((3, 1, 2, 2), (1, 5, 2, 1), (1, 3, 4, 2, 1)),
        ((7,), (5,), (1, 1)),
    ],
)
def test_counts_are_those_of_the_products_in_the_graph(inputs, outputs, ranks):
    tt = random_train(inputs, outputs, ranks)
    arguments = (inputs, outputs, ranks, ROWS)
    assert counted_multiply_adds(traced(chain, tt)) == chain_multiply_adds(*arguments)
    counted = counted_multiply_adds(traced(multiply_by_rebuilding, tt))
    assert counted == rebuild_multiply_adds(*arguments)


@pytest.mark.parametrize("contraction", [chain, multiply_by_rebuilding])
@pytest.mark.parametrize("rows", [ROWS, None])
def test_only_operations_that_every_runtime_has(contraction, rows):
    tt = random_train((2, 3, 4), (4, 3, 2), (1, 5, 2, 1))
    kinds = {operation.type for operation in traced(contraction, tt, rows)}
    assert kinds <= {"Placeholder", "Const", "MatMul", "Reshape", "Transpose", "Identity", "NoOp"}
    assert "MatMul" in kinds


@given(trains(), st.integers(1, 100))
def test_the_cheaper_contraction_is_the_one_with_fewer_multiply_adds(tt, rows):
    arguments = (tt.input_modes, tt.output_modes, tt.ranks)
    counts = {
        "chain": chain_multiply_adds(*arguments, rows),
        "rebuild": rebuild_multiply_adds(*arguments, rows),
    }
    assert counts[cheaper_contraction(*arguments, rows)] == min(counts.values())
    assert cheaper_contraction(*arguments, None) == cheaper_contraction(*arguments, UNKNOWN_ROWS)


def test_high_ranks_and_many_rows_are_better_rebuilt():
    modes = ((32, 32), (32, 32))
    assert cheaper_contraction(*modes, (1, 4, 1), 1) == "chain"
    assert cheaper_contraction(*modes, (1, 64, 1), 512) == "rebuild"
