import json

import keras
import numpy as np
import pytest

from dart_keras.budgets import Parameters
from dart_keras.callbacks import RankDiscretization
from dart_keras.regularizers import NuclearNorm
from dart_keras.steering import SteeredStrength
from tests.steering.problem import RANKS, SIZE, X, Y, make_model, train

SURROGATES = ["group_lasso", "log_det", "nuclear_norm"]


class Watch(keras.callbacks.Callback):
    """Records what lies beyond the planted ranks, relative to the bond's largest value."""

    def __init__(self):
        super().__init__()
        self.redundant = []

    def on_epoch_end(self, epoch, logs=None):
        values = self.model.get_layer("tt").bond_singular_values()
        self.redundant.append(
            max(
                each[rank:].max(initial=0) / each[0]
                for each, rank in zip(values, RANKS[1:-1], strict=True)
            )
        )


@pytest.mark.parametrize("surrogate", SURROGATES)
def test_planted_ranks_are_found(surrogate):
    model, watch = make_model(), Watch()
    cut = train(model, SteeredStrength(surrogate), watch)
    assert model.get_layer("tt").ranks == RANKS
    assert watch.redundant[-2] < 0.05
    assert cut.cuts[0]["error"]["tt"] < 0.05
    assert model.losses == []


def steer(model, limit):
    """Begin with sizes that are the sum of all ranks."""
    layer = model.get_layer("tt")
    steering = SteeredStrength()
    steering.begin(model, [layer], lambda ranks: sum(map(sum, ranks)), limit)
    assert steering.strength == 0
    steering.end_epoch(0, {"data_loss": 1.0})
    penalty = sum(float(loss) for loss in model.losses)
    assert penalty == pytest.approx(0.1, rel=1e-3)
    return steering


def test_strength_rises_while_the_size_is_too_large():
    steering = steer(make_model(), limit=12)
    strengths = []
    for epoch in range(1, 5):
        steering.end_epoch(epoch, {"data_loss": 1.0})
        strengths.append(steering.strength)
    np.testing.assert_allclose(np.diff(np.log(strengths)), np.log(18 / 12), rtol=1e-4)


def test_strength_falls_while_the_size_is_small_or_the_loss_suffers():
    small, suffering = steer(make_model(), limit=24), steer(make_model(), limit=12)
    first = small.strength
    small.end_epoch(1, {"data_loss": 1.0})
    assert small.strength < first
    suffering.end_epoch(1, {"data_loss": 1.8})  # Further from its best than the size from 12.
    assert suffering.strength < first
    suffering.end_epoch(2, {"data_loss": 1.4})  # Nearer.
    assert suffering.strength < first


def test_ratios_of_small_losses_say_nothing():
    steering = steer(make_model(), limit=18)
    steering.end_epoch(1, {"data_loss": 0.001})
    first = steering.strength
    steering.end_epoch(2, {"data_loss": 0.09})
    assert steering.strength == pytest.approx(first)


def test_a_loss_that_is_not_finite_changes_nothing():
    steering = steer(make_model(), limit=12)
    before = steering.get_state()
    steering.end_epoch(1, {"data_loss": float("nan")})
    steering.end_epoch(2, {})
    assert steering.get_state() == before


def test_own_regularizers_are_left_alone():
    own = NuclearNorm(0.1)
    model = make_model(rank_regularizer=own)
    train(model, SteeredStrength(), epochs=2, cut=3)
    layer = model.get_layer("tt")
    assert layer.rank_regularizer is own
    assert [core.regularizer for core in layer.cores] == [own] * 3
    assert float(own.strength) == pytest.approx(0.1)


def test_a_second_fit_is_regularized_too():
    model = make_model()
    model.fit(X[:64], Y[:64], verbose=0)
    cut = train(model, SteeredStrength(), epochs=2, cut=5)
    assert cut.steering.strength > 0
    assert len(model.losses) == 3
    before = model.predict(X[:64], verbose=0)
    # It is in the compiled step, not only in the list of losses.
    penalty = sum(float(loss) for loss in model.losses)
    loss = model.fit(X[:64], Y[:64], batch_size=64, verbose=0).history["loss"][0]
    without = np.mean(np.square(before - Y[:64]))
    assert loss - without == pytest.approx(penalty, rel=1e-3)


def test_it_survives_a_cut_and_a_file(tmp_path):
    model = make_model()
    cut = RankDiscretization(Parameters(SIZE), epoch=[2, 9], steering=SteeredStrength())
    model.fit(X, Y, batch_size=64, epochs=3, verbose=0, callbacks=[cut])
    layer = model.get_layer("tt")
    assert len(cut.cuts) == 1
    assert [core.regularizer for core in layer.cores] == [layer.rank_regularizer] * 3
    assert cut.steering.strength > 0
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(loaded.losses, model.losses, rtol=1e-4)
    again = SteeredStrength()
    again.begin(loaded, [loaded.get_layer("tt")], lambda ranks: 1, 1)
    assert again.strength == pytest.approx(cut.steering.strength)
    np.testing.assert_allclose(loaded.losses, model.losses, rtol=1e-4)


def test_state_goes_through_json():
    steering = steer(make_model(), limit=12)
    steering.end_epoch(1, {"data_loss": 1.1})
    state = json.loads(json.dumps(steering.get_state()))
    other = steer(make_model(), limit=12)
    other.set_state(state)
    assert other.get_state() == steering.get_state()
    for each in (steering, other):
        each.end_epoch(2, {"data_loss": 0.9})
    assert other.strength == pytest.approx(steering.strength)


def test_unknown_surrogates_are_refused():
    with pytest.raises(ValueError, match=r"'group_lasso'.*Received: surrogate='trace'"):
        SteeredStrength("trace")
