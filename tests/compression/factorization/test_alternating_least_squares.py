import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dart_keras.compression.factorization import alternating_least_squares
from dart_keras.compression.factorization.alternating_least_squares import least_squares_sweeps
from dart_keras.tensor_train import TTMatrix
from tests.tt_matrices import mode_pairs


def problem(modes, seed):
    rng = np.random.default_rng(seed)
    rows, columns = np.prod(modes[0]), np.prod(modes[1])
    factor = rng.normal(size=(rows, rows)) * np.geomspace(1, 1e-2, rows)
    return factor @ factor.T + 1e-4 * np.eye(rows), rng.normal(size=(rows, columns))


def distance(train, metric, best):
    lost = train.to_dense() - best
    return np.sum(lost * (metric @ lost))


@given(mode_pairs(max_size=600), st.integers(1, 4), st.integers(0, 2**32 - 1))
def test_the_distance_never_grows(modes, rank, seed):
    metric, best = problem(modes, seed)
    start = TTMatrix.from_dense(best, *modes, ranks=rank)
    swept = least_squares_sweeps(start, metric, best)
    whole = np.sum(best * (metric @ best))
    assert distance(swept, metric, best) <= distance(start, metric, best) + 1e-9 * whole
    assert (swept.input_modes, swept.output_modes) == modes
    assert all(new <= old for new, old in zip(swept.ranks, start.ranks, strict=True))


def test_no_step_makes_the_distance_larger(monkeypatch):
    metric, best = problem(((3, 4, 2), (2, 3, 4)), 0)
    reached, best_core = [], alternating_least_squares._best_core

    def watched(*arguments):
        core, value = best_core(*arguments)
        reached.append(value)
        return core, value

    monkeypatch.setattr(alternating_least_squares, "_best_core", watched)
    start = TTMatrix.from_dense(best, (3, 4, 2), (2, 3, 4), ranks=3)
    swept = least_squares_sweeps(start, metric, best)
    assert len(reached) > 6
    assert np.all(np.diff(reached) >= -1e-9 * reached[-1])
    # What the steps report is what the TT matrix has.
    whole = np.sum(best * (metric @ best))
    np.testing.assert_allclose(whole - reached[-1], distance(swept, metric, best), rtol=1e-6)


@given(st.integers(0, 2**32 - 1))
def test_a_single_core_is_solved_exactly(seed):
    metric, best = problem(((6,), (5,)), seed)
    start = TTMatrix.from_dense(np.zeros((6, 5)), (6,), (5,))
    np.testing.assert_allclose(
        least_squares_sweeps(start, metric, best).to_dense(), best, atol=1e-6
    )


@pytest.mark.parametrize("modes", [((20, 1), (1, 15)), ((1, 20), (15, 1))])
def test_a_plain_low_rank_factorization_gets_to_the_closed_form(modes):
    metric, best = problem(((20,), (15,)), 1)
    factor = np.linalg.cholesky(metric)
    least = np.sum(np.linalg.svd(factor.T @ best, compute_uv=False)[4:] ** 2)
    start = TTMatrix.from_dense(best, *modes, ranks=4)
    swept = distance(least_squares_sweeps(start, metric, best), metric, best)
    assert least * (1 - 1e-9) <= swept <= 1.01 * least < 0.9 * distance(start, metric, best)
