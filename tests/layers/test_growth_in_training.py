"""Ranks that grow while a model is trained, on every backend."""

import keras
import numpy as np
import pytest

from dart_keras.layers import TTDense
from dart_keras.layers.resizing import resize

RNG = np.random.default_rng(0)
X = RNG.normal(size=(16, 16)).astype("float32")
Y = RNG.normal(size=(16, 16)).astype("float32")

OPTIMIZERS = {
    "adam": lambda: keras.optimizers.Adam(0.01),
    "sgd": lambda: keras.optimizers.SGD(0.05, momentum=0.9),
    "loss scale": lambda: keras.optimizers.LossScaleOptimizer(keras.optimizers.Adam(0.01)),
}


def make_model(optimizer="adam"):
    model = keras.Sequential(
        [
            keras.Input((16,)),
            TTDense(16, 2, (2, 4, 2), (2, 4, 2), activation="tanh", name="a"),
            TTDense(16, 1, name="b"),
        ]
    )
    model.compile(OPTIMIZERS[optimizer](), "mse")
    return model


class Grow(keras.callbacks.Callback):
    """Lets ranks grow at the start of the third epoch, and notes the loss before and after."""

    def on_epoch_begin(self, epoch, logs=None):
        if epoch == 2:
            self.before = self.loss()
            a, b = self.model.layers
            rng = np.random.default_rng(0)
            resize([a.plan_growth((1, 4, 3, 1), rng), b.plan_growth(5, rng)])
            self.after = self.loss()
            self.cores = [np.array(keras.ops.convert_to_numpy(core)) for core in a.cores]

    def loss(self):
        found = self.model.evaluate(X, Y, verbose=0)
        self.model.reset_metrics()
        return found


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_the_loss_stays_the_same_and_the_new_slices_are_trained(name):
    model, grow = make_model(name), Grow()
    history = model.fit(X, Y, epochs=8, batch_size=8, verbose=0, callbacks=[grow]).history
    a, b = model.layers
    assert (a.ranks, b.ranks) == ((1, 4, 3, 1), (1, 5, 1))
    assert grow.after == pytest.approx(grow.before, rel=1e-5)
    assert history["loss"][2] < 1.05 * history["loss"][1]
    assert history["loss"][-1] < history["loss"][2]
    assert int(keras.ops.convert_to_numpy(model.optimizer.iterations)) == 16
    # The slices that were zero have moved.
    for core, then, old_rank in zip(a.cores[1:], grow.cores[1:], (2, 2), strict=True):
        assert not np.any(then[old_rank:, ..., :1])
        assert np.any(keras.ops.convert_to_numpy(core)[old_rank:])


def test_the_state_of_the_optimizer_is_kept_and_is_zero_in_new_places():
    model = make_model("sgd")
    model.train_on_batch(X, Y)
    layer = model.layers[0]

    def momenta():
        optimizer = model.optimizer
        index = [optimizer._get_variable_index(core) for core in layer.cores]
        return [keras.ops.convert_to_numpy(optimizer.momentums[i]) for i in index]

    before = momenta()
    resize([layer.plan_growth((1, 4, 4, 1), np.random.default_rng(0))])
    for old, new, core in zip(before, momenta(), layer.cores, strict=True):
        assert new.shape == tuple(core.shape)
        np.testing.assert_array_equal(new[: old.shape[0], ..., : old.shape[3]], old)
        assert np.count_nonzero(new) == np.count_nonzero(old)


def test_ranks_below_the_present_ones_have_no_effect():
    layer = make_model().layers[0]
    before = layer.to_dense()
    resize([layer.plan_growth((1, 1, 3, 1), np.random.default_rng(0))])
    assert layer.ranks == (1, 2, 3, 1)
    np.testing.assert_allclose(layer.to_dense(), before, atol=1e-6)


@pytest.mark.parametrize("bad", [0, (1, 2, 3, 4, 1), "4"], ids=str)
def test_ranks_that_cannot_be_are_refused(bad):
    layer = make_model().layers[0]
    with pytest.raises(ValueError, match="Expected `ranks`"):
        layer.plan_growth(bad, np.random.default_rng(0))
    assert layer.ranks == (1, 2, 2, 1)


def test_weights_that_are_not_finite_do_not_grow():
    layer = make_model().layers[0]
    layer.cores[0].assign(keras.ops.full(layer.cores[0].shape, float("nan")))
    with pytest.raises(ValueError, match="Expected finite weights"):
        layer.plan_growth(4, np.random.default_rng(0))
    assert layer.ranks == (1, 2, 2, 1)


def test_a_file_from_before_the_growth_brings_its_ranks_back(tmp_path):
    model = make_model()
    expected = model.predict(X, verbose=0)
    model.save_weights(tmp_path / "small.weights.h5")
    layer = model.layers[0]
    resize([layer.plan_growth(4, np.random.default_rng(0))])
    model.train_on_batch(X, Y)
    model.load_weights(tmp_path / "small.weights.h5")
    assert layer.ranks == (1, 2, 2, 1)
    np.testing.assert_allclose(model.predict(X, verbose=0), expected, atol=1e-5)
