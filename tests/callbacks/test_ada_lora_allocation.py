import json

import keras
import numpy as np
import pytest

from dart_keras import adapters
from dart_keras.adapters.adapted_layer import adapted_layers_in
from dart_keras.callbacks import AdaLoRAAllocation

ROWS, WIDTH = 256, 12
X = np.random.default_rng(0).normal(size=(ROWS, WIDTH)).astype("float32")


def planted(jit_compile="auto", rate=0.02):
    """A model of which the second layer has to change by a matrix of rank 4, the other not."""
    keras.utils.set_random_seed(0)
    stack = [keras.layers.Dense(WIDTH, "tanh", name="one"), keras.layers.Dense(WIDTH, name="two")]
    base = keras.Sequential([keras.Input((WIDTH,)), *stack])
    target = keras.models.clone_model(base)
    target.set_weights(base.get_weights())
    rng = np.random.default_rng(1)
    change = rng.normal(size=(WIDTH, 4)) @ rng.normal(size=(4, WIDTH))
    target.layers[1].kernel.assign_add(change / 2)
    method = adapters.AdaLoRA(rank=4, target_rank=2, alpha=4, orthogonality=0.01)
    model = adapters.adapt(base, method, ["one", "two"])
    model.compile(keras.optimizers.Adam(rate), "mse", jit_compile=jit_compile)
    return model, target.predict(X, verbose=0)


def adapters_of(model):
    return [layer.adapters["default"] for layer in adapted_layers_in(model)]


@pytest.mark.parametrize("jit_compile", [False, True])
def test_ranks_go_where_the_loss_needs_them(jit_compile):
    model, y = planted(jit_compile)
    allocation = AdaLoRAAllocation(allocations=6)
    history = model.fit(X, y, epochs=20, batch_size=32, verbose=0, callbacks=[allocation]).history[
        "loss"
    ]
    one, two = (each.present_rank for each in adapters_of(model))
    assert one + two == 4
    assert two > one
    budgets = [each["budget"] for each in allocation.history]
    assert budgets == sorted(budgets, reverse=True)
    assert budgets[-1] == 4
    assert [sum(each["ranks"].values()) for each in allocation.history] == budgets
    assert list(allocation.history[-1]["ranks"]) == ["one/default", "two/default"]
    steps = [each["step"] for each in allocation.history]
    assert 0.1 * 160 < steps[0] < steps[-1] == 0.6 * 160
    assert history[-1] < 0.5 * history[0]


def test_several_steps_at_once():
    model, y = planted()
    model.compile("adam", "mse", steps_per_execution=3)
    model.fit(X, y, epochs=4, batch_size=32, verbose=0, callbacks=[AdaLoRAAllocation()])
    assert sum(each.present_rank for each in adapters_of(model)) == 4


def test_masks_stay_in_a_training_that_goes_on():
    model, y = planted()
    model.fit(X, y, epochs=4, batch_size=32, verbose=0, callbacks=[AdaLoRAAllocation()])
    masks = [keras.ops.convert_to_numpy(each.mask).copy() for each in adapters_of(model)]
    allocation = AdaLoRAAllocation()
    model.fit(X, y, epochs=4, batch_size=32, verbose=0, callbacks=[allocation])
    assert allocation.history == []
    for each, mask in zip(adapters_of(model), masks, strict=True):
        assert np.array_equal(keras.ops.convert_to_numpy(each.mask), mask)


def test_a_training_that_is_resumed_gives_the_same_ranks():
    """The averages and the history go on; without them the ranks would be others."""
    state = {}

    class Keep(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            if epoch == 2:
                state["weights"] = self.model.get_weights()
                state["optimizer"] = [np.array(each) for each in self.model.optimizer.variables]
                state["allocation"] = json.dumps(allocation.get_state())

    class Restore(keras.callbacks.Callback):
        def on_train_begin(self, logs=None):
            allocation.set_state(json.loads(state["allocation"]))

    def fit(model, y, first_epoch, *others):
        callbacks = [allocation, *others]
        options = {"epochs": 8, "batch_size": 32, "shuffle": False, "verbose": 0}
        model.fit(X, y, initial_epoch=first_epoch, callbacks=callbacks, **options)
        return allocation.history

    model, y = planted()
    allocation = AdaLoRAAllocation()
    expected = fit(model, y, 0, Keep())
    model, y = planted()
    model.optimizer.build(model.trainable_variables)
    model.set_weights(state["weights"])
    for variable, value in zip(model.optimizer.variables, state["optimizer"], strict=True):
        variable.assign(value)
    allocation = AdaLoRAAllocation()
    assert fit(model, y, 3, Restore()) == expected
    assert state["allocation"] != json.dumps(allocation.get_state())


def test_a_training_that_ends_early_is_warned_of():
    model, y = planted()

    class Stop(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            self.model.stop_training = True

    with pytest.warns(UserWarning, match="expected at least 20 steps"):
        model.fit(X, y, epochs=4, batch_size=32, verbose=0, callbacks=[AdaLoRAAllocation(), Stop()])


def test_a_model_without_such_adapters_is_refused():
    base = keras.Sequential([keras.Input((WIDTH,)), keras.layers.Dense(WIDTH, name="one")])
    model = adapters.adapt(base, adapters.LoRA(rank=2), ["one"])
    model.compile("adam", "mse", jit_compile=False)
    with pytest.raises(ValueError, match="expected a model with adapters"):
        model.fit(X, X, verbose=0, callbacks=[AdaLoRAAllocation()])


def batches(y):
    while True:
        yield X[:32], y[:32]


def test_data_that_are_gone_through_once_are_refused():
    model, y = planted()
    allocation = AdaLoRAAllocation()
    with pytest.raises(ValueError, match="gone through again and again"):
        model.fit(batches(y), steps_per_epoch=8, epochs=2, verbose=0, callbacks=[allocation])


def test_a_training_of_unknown_length_is_refused():
    model, y = planted()
    data = (each for each in [(X, y)])
    with pytest.raises(ValueError, match="number of steps"):
        model.fit(data, epochs=2, verbose=0, callbacks=[AdaLoRAAllocation()])


@pytest.mark.parametrize(
    "arguments",
    [{"begin": -0.1}, {"end": 1}, {"begin": 0.7}, {"begin": "0"}, {"allocations": 0}],
    ids=str,
)
def test_arguments_that_are_not_valid_are_refused(arguments):
    with pytest.raises(ValueError, match="Expected"):
        AdaLoRAAllocation(**arguments)
