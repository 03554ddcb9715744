import json

import keras
import numpy as np
import pytest

from dart_keras.budgets import Parameters
from dart_keras.callbacks import RankDiscretization
from dart_keras.steering import RankPrior
from tests.steering.problem import RANKS, SIZE, X, Y, make_model, train


def begin(model, rows=100):
    steering = RankPrior()
    steering.begin(model, [model.get_layer("tt")], lambda ranks: 1, 1, rows)
    steering.begin_epoch(0)
    return steering


def test_planted_ranks_are_found():
    model = make_model()
    cut = train(model, RankPrior())
    assert model.get_layer("tt").ranks == RANKS
    assert cut.cuts[0]["error"]["tt"] < 0.05
    assert model.losses == []


def test_penalty_is_the_priors_negative_logarithm():
    model = make_model("mae")  # A likelihood as it is, unlike the squared error.
    steering = begin(model, rows=50)
    layer = model.get_layer("tt")
    first, second = steering.variances[0]
    expected = 0.0
    for core, left, right in zip(
        layer.cores, (np.ones(1), first, second), (first, second, np.ones(1)), strict=True
    ):
        variance = left[:, None, None, None] * right
        expected += np.sum(np.square(core.numpy()) / variance) / 2
    assert sum(float(loss) for loss in model.losses) == pytest.approx(expected / 50, rel=1e-4)


def test_the_compiled_step_has_the_penalty():
    model = make_model("mae")
    before = model.predict(X[:64], verbose=0)
    cut = RankDiscretization(Parameters(SIZE), epoch=5, steering=RankPrior())
    fit = model.fit(X[:64], Y[:64], batch_size=64, verbose=0, callbacks=[cut])
    penalty = fit.history["loss"][0] - np.mean(np.abs(before - Y[:64]))
    same = make_model("mae")
    begin(same, rows=64)
    assert penalty == pytest.approx(sum(float(loss) for loss in same.losses), rel=1e-3)


def test_a_squared_error_is_taken_with_its_own_noise():
    model = make_model()
    steering = begin(model)
    assert sum(float(loss) for loss in model.losses) == 0
    steering.end_epoch(0, {"data_loss": 0.25})
    steering.begin_epoch(1)
    same = make_model("mae")
    begin(same).begin_epoch(1)
    expected = 0.5 * sum(float(loss) for loss in same.losses)
    assert sum(float(loss) for loss in model.losses) == pytest.approx(expected, rel=1e-4)


def test_variances_are_the_most_likely_ones():
    """At each bond, where its neighbour is as it is and a logarithm's prior is uniform."""
    model = make_model()
    steering = begin(model)
    first, second = steering.variances[0]
    cores = [np.asarray(core) for core in model.get_layer("tt").cores]

    def log_density(last):
        total = -np.sum(np.log(last)) / 2
        for core, left, right in zip(cores[1:], (first, last), (last, np.ones(1)), strict=True):
            variance = left[:, None, None, None] * right + 0 * core
            total -= np.sum(np.square(core) / variance + np.log(variance)) / 2
        return total

    best = log_density(second)
    for k in range(len(second)):
        for factor in (0.9, 1.1):
            moved = np.where(np.arange(len(second)) == k, factor * second, second)
            assert log_density(moved) < best


def test_weak_slices_are_dropped():
    model = make_model()
    layer = model.get_layer("tt")
    left, middle, right = (np.array(core) for core in layer.cores)
    left[..., 5:] = 1e-4 * left[..., 5:]
    middle[5:] = 1e-4 * middle[5:]
    for core, value in zip(layer.cores, (left, middle, right), strict=True):
        core.assign(value)
    assert begin(model).largest_ranks([layer]) == [(1, 5, 8, 1)]


def test_cores_of_zeros_have_a_finite_penalty():
    model = make_model("mae", core_initializer="zeros")
    begin(model)
    assert np.isfinite([float(loss) for loss in model.losses]).all()


def test_it_survives_a_cut_and_a_file(tmp_path):
    model = make_model()
    cut = RankDiscretization(Parameters(SIZE), epoch=[2, 9], steering=RankPrior())
    model.fit(X, Y, batch_size=64, epochs=3, verbose=0, callbacks=[cut])
    layer = model.get_layer("tt")
    assert len(cut.cuts) == 1
    assert tuple(len(each) for each in cut.steering.variances[0]) == layer.ranks[1:-1]
    assert sum(float(loss) for loss in model.losses) > 0
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert sum(float(loss) for loss in loaded.losses) == 0
    again = begin(loaded, rows=1024)
    again.end_epoch(2, {"data_loss": 1.0})
    again.begin_epoch(3)
    assert [each.shape for each in again.variances[0]] == [
        each.shape for each in cut.steering.variances[0]
    ]
    assert sum(float(loss) for loss in loaded.losses) > 0


def test_state_goes_through_json():
    model, same = make_model(), make_model()
    steering, other = begin(model), begin(same)
    steering.begin_epoch(1)
    other.set_state(json.loads(json.dumps(steering.get_state())))
    for each in (steering, other):
        each.begin_epoch(2)
    for mine, theirs in zip(other.variances[0], steering.variances[0], strict=True):
        np.testing.assert_allclose(mine, theirs)


def test_an_unknown_number_of_rows_is_refused():
    model = make_model()
    batches = ((X[i : i + 64], Y[i : i + 64]) for i in (0, 64))
    cut = RankDiscretization(Parameters(SIZE), epoch=1, steering=RankPrior())
    with pytest.raises(ValueError, match="steps_per_epoch"):
        model.fit(batches, verbose=0, callbacks=[cut])
    assert model.get_layer("tt").rank_regularizer is None
    assert train(make_model(), RankPrior(), epochs=2, cut=2).cuts
