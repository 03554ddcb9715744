import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dart_keras.tensor_train import TTMatrix
from dart_keras.tensor_train.rounding import bond_maps, project, ranks_within
from tests.trains import random_train, trains, unfoldings

TRAIN = random_train((3, 4, 3), (4, 3, 4), (1, 6, 5, 1))


def cut_ranks(data, tt):
    return (1, *(data.draw(st.integers(1, rank)) for rank in tt.left_canonical().ranks[1:-1]), 1)


@given(trains(), st.data())
def test_the_maps_of_a_bond_undo_each_other(tt, data):
    # Ranks that the modes allow on both sides, so that every direction kept is there.
    tt = tt.left_canonical().right_canonical()
    ranks = cut_ranks(data, tt)
    for rank, old, maps in zip(ranks, tt.ranks, bond_maps(tt.cores, ranks), strict=True):
        if rank == old:
            assert maps is None
        else:
            p, q = maps
            assert (p.shape, q.shape) == ((old, rank), (rank, old))
            np.testing.assert_allclose(q @ p, np.eye(rank), atol=1e-6)


def test_the_maps_of_a_canonical_train_are_orthonormal():
    # Left-canonical to the left of the bond, right-canonical to its right: U s V' itself.
    rng = np.random.default_rng(0)
    u, _ = np.linalg.qr(rng.normal(size=(12, 6)))
    v, _ = np.linalg.qr(rng.normal(size=(12, 6)))
    root = np.sqrt(np.array([9.0, 7.0, 5.0, 1.0, 0.5, 0.1]))
    turn, _ = np.linalg.qr(rng.normal(size=(6, 6)))
    first, second = (u * root) @ turn, turn.T @ (v * root).T
    cores = (first.reshape(1, 3, 4, 6), second.reshape(6, 4, 3, 1))
    _, (p, q), _ = bond_maps(cores, (1, 3, 1))
    np.testing.assert_allclose(p, q.T, atol=1e-9)
    np.testing.assert_allclose(p.T @ p, np.eye(3), atol=1e-9)


def test_the_maps_make_the_best_cut_of_a_bond():
    tt = random_train((4, 4), (4, 4), (1, 8, 1))
    rounded = TTMatrix(project(tt.cores, bond_maps(tt.cores, (1, 3, 1))))
    [unfolding] = unfoldings(tt.to_dense(), (4, 4), (4, 4))
    u, s, vh = np.linalg.svd(unfolding)
    [cut] = unfoldings(rounded.to_dense(), (4, 4), (4, 4))
    np.testing.assert_allclose(cut, (u[:, :3] * s[:3]) @ vh[:3], atol=1e-10)


def test_projecting_is_linear():
    maps = bond_maps(TRAIN.cores, (1, 3, 2, 1))
    other = random_train((3, 4, 3), (4, 3, 4), TRAIN.ranks, seed=1)
    combined = project([2 * a - b for a, b in zip(TRAIN.cores, other.cores, strict=True)], maps)
    for mixed, a, b in zip(
        combined, project(TRAIN.cores, maps), project(other.cores, maps), strict=True
    ):
        np.testing.assert_allclose(mixed, 2 * a - b, atol=1e-10)


def test_variances_go_through_the_maps_as_variances():
    # Of independent entries with these variances, the projected entries have the projected ones.
    rng = np.random.default_rng(0)
    maps = bond_maps(TRAIN.cores, (1, 3, 2, 1))
    variances = [rng.uniform(0.5, 2, core.shape) for core in TRAIN.cores]
    draws = 4000
    sums = [0.0, 0.0, 0.0]
    for _ in range(draws):
        sample = [rng.normal(size=v.shape) * np.sqrt(v) for v in variances]
        sums = [total + p**2 for total, p in zip(sums, project(sample, maps), strict=True)]
    for total, expected in zip(sums, project(variances, maps, power=2), strict=True):
        np.testing.assert_allclose(total / draws, expected, rtol=0.2)
        assert np.all(expected > 0)


def test_projecting_keeps_the_dtype():
    cores = [core.astype("float32") for core in TRAIN.cores]
    projected = project(cores, bond_maps(cores, (1, 3, 2, 1)))
    assert [core.dtype for core in projected] == [np.float32] * 3
    assert [core.shape[3] for core in projected] == [3, 2, 1]


@pytest.mark.parametrize("poor_side", [0, 1])
def test_ranks_beyond_those_of_the_matrix_can_still_learn(poor_side):
    # A matrix of rank one, because one of its two cores is, cut to rank two.
    cores = list(random_train((3, 3), (3, 3), (1, 4, 1)).cores)
    axis = 3 if poor_side == 0 else 0
    cores[poor_side] = np.repeat(np.take(cores[poor_side], [0], axis), 4, axis)
    tt = TTMatrix(tuple(cores))
    first, second = project(tt.cores, bond_maps(tt.cores, (1, 2, 1)))
    np.testing.assert_allclose(TTMatrix((first, second)).to_dense(), tt.to_dense(), atol=1e-10)
    # The second slice is not needed. It is zero on one side only, so that it still gets a gradient.
    left = np.linalg.norm(first.reshape(-1, 2), axis=0)
    right = np.linalg.norm(second.reshape(2, -1), axis=1)
    assert np.all(np.maximum(left, right) > 1e-3)


def test_the_scale_of_the_cores_stays():
    # Cores of very different norms keep them: the gauge of training is not rewritten.
    first, second = random_train((4, 4), (4, 4), (1, 8, 1)).cores
    cores = (1e3 * first, 1e-3 * second)
    cut = project(cores, bond_maps(cores, (1, 6, 1)))
    for old, new in zip(cores, cut, strict=True):
        assert 0.4 < np.linalg.norm(new) / np.linalg.norm(old) < 2.5


@given(trains(), st.floats(0, 0.99))
def test_ranks_within_are_the_smallest_that_promise_the_tolerance(tt, tolerance):
    values = tt.bond_singular_values()
    ranks = ranks_within(values, tolerance)
    for rank, bond in zip(ranks, values, strict=True):
        norm = np.linalg.norm(bond)
        allowed = tolerance / np.sqrt(len(values)) * norm
        assert np.linalg.norm(bond[rank:]) <= allowed + 1e-9 * norm
        assert rank == 1 or np.linalg.norm(bond[rank - 1 :]) > allowed - 1e-9 * norm


def test_no_tolerance_finds_the_numerical_rank():
    exact = random_train((4, 4), (4, 4), (1, 3, 1))
    doubled = exact - TTMatrix((-0.5 * exact.cores[0], exact.cores[1]))
    assert doubled.ranks == (1, 6, 1)
    assert ranks_within(doubled.bond_singular_values(), 0.0) == (3,)


@pytest.mark.parametrize("tolerance", [None, -0.1, 1.0, float("nan")])
def test_a_tolerance_out_of_range_is_refused(tolerance):
    with pytest.raises(ValueError, match=r"Expected `tolerance` in \[0, 1\)") as error:
        ranks_within([np.ones(2)], tolerance)
    assert str(error.value).endswith(f"Received: tolerance={tolerance!r}")
