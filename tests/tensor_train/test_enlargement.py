import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from dart_keras.tensor_train import TTMatrix
from dart_keras.tensor_train.enlargement import enlarge
from dart_keras.tensor_train.rounding import project
from tests.tt_matrices import tt_matrices


@st.composite
def growths(draw):
    """Draw a TT matrix, larger ranks for it, and the generator of the new slices."""
    tt = draw(tt_matrices(max_size=500))
    inner = [rank + draw(st.integers(0, 4)) for rank in tt.ranks[1:-1]]
    return tt, (1, *inner, 1), np.random.default_rng(draw(st.integers(0, 99)))


@given(growths())
def test_the_matrix_stays_the_same(growth):
    tt, ranks, rng = growth
    larger, _ = enlarge(tt.cores, ranks, rng)
    assert TTMatrix(larger).ranks == ranks
    np.testing.assert_allclose(TTMatrix(larger).to_dense(), tt.to_dense(), atol=1e-12)


@given(growths())
def test_the_maps_keep_what_is_there_and_put_zeros_into_new_places(growth):
    tt, ranks, rng = growth
    _, maps = enlarge(tt.cores, ranks, rng)
    state = [rng.normal(size=core.shape) for core in tt.cores]
    # Squares of gradients take the maps squared, which are the same maps.
    for power in (1, 2):
        for old, new, left, right in zip(
            state, project(state, maps, power=power), ranks, ranks[1:], strict=False
        ):
            assert new.shape == (left, *old.shape[1:3], right)
            kept = new[: old.shape[0], ..., : old.shape[3]]
            np.testing.assert_array_equal(kept, old)
            assert np.count_nonzero(new) == np.count_nonzero(old)


@given(growths())
def test_bonds_that_keep_their_rank_have_no_map(growth):
    tt, ranks, rng = growth
    _, maps = enlarge(tt.cores, ranks, rng)
    assert [each is None for each in maps] == [a == b for a, b in zip(tt.ranks, ranks, strict=True)]


@given(growths())
def test_a_new_slice_has_a_gradient_in_the_core_to_its_right(growth):
    tt, ranks, rng = growth
    larger, _ = enlarge(tt.cores, ranks, rng)
    for bond in range(1, len(ranks) - 1):
        for place in range(tt.ranks[bond], ranks[bond]):
            # The matrix moves with the slice that is zero: its derivative is not zero.
            moved = [core.copy() for core in larger]
            assert not np.any(moved[bond][place])
            moved[bond][place, ..., : tt.ranks[bond + 1]] = 1.0
            change = TTMatrix(tuple(moved)).to_dense() - tt.to_dense()
            assert np.abs(change).max() > 1e-12


def test_new_slices_have_the_mean_square_and_the_dtype_of_those_that_are_there():
    rng = np.random.default_rng(0)
    cores = tuple(
        rng.normal(scale=3.0, size=shape).astype("float32")
        for shape in ((1, 8, 8, 2), (2, 8, 8, 1))
    )
    larger, _ = enlarge(cores, (1, 60, 1), rng)
    assert {core.dtype for core in larger} == {np.dtype("float32")}
    added = larger[0][..., 2:]
    np.testing.assert_allclose(np.mean(added**2), np.mean(cores[0] ** 2), rtol=0.2)
