import keras
import numpy as np
import pytest

from dart_keras.budgets import LossIncrease, Parameters
from dart_keras.callbacks.loss_target import LossTarget
from dart_keras.layers import TTDense
from dart_keras.selection.budget_selection import selection_for

X = np.random.default_rng(0).normal(size=(32, 8)).astype("float32")


class Follow(keras.callbacks.Callback):
    """Updates a target at the start of each epoch, and keeps its limits."""

    def __init__(self, target, spoil=None):
        super().__init__()
        self.target, self.spoil = target, spoil
        self.limits = []

    def on_train_begin(self, logs=None):
        self.target.check()

    def on_epoch_begin(self, epoch, logs=None):
        if epoch == self.spoil:
            [layer] = self.model.layers
            layer.cores[0].assign(100 * layer.cores[0])
        self.target.update(self.model, self.model.layers)
        self.limits.append(self.target.limit)

    def on_epoch_end(self, epoch, logs=None):
        self.target.note({"val_data_loss": logs.get("val_loss")})


def make_model():
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((8,)), TTDense(8, 4)])
    model.compile(keras.optimizers.SGD(0.05), "mse")
    return model


def fit(callback, model=None, **arguments):
    model = model or make_model()
    return model.fit(X, X, epochs=5, verbose=0, callbacks=[callback], **arguments).history


def test_the_limit_is_above_the_least_loss_until_then():
    selection = selection_for(LossIncrease(0.5))
    follow = Follow(LossTarget(selection), spoil=3)
    losses = fit(follow, validation_data=(X, X))["val_loss"]
    np.testing.assert_allclose(
        follow.limits[1:], [1.5 * min(losses[: n + 1]) for n in range(4)], rtol=1e-4
    )
    # Before anything is trained, that of the weights that there are.
    assert follow.limits[0] > follow.limits[1]
    assert losses[3] > losses[2]
    assert selection.limit == follow.target.limit
    assert follow.target.least == pytest.approx(min(losses), rel=1e-4)


def test_a_loss_of_size_measures_nothing():
    target = LossTarget(selection_for(Parameters(100)))
    follow = Follow(target)
    fit(follow)
    assert set(follow.limits) == {None}
    assert target.least is None


@pytest.mark.parametrize("loss", [None, float("nan"), float("inf")], ids=str)
def test_what_is_no_loss_is_not_noted(loss):
    target = LossTarget(selection_for(LossIncrease(0.5)))
    target.note({"val_data_loss": 2.0})
    target.note({"val_data_loss": loss})
    target.note({})
    assert target.least == 2.0


@pytest.mark.parametrize("arguments", [{}, {"validation_split": 0.0}], ids=["nothing", "no share"])
def test_without_validation_data_it_says_what_to_give(arguments):
    target = LossTarget(selection_for(LossIncrease(0.5)))
    with pytest.raises(ValueError, match="`validation_data` or `validation_split`"):
        fit(Follow(target), **arguments)


def test_validation_data_for_one_time_are_refused():
    target = LossTarget(selection_for(LossIncrease(0.5)))
    once = ((X, X) for _ in range(3))
    with pytest.raises(ValueError, match="again and again") as error:
        fit(Follow(target), validation_data=once, validation_steps=1)
    assert str(error.value).endswith("LossIncrease(share=0.5)")
