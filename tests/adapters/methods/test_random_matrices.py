import gc

import numpy as np
import pytest
from keras import ops

from dart_keras import adapters
from dart_keras.adapters.methods import random_matrices
from dart_keras.adapters.methods.random_matrices import seeded_columns, seeded_rows
from tests.adapters.methods.one_layer import adapted_dense, change_of, with_random_weights

SEEDED = {
    "VeRA": adapters.VeRA,
    "RandLoRA": adapters.RandLoRA,
    "TeRA": adapters.TeRA,
}
each_seeded = pytest.mark.parametrize("method", SEEDED.values(), ids=SEEDED)


def array(tensor):
    return ops.convert_to_numpy(tensor)


def test_has_the_numbers_that_files_of_adapters_rely_on():
    # Written down: other numbers would make adapters of existing files compute something else.
    known = [[-1.1071213, 0.2069819], [-0.0638825, 0.1007086]]
    np.testing.assert_allclose(array(seeded_rows(7, "A", 2, 2)), known, rtol=1e-6)


def test_has_mean_0_and_variance_1():
    matrix = array(seeded_rows(0, "A", 100, 400))
    assert matrix.dtype == np.float32
    assert abs(matrix.mean()) < 0.02
    assert abs(matrix.var() - 1) < 0.02
    assert abs(np.corrcoef(matrix)[0, 1:]).max() < 0.25


def test_a_smaller_matrix_is_the_leading_part_of_a_larger_one():
    large = array(seeded_rows(5, "A", 9, 12))
    assert np.array_equal(array(seeded_rows(5, "A", 4, 7)), large[:4, :7])


def test_columns_are_rows_transposed():
    assert np.array_equal(array(seeded_columns(5, "A", 4, 7)), array(seeded_rows(5, "A", 7, 4)).T)


@pytest.mark.parametrize("other", [(6, "A"), (5, "B")])
def test_another_seed_or_name_has_other_numbers(other):
    one, two = array(seeded_rows(5, "A", 20, 20)), array(seeded_rows(*other, 20, 20))
    assert abs(np.corrcoef(one.ravel(), two.ravel())[0, 1]) < 0.2


def test_the_same_matrix_is_held_once_and_as_long_as_it_is_used():
    first = seeded_rows(5, "held", 4, 7)
    assert seeded_rows(5, "held", 4, 7) is first
    key = (5, "held", 4, 7, False)
    assert key in random_matrices._IN_USE
    del first
    gc.collect()
    assert key not in random_matrices._IN_USE


@each_seeded
def test_the_same_seed_gives_the_same_change(method):
    changes = {}
    for case, seed in {"one": 3, "same": 3, "other": 4}.items():
        layer, adapter = adapted_dense(method(rank=4, seed=seed))
        with_random_weights(adapter)
        changes[case] = change_of(layer)
    assert np.array_equal(changes["one"], changes["same"])
    assert not np.allclose(changes["one"], changes["other"])


@each_seeded
def test_random_matrices_are_no_weights(method):
    _, adapter = adapted_dense(method(rank=4))
    assert adapter.non_trainable_variables == []
    assert adapter.derived_weights == ()


@each_seeded
@pytest.mark.parametrize("seed", [-1, 0.5, None, True])
def test_refuses_other_seeds(method, seed):
    with pytest.raises(ValueError, match=r"Expected `seed` .* at least 0. Received: seed="):
        method(seed=seed)


@pytest.mark.parametrize(
    "method",
    [*SEEDED.values(), adapters.LoLDU, adapters.SVFit, adapters.FLoRA],
    ids=lambda method: method.__name__,
)
@pytest.mark.parametrize("rank", [0, -2, 1.5, "4"])
def test_refuses_other_ranks(method, rank):
    with pytest.raises(ValueError, match=r"to be positive integers. Received: rank="):
        method(rank=rank)
