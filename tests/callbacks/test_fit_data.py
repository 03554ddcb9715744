import keras
import numpy as np
import pytest
import tensorflow as tf

from dart_keras.callbacks.fit_data import batches_of_fit, validation_data, validation_loss
from dart_keras.layers import TTDense
from dart_keras.regularizers import NuclearNorm

RNG = np.random.default_rng(0)
X = RNG.normal(size=(64, 8)).astype("float32")
Y = RNG.normal(size=(64, 8)).astype("float32")
VALIDATION = X[:24], Y[:24]


@pytest.fixture
def model():
    return make_model()


def make_model():
    keras.utils.set_random_seed(0)
    layer = TTDense(8, 4, rank_regularizer=NuclearNorm(0.1), name="tt")
    model = keras.Sequential([keras.Input((8,)), keras.layers.Dropout(0.5), layer])
    model.compile(keras.optimizers.SGD(0.01), "mse", metrics=["mae"])
    return model


class Look(keras.callbacks.Callback):
    """Calls a function at the start of each epoch and keeps what it returns."""

    def __init__(self, function):
        super().__init__()
        self.function = function
        self.seen = []

    def on_epoch_begin(self, epoch, logs=None):
        self.seen.append(self.function(epoch))


def look(model, function, x=X, y=Y, epochs=2, **arguments):
    callback = Look(function)
    history = model.fit(x, y, epochs=epochs, verbose=0, callbacks=[callback], **arguments)
    return callback.seen, history.history


def test_without_a_fit_there_are_no_data(model):
    assert batches_of_fit(0, 10) is None
    assert validation_data() is None
    with pytest.raises(ValueError, match=r"`fit` with validation data\. Received: none"):
        validation_loss(model, [model.layers[-1]])


@pytest.mark.parametrize(("steps", "count"), [(None, 4), (1, 4), (100, 10), (10_000, 32)], ids=str)
def test_it_is_a_share_of_an_epoch_within_limits(model, steps, count):
    seen, _ = look(model, lambda epoch: batches_of_fit(epoch, steps), batch_size=8)
    for batches in seen:
        assert [len(x) for x, _ in batches] == [8] * count


def test_an_epoch_always_has_the_same_batches_and_others_than_the_next(model):
    first, _ = look(model, lambda epoch: batches_of_fit(epoch, 8)[0][0], batch_size=8)
    again, _ = look(model, lambda epoch: batches_of_fit(epoch, 8)[0][0], batch_size=8)
    np.testing.assert_array_equal(first, again)
    assert np.any(first[0] != first[1])


def test_rows_for_validation_are_not_trained_on(model):
    seen, _ = look(
        model, lambda epoch: batches_of_fit(epoch, 8), validation_split=0.5, batch_size=32
    )
    for batches in seen:
        for x, _ in batches:
            np.testing.assert_array_equal(x, X[:32])


@pytest.mark.parametrize("form", ["arrays", "tf.data", "split"])
def test_the_loss_is_that_of_the_epoch_before_without_the_penalty(model, form):
    arguments = {
        "arrays": {"validation_data": VALIDATION},
        "tf.data": {"validation_data": tf.data.Dataset.from_tensor_slices(VALIDATION).batch(8)},
        "split": {"validation_split": 0.25},
    }[form]
    layers = [model.layers[-1]]

    def measure(epoch):
        x, y = VALIDATION if form != "split" else (X[48:], Y[48:])
        plain = float(np.mean(np.square(model.predict(x, verbose=0) - y)))
        return validation_loss(model, layers), plain, sum(map(float, model.losses))

    seen, history = look(model, measure, **arguments)
    for loss, plain, penalty in seen:
        assert loss == pytest.approx(plain, rel=1e-4)
        assert penalty > 0
    assert history["val_loss"][0] == pytest.approx(sum(seen[1][1:]), rel=1e-3)


def test_measuring_changes_nothing_of_the_training():
    arguments = {"validation_data": VALIDATION, "shuffle": False}
    _, plain = look(make_model(), lambda epoch: None, **arguments)
    model = make_model()
    layers = [model.layers[-1]]
    _, measured = look(model, lambda epoch: validation_loss(model, layers), **arguments)
    assert set(measured) == set(plain)
    for name, values in plain.items():
        np.testing.assert_allclose(measured[name], values, rtol=1e-5)
