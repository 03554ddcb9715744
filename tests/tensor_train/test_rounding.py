import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dart_keras.tensor_train import TTMatrix
from dart_keras.tensor_train.rounding import bond_maps, project, ranks_within
from tests.tt_matrices import random_tt_matrix, tt_matrices, unfoldings

TT = random_tt_matrix((3, 4, 3), (4, 3, 4), (1, 6, 5, 1))


def lower_ranks(data, tt):
    return (1, *(data.draw(st.integers(1, rank)) for rank in tt.left_canonical().ranks[1:-1]), 1)


@given(tt_matrices(), st.data())
def test_maps_of_a_bond_are_inverse_to_each_other(tt, data):
    # Canonical in both directions, so every kept direction exists.
    tt = tt.left_canonical().right_canonical()
    ranks = lower_ranks(data, tt)
    for rank, old, maps in zip(ranks, tt.ranks, bond_maps(tt.cores, ranks), strict=True):
        if rank == old:
            assert maps is None
        else:
            p, q = maps
            assert (p.shape, q.shape) == ((old, rank), (rank, old))
            np.testing.assert_allclose(q @ p, np.eye(rank), atol=1e-6)


def test_maps_of_a_canonical_tt_matrix_are_orthonormal():
    # Left-canonical to the left of the bond, right-canonical to its right: U s V'.
    rng = np.random.default_rng(0)
    u, _ = np.linalg.qr(rng.normal(size=(12, 6)))
    v, _ = np.linalg.qr(rng.normal(size=(12, 6)))
    root = np.sqrt(np.array([9.0, 7.0, 5.0, 1.0, 0.5, 0.1]))
    rotation, _ = np.linalg.qr(rng.normal(size=(6, 6)))
    first, second = (u * root) @ rotation, rotation.T @ (v * root).T
    cores = (first.reshape(1, 3, 4, 6), second.reshape(6, 4, 3, 1))
    _, (p, q), _ = bond_maps(cores, (1, 3, 1))
    np.testing.assert_allclose(p, q.T, atol=1e-9)
    np.testing.assert_allclose(p.T @ p, np.eye(3), atol=1e-9)


def test_maps_give_the_best_truncation_of_a_bond():
    tt = random_tt_matrix((4, 4), (4, 4), (1, 8, 1))
    rounded = TTMatrix(project(tt.cores, bond_maps(tt.cores, (1, 3, 1))))
    [unfolding] = unfoldings(tt.to_dense(), (4, 4), (4, 4))
    u, s, vh = np.linalg.svd(unfolding)
    [truncated] = unfoldings(rounded.to_dense(), (4, 4), (4, 4))
    np.testing.assert_allclose(truncated, (u[:, :3] * s[:3]) @ vh[:3], atol=1e-10)


def test_projection_is_linear():
    maps = bond_maps(TT.cores, (1, 3, 2, 1))
    other = random_tt_matrix((3, 4, 3), (4, 3, 4), TT.ranks, seed=1)
    combined = project([2 * a - b for a, b in zip(TT.cores, other.cores, strict=True)], maps)
    for mixed, a, b in zip(
        combined, project(TT.cores, maps), project(other.cores, maps), strict=True
    ):
        np.testing.assert_allclose(mixed, 2 * a - b, atol=1e-10)


def test_maps_with_power_two_project_variances():
    # Independent elements of these variances are projected to elements of the projected variances.
    rng = np.random.default_rng(0)
    maps = bond_maps(TT.cores, (1, 3, 2, 1))
    variances = [rng.uniform(0.5, 2, core.shape) for core in TT.cores]
    draws = 4000
    sums = [0.0, 0.0, 0.0]
    for _ in range(draws):
        sample = [rng.normal(size=v.shape) * np.sqrt(v) for v in variances]
        sums = [total + p**2 for total, p in zip(sums, project(sample, maps), strict=True)]
    for total, expected in zip(sums, project(variances, maps, power=2), strict=True):
        np.testing.assert_allclose(total / draws, expected, rtol=0.2)
        assert np.all(expected > 0)


def test_projection_keeps_the_dtype():
    cores = [core.astype("float32") for core in TT.cores]
    projected = project(cores, bond_maps(cores, (1, 3, 2, 1)))
    assert [core.dtype for core in projected] == [np.float32] * 3
    assert [core.shape[3] for core in projected] == [3, 2, 1]


@pytest.mark.parametrize("poor_side", [0, 1])
def test_ranks_above_those_of_the_matrix_can_still_learn(poor_side):
    # A matrix of rank one, because one of its two cores is, truncated to rank two.
    cores = list(random_tt_matrix((3, 3), (3, 3), (1, 4, 1)).cores)
    axis = 3 if poor_side == 0 else 0
    cores[poor_side] = np.repeat(np.take(cores[poor_side], [0], axis), 4, axis)
    tt = TTMatrix(tuple(cores))
    first, second = project(tt.cores, bond_maps(tt.cores, (1, 2, 1)))
    np.testing.assert_allclose(TTMatrix((first, second)).to_dense(), tt.to_dense(), atol=1e-10)
    # The second slice is redundant. It is zero on one side only, so it still gets a gradient.
    left = np.linalg.norm(first.reshape(-1, 2), axis=0)
    right = np.linalg.norm(second.reshape(2, -1), axis=1)
    assert np.all(np.maximum(left, right) > 1e-3)


def test_cores_keep_their_scale():
    # Cores of very different norms keep them: the core basis of training is preserved.
    first, second = random_tt_matrix((4, 4), (4, 4), (1, 8, 1)).cores
    cores = (1e3 * first, 1e-3 * second)
    truncated = project(cores, bond_maps(cores, (1, 6, 1)))
    for old, new in zip(cores, truncated, strict=True):
        assert 0.4 < np.linalg.norm(new) / np.linalg.norm(old) < 2.5


@given(tt_matrices(), st.floats(0, 0.99))
def test_ranks_within_are_the_smallest_for_the_tolerance(tt, tolerance):
    values = tt.bond_singular_values()
    ranks = ranks_within(values, tolerance)
    for rank, bond in zip(ranks, values, strict=True):
        norm = np.linalg.norm(bond)
        allowed = tolerance / np.sqrt(len(values)) * norm
        assert np.linalg.norm(bond[rank:]) <= allowed + 1e-9 * norm
        assert rank == 1 or np.linalg.norm(bond[rank - 1 :]) > allowed - 1e-9 * norm


def test_zero_tolerance_finds_the_numerical_rank():
    exact = random_tt_matrix((4, 4), (4, 4), (1, 3, 1))
    doubled = exact - TTMatrix((-0.5 * exact.cores[0], exact.cores[1]))
    assert doubled.ranks == (1, 6, 1)
    assert ranks_within(doubled.bond_singular_values(), 0.0) == (3,)


@pytest.mark.parametrize("tolerance", [None, -0.1, 1.0, float("nan")])
def test_tolerance_out_of_range_is_refused(tolerance):
    with pytest.raises(ValueError, match=r"Expected `tolerance` in \[0, 1\)") as error:
        ranks_within([np.ones(2)], tolerance)
    assert str(error.value).endswith(f"Received: tolerance={tolerance!r}")
