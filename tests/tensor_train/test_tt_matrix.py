import numpy as np
import pytest
import t3f
from hypothesis import given
from hypothesis import strategies as st

from dart_keras.tensor_train import TTMatrix, complete_ranks, rank_limits
from tests.tt_matrices import entry_by_entry, mode_pairs, random_tt_matrix, tt_matrices, unfoldings


def relative_distance(a, b):
    return np.linalg.norm(a - b) / np.linalg.norm(b)


def as_t3f(tt):
    import tensorflow as tf

    shape = [list(tt.input_modes), list(tt.output_modes)]
    cores = [tf.constant(core) for core in tt.cores]
    return t3f.TensorTrain(cores, shape, list(tt.ranks))


@given(tt_matrices())
def test_to_dense_follows_the_definition(tt):
    np.testing.assert_allclose(tt.to_dense(), entry_by_entry(tt.cores), atol=1e-10)
    assert tt.to_dense().shape == tt.shape


def test_to_dense_matches_t3f():
    tt = random_tt_matrix((3, 4, 2), (2, 5, 3), (1, 4, 3, 1))
    np.testing.assert_allclose(tt.to_dense(), t3f.full(as_t3f(tt)).numpy(), atol=1e-12)


def test_to_dense_keeps_the_dtype():
    tt = TTMatrix(
        tuple(core.astype("float32") for core in random_tt_matrix((2, 3), (2, 2), (1, 2, 1)).cores)
    )
    assert tt.to_dense().dtype == np.float32


@given(tt_matrices())
def test_left_canonical_has_orthonormal_columns(tt):
    canonical = tt.left_canonical()
    np.testing.assert_allclose(canonical.to_dense(), tt.to_dense(), atol=1e-9)
    for core in canonical.cores[:-1]:
        unfolded = core.reshape(-1, core.shape[3])
        np.testing.assert_allclose(unfolded.T @ unfolded, np.eye(core.shape[3]), atol=1e-9)


@given(tt_matrices())
def test_right_canonical_has_orthonormal_rows(tt):
    canonical = tt.right_canonical()
    np.testing.assert_allclose(canonical.to_dense(), tt.to_dense(), atol=1e-9)
    for core in canonical.cores[1:]:
        unfolded = core.reshape(core.shape[0], -1)
        np.testing.assert_allclose(unfolded @ unfolded.T, np.eye(core.shape[0]), atol=1e-9)


@given(tt_matrices())
def test_canonical_forms_lower_ranks_above_their_limits(tt):
    for rank, limit in zip(
        tt.left_canonical().right_canonical().ranks,
        rank_limits(tt.input_modes, tt.output_modes),
        strict=True,
    ):
        assert rank <= limit


@given(tt_matrices())
def test_norm_matches_the_dense_matrix(tt):
    np.testing.assert_allclose(tt.norm(), np.linalg.norm(tt.to_dense()), rtol=1e-9)


@given(tt_matrices())
def test_bond_singular_values_match_the_dense_unfoldings(tt):
    values = tt.bond_singular_values()
    expected = unfoldings(tt.to_dense(), tt.input_modes, tt.output_modes)
    assert len(values) == len(tt.cores) - 1
    for found, unfolding in zip(values, expected, strict=True):
        dense = np.linalg.svd(unfolding, compute_uv=False)
        common = min(len(found), len(dense))
        np.testing.assert_allclose(found[:common], dense[:common], atol=1e-9 * dense[0])
        # Additional singular values of either are zero.
        assert np.all(found[common:] <= 1e-9 * dense[0])
        assert np.all(dense[common:] <= 1e-9 * dense[0])
        assert np.all(np.diff(found) <= 0)


def test_bond_singular_values_do_not_depend_on_the_core_basis():
    tt = random_tt_matrix((3, 4), (4, 3), (1, 5, 1))
    basis = np.random.default_rng(1).normal(size=(5, 5)) + 5 * np.eye(5)
    other = TTMatrix(
        (
            np.tensordot(tt.cores[0], basis, 1),
            np.tensordot(np.linalg.inv(basis), tt.cores[1], 1),
        )
    )
    np.testing.assert_allclose(
        tt.bond_singular_values()[0], other.bond_singular_values()[0], rtol=1e-9
    )


@given(tt_matrices(), st.data())
def test_difference(tt, data):
    inner = tuple(data.draw(st.integers(1, 4)) for _ in tt.cores[1:])
    other = random_tt_matrix(tt.input_modes, tt.output_modes, (1, *inner, 1), seed=1)
    difference = tt - other
    np.testing.assert_allclose(difference.to_dense(), tt.to_dense() - other.to_dense(), atol=1e-10)
    assert difference.ranks[1:-1] == tuple(
        a + b for a, b in zip(tt.ranks[1:-1], inner, strict=True)
    )


def test_difference_of_other_modes_is_refused():
    a, b = random_tt_matrix((2, 3), (2, 2), (1, 2, 1)), random_tt_matrix((3, 2), (2, 2), (1, 2, 1))
    with pytest.raises(
        ValueError, match=r"equal modes. Received: TTMatrix\(shape=\(6, 4\), input_modes=\(2, 3\)"
    ):
        a - b


@pytest.mark.parametrize(
    "shapes",
    [
        [],
        [(2, 3, 3, 1)],
        [(1, 3, 3, 2)],
        [(1, 3, 3, 2), (3, 3, 3, 1)],
        [(1, 3, 3)],
        [(1, 3, 3, 2), (2, 3)],
    ],
)
def test_cores_that_do_not_match_are_refused(shapes):
    with pytest.raises(ValueError, match=r"matching ranks.* 1 at both ends. Received") as error:
        TTMatrix(tuple(np.ones(shape) for shape in shapes))
    assert str(error.value).endswith(f"Received: shapes {shapes}")


@given(mode_pairs(), st.integers(0, 2**32 - 1))
def test_tt_svd_without_limit_is_exact(modes, seed):
    matrix = np.random.default_rng(seed).normal(size=(np.prod(modes[0]), np.prod(modes[1])))
    tt = TTMatrix.from_dense(matrix, *modes)
    assert (tt.input_modes, tt.output_modes) == modes
    np.testing.assert_allclose(tt.to_dense(), matrix, atol=1e-10)


@given(mode_pairs(), st.integers(1, 4), st.integers(0, 2**32 - 1))
def test_tt_svd_to_ranks_is_within_the_error_bound(modes, rank, seed):
    matrix = np.random.default_rng(seed).normal(size=(np.prod(modes[0]), np.prod(modes[1])))
    tt = TTMatrix.from_dense(matrix, *modes, ranks=rank)
    assert max(tt.ranks) <= rank
    discarded = [
        np.linalg.svd(unfolding, compute_uv=False)[rank:]
        for unfolding in unfoldings(matrix, *modes)
    ]
    bound = np.sqrt(sum(np.sum(tail**2) for tail in discarded))
    assert np.linalg.norm(matrix - tt.to_dense()) <= bound + 1e-9 * np.linalg.norm(matrix)


@given(mode_pairs(), st.floats(0, 0.95), st.integers(0, 2**32 - 1))
def test_tt_svd_is_within_the_tolerance(modes, tolerance, seed):
    matrix = np.random.default_rng(seed).normal(size=(np.prod(modes[0]), np.prod(modes[1])))
    tt = TTMatrix.from_dense(matrix, *modes, tolerance=tolerance)
    assert relative_distance(tt.to_dense(), matrix) <= tolerance + 1e-10


def test_tt_svd_with_a_tolerance_finds_low_ranks():
    exact = random_tt_matrix((4, 4, 4), (4, 4, 4), (1, 3, 2, 1)).to_dense()
    noise = np.random.default_rng(1).normal(size=exact.shape)
    noisy = exact + 1e-3 * noise * np.linalg.norm(exact) / np.linalg.norm(noise)
    assert TTMatrix.from_dense(noisy, (4, 4, 4), (4, 4, 4), tolerance=0.01).ranks == (1, 3, 2, 1)


@pytest.mark.parametrize("shape", [(7, 5), (13, 1), (1, 1), (1, 11)])
def test_prime_dimensions_and_one_core(shape):
    matrix = np.random.default_rng(0).normal(size=shape)
    single = TTMatrix.from_dense(matrix, shape[:1], shape[1:])
    low_rank = TTMatrix.from_dense(matrix, (shape[0], 1), (1, shape[1]))
    np.testing.assert_allclose(single.to_dense(), matrix, atol=1e-12)
    np.testing.assert_allclose(low_rank.to_dense(), matrix, atol=1e-12)
    assert single.ranks == (1, 1)
    assert single.bond_singular_values() == ()
    assert single.round(ranks=1)[1] == 0
    assert low_rank.ranks == (1, min(shape), 1)


def test_complex_numbers_are_refused():
    core = np.ones((1, 2, 3, 1), "complex64")
    with pytest.raises(ValueError, match=r"Expected real cores. Received: complex ones"):
        TTMatrix((core,))
    with pytest.raises(ValueError, match=r"Expected a real matrix. Received: a complex one"):
        TTMatrix.from_dense(1j * core[0, ..., 0], (2,), (3,))


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_cores_that_are_not_finite_have_no_singular_values(value):
    tt = TTMatrix((np.ones((1, 2, 2, 2)), np.full((2, 2, 2, 1), value)))
    for work in (
        lambda: tt.round(ranks=1),
        lambda: tt.round(tolerance=0.1),
        tt.bond_singular_values,
    ):
        with pytest.raises(ValueError, match=r"Expected finite cores.* in core 1"):
            work()


def test_tt_svd_refuses_invalid_arguments():
    matrix = np.ones((6, 4))
    with pytest.raises(ValueError, match=r"not both. Received: ranks=2, tolerance=0.1$"):
        TTMatrix.from_dense(matrix, (2, 3), (2, 2), ranks=2, tolerance=0.1)
    with pytest.raises(ValueError, match=r"Expected a matrix. Received: an array of shape \(6,\)$"):
        TTMatrix.from_dense(np.ones(6), (2, 3), (2, 2))
    with pytest.raises(ValueError, match="Expected a finite matrix"):
        TTMatrix.from_dense(np.full((6, 4), np.nan), (2, 3), (2, 2))
    with pytest.raises(ValueError, match="`input_modes` whose product is the dimension 6"):
        TTMatrix.from_dense(matrix, (2, 2), (2, 2))
    with pytest.raises(ValueError, match="`output_modes` whose product is the dimension 4"):
        TTMatrix.from_dense(matrix, (2, 3), (2, 3))
    with pytest.raises(ValueError, match="same length"):
        TTMatrix.from_dense(matrix, (2, 3), (4,))


@pytest.mark.parametrize("tolerance", [-0.1, 1, 2.0, float("nan")])
def test_tolerance_out_of_range_is_refused(tolerance):
    tt = random_tt_matrix((2, 3), (2, 2), (1, 2, 1))
    with pytest.raises(ValueError, match=r"`tolerance` in \[0, 1\). Received: tolerance="):
        tt.round(tolerance=tolerance)


def test_rounding_needs_ranks_or_a_tolerance():
    tt = random_tt_matrix((2, 3), (2, 2), (1, 2, 1))
    for arguments in ({}, {"ranks": 1, "tolerance": 0.1}):
        with pytest.raises(ValueError, match=r"Expected either `ranks` or `tolerance`. Received"):
            tt.round(**arguments)


@given(tt_matrices(), st.data())
def test_rounding_error_is_within_the_discarded_singular_values(tt, data):
    inner = tuple(data.draw(st.integers(1, rank)) for rank in tt.ranks[1:-1])
    dense = tt.to_dense()
    rounded, error = tt.round(ranks=inner)
    # Ranks that the others leave no room for are lowered before anything is truncated.
    kept = complete_ranks(inner, tt.input_modes, tt.output_modes)[1:-1]
    discarded = [
        np.linalg.svd(unfolding, compute_uv=False)[rank:]
        for unfolding, rank in zip(
            unfoldings(dense, tt.input_modes, tt.output_modes), kept, strict=True
        )
    ]
    bound = np.sqrt(sum(np.sum(tail**2) for tail in discarded))
    distance = np.linalg.norm(dense - rounded.to_dense())
    assert all(new <= asked for new, asked in zip(rounded.ranks[1:-1], inner, strict=True))
    assert distance <= bound + 1e-9 * np.linalg.norm(dense)
    # The reported error is that of the dense matrices.
    np.testing.assert_allclose(error, distance / np.linalg.norm(dense), atol=1e-9)


@given(tt_matrices(max_cores=2), st.data())
def test_rounding_of_one_bond_is_optimal(tt, data):
    rank = data.draw(st.integers(1, max(tt.ranks)))
    dense = tt.to_dense()
    _, error = tt.round(ranks=rank)
    best = np.sqrt(
        sum(
            np.sum(np.linalg.svd(unfolding, compute_uv=False)[rank:] ** 2)
            for unfolding in unfoldings(dense, tt.input_modes, tt.output_modes)
        )
    )
    np.testing.assert_allclose(error, best / np.linalg.norm(dense), atol=1e-9)


@given(tt_matrices(), st.floats(0, 0.95))
def test_rounding_is_within_the_tolerance(tt, tolerance):
    rounded, error = tt.round(tolerance=tolerance)
    assert error <= tolerance + 1e-9
    assert all(new <= old for new, old in zip(rounded.ranks, tt.ranks, strict=True))


@pytest.mark.parametrize("inner", [(2, 3), (1, 1), (5, 2), (4, 6)])
def test_rounding_to_ranks_is_as_good_as_t3f(inner):
    tt = random_tt_matrix((4, 3, 4), (3, 4, 3), (1, 6, 7, 1), seed=3)
    theirs = t3f.full(t3f.round(as_t3f(tt), max_tt_rank=[1, *inner, 1])).numpy()
    mirrored = t3f.round(as_t3f(tt.mirrored()), max_tt_rank=[1, *inner[::-1], 1])
    errors = (
        relative_distance(theirs, tt.to_dense()),
        relative_distance(t3f.full(mirrored).numpy(), tt.mirrored().to_dense()),
    )
    # The result depends on the end that rounding starts from; t3f starts from one of the two.
    assert any(tt.round(ranks=inner)[1] == pytest.approx(error, rel=1e-9) for error in errors)


def test_rounding_of_one_bond_matches_t3f():
    tt = random_tt_matrix((6, 5), (5, 6), (1, 9, 1), seed=4)
    theirs = t3f.full(t3f.round(as_t3f(tt), max_tt_rank=4)).numpy()
    np.testing.assert_allclose(tt.round(ranks=4)[0].to_dense(), theirs, atol=1e-10)


def test_ranks_above_the_present_ones_change_nothing():
    tt = random_tt_matrix((4, 4), (4, 4), (1, 3, 1))
    rounded, error = tt.round(ranks=8)
    assert rounded.ranks == (1, 3, 1)
    assert error < 1e-12


def test_zero_matrix_can_be_rounded():
    tt = TTMatrix((np.zeros((1, 2, 3, 4)), np.zeros((4, 3, 2, 1))))
    rounded, error = tt.round(ranks=2)
    assert rounded.ranks == (1, 2, 1)
    assert error == 0
    assert tt.round(tolerance=0.5)[0].ranks == (1, 1, 1)


def test_mirroring_twice_gives_the_same():
    tt = random_tt_matrix((2, 3, 4), (4, 3, 2), (1, 2, 5, 1))
    mirrored = tt.mirrored()
    assert mirrored.ranks == (1, 5, 2, 1)
    assert mirrored.input_modes == (4, 3, 2)
    np.testing.assert_array_equal(mirrored.mirrored().to_dense(), tt.to_dense())
    digits = np.arange(24).reshape(2, 3, 4).transpose(2, 1, 0).ravel()
    np.testing.assert_allclose(mirrored.to_dense()[:, 0], tt.to_dense()[digits, 0], atol=1e-12)


def test_a_notebook_shows_its_cores():
    tt = TTMatrix((np.ones((1, 2, 3, 4)), np.ones((4, 5, 6, 1))))
    assert repr(tt) == (
        "TTMatrix(shape=(10, 18), input_modes=(2, 5), output_modes=(3, 6), ranks=(1, 4, 1))"
    )
    table = tt.as_table()
    assert table.rows == [("G1", "1", "2", "3", "4", "24"), ("G2", "4", "5", "6", "1", "120")]
    assert table.total[-1] == "144"
    assert "10 x 18" in table.title
    assert table.notes == ["The dense matrix has 180 elements"]
    assert tt._repr_html_() == table.to_html()
