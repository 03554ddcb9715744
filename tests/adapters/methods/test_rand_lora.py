import numpy as np
import pytest
from keras import ops

from dart_keras import adapters
from dart_keras.adapters.methods.random_matrices import seeded_rows
from tests.adapters.methods.one_layer import (
    adapted_dense,
    adapted_table,
    change_of,
    count_trained,
    with_random_weights,
)

MAKERS = {
    "more rows": lambda method: adapted_dense(method, 12, 8),
    "more columns": lambda method: adapted_dense(method, 8, 12),
    "table": lambda method: adapted_table(method, 12, 8),
}


def expected_change(values, long, short, rank, seed, scale):
    count = len(values["lambda"])
    a = ops.convert_to_numpy(seeded_rows(seed, "A", rank, short))
    b = ops.convert_to_numpy(seeded_rows(seed, "B", count * rank, long)).T
    return scale * sum(
        b[:, n * rank : (n + 1) * rank]
        @ np.diag(values["lambda"][n])
        @ a
        @ np.diag(values["gamma"][n])
        for n in range(count)
    )


@pytest.mark.parametrize("kind", MAKERS)
@pytest.mark.parametrize(("alpha", "scale"), [(None, 20), (6, 2)])
def test_adds_the_sum_of_the_paper(kind, alpha, scale):
    layer, adapter = MAKERS[kind](adapters.RandLoRA(rank=3, seed=5, alpha=alpha))
    expected = expected_change(with_random_weights(adapter), 12, 8, 3, 5, scale)
    received = change_of(layer).T if kind == "more columns" else change_of(layer)
    np.testing.assert_allclose(received, expected, rtol=1e-4, atol=1e-3)


def test_can_have_full_rank():
    layer, adapter = adapted_dense(adapters.RandLoRA(rank=3))
    with_random_weights(adapter)
    assert np.linalg.matrix_rank(change_of(layer)) == 8


@pytest.mark.parametrize(("rank", "count"), [(8, 1), (4, 2), (3, 3)])
def test_trains_less_the_larger_the_rank(rank, count):
    layer, _ = adapted_dense(adapters.RandLoRA(rank=rank))
    assert count_trained(layer) == count * (rank + 8)


def test_starts_with_the_vectors_of_the_paper():
    _, adapter = adapted_dense(adapters.RandLoRA(rank=4))
    assert np.array_equal(ops.convert_to_numpy(adapter.lambdas), np.zeros((2, 4)))
    np.testing.assert_allclose(ops.convert_to_numpy(adapter.gammas), np.full((2, 8), 1 / 12))


def test_refuses_a_rank_above_that_of_the_kernel():
    with pytest.raises(ValueError, match="Expected a rank of at most 8 for layer 'hidden'"):
        adapted_dense(adapters.RandLoRA(rank=9))


@pytest.mark.parametrize("alpha", [0, -1, float("inf"), "20"])
def test_refuses_another_alpha(alpha):
    with pytest.raises(ValueError, match="Expected alpha of `RandLoRA` above 0"):
        adapters.RandLoRA(alpha=alpha)
