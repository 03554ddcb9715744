import json

import keras
import numpy as np
import pytest

from dart_keras.callbacks import RankDiscretization, StrengthSchedule
from dart_keras.callbacks.rank_penalty import RankPenalty, rank_penalty
from dart_keras.selection import GumbelSoftmax, Threshold
from tests.callbacks.problem import X, Y, make_model


def data_loss(model, x=X, y=Y):
    return float(np.mean((model.predict(x, verbose=0) - y) ** 2))


def fit(model, *callbacks, epochs=2, **arguments):
    arguments = {"batch_size": 32, "verbose": 0, "shuffle": False, **arguments}
    return model.fit(X, Y, epochs=epochs, callbacks=list(callbacks), **arguments).history


def test_loss_is_the_sum_of_data_loss_and_rank_penalty():
    model = make_model(keras.optimizers.SGD(0.0), strength=0.5)
    schedule = StrengthSchedule(lambda epoch: epoch + 1.0)
    penalty = sum(map(float, model.losses))
    cut = RankDiscretization(Threshold(0.01), epoch=2)
    logs = fit(model, cut, schedule, epochs=3, validation_data=(X[:8], Y[:8]))
    np.testing.assert_allclose(logs["rank_penalty"], [penalty, 2 * penalty, 0], rtol=1e-5)
    np.testing.assert_allclose(logs["data_loss"], [data_loss(model)] * 3, rtol=1e-4)
    expected = data_loss(model, X[:8], Y[:8])
    np.testing.assert_allclose(logs["val_data_loss"], [expected] * 3, rtol=1e-4)


def test_data_loss_is_close_to_the_mean_over_all_steps():
    model = make_model(keras.optimizers.Adam(1e-2), strength=1.0)
    penalties = [rank_penalty(model, model.layers)]
    each_step = keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda batch, logs: penalties.append(rank_penalty(model, model.layers))
    )
    cut = RankDiscretization(Threshold(0.01), epoch=2)
    logs = fit(model, cut, each_step, batch_size=8)
    exact = np.reshape(penalties[:-1], (2, -1)).mean(axis=1)
    assert exact[0] > exact[1]
    np.testing.assert_allclose(logs["rank_penalty"], exact, rtol=0.02)
    np.testing.assert_allclose(logs["data_loss"], logs["loss"] - exact, rtol=0.1)


def test_gates_cost_in_training_only():
    model = make_model(keras.optimizers.SGD(0.0), strength=0.0)
    cut = RankDiscretization(GumbelSoftmax(strength=3.0), epoch=2)
    logs = fit(model, cut, validation_data=(X, Y))
    # At first each rank is as likely as any other: 4.5 of 8.
    np.testing.assert_allclose(logs["rank_penalty"], [2 * 3.0 * 4.5 / 8] * 2, rtol=1e-5)
    np.testing.assert_allclose(logs["val_data_loss"], logs["val_loss"], rtol=1e-6)


def test_frozen_layers_have_no_penalty():
    model = make_model(strength=0.5)
    whole = rank_penalty(model, model.layers)
    model.layers[0].trainable = False
    assert 0 < rank_penalty(model, model.layers) < whole
    assert rank_penalty(model, model.layers) == pytest.approx(sum(map(float, model.losses)))


def test_a_loop_that_tells_of_no_steps_logs_the_present_penalty():
    model = make_model(strength=0.5)
    cut = RankDiscretization(Threshold(0.5), epoch=9)
    callbacks = keras.callbacks.CallbackList([cut], model=model)
    logs = {"loss": 10.0}
    callbacks.on_train_begin()
    callbacks.on_epoch_begin(0)
    cut.on_epoch_end(0, logs)
    assert logs["rank_penalty"] == pytest.approx(sum(map(float, model.losses)))
    assert logs["data_loss"] == 10.0 - logs["rank_penalty"]


@pytest.mark.parametrize("stop", [1, 3, 4, 5])
def test_an_epoch_resumed_in_its_middle_has_the_same_mean(stop):
    model = make_model()
    start = np.array(model.layers[0].cores[0])

    def steps(penalty, numbers):
        for number in numbers:
            model.layers[0].cores[0].assign(start + number)
            penalty.begin_step(model, model.layers)

    whole, part, rest = RankPenalty(), RankPenalty(), RankPenalty()
    whole.begin_epoch(2)
    steps(whole, range(7))
    part.begin_epoch(2)
    steps(part, range(stop))
    rest.set_state(json.loads(json.dumps(part.get_state())))
    rest.begin_epoch(2)
    steps(rest, range(stop, 7))
    logs, resumed = {"loss": 3.0}, {"loss": 3.0}
    whole.add_to(logs, model, model.layers)
    rest.add_to(resumed, model, model.layers)
    assert logs == resumed
    rest.begin_epoch(3)
    assert rest.get_state() == {**RankPenalty().get_state(), "epoch": 3}
