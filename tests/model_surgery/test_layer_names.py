import keras
import numpy as np
import pytest
from keras import layers

from dart_keras.budgets import MultiplyAdds
from dart_keras.callbacks import RankDiscretization, RankMonitor
from dart_keras.layers import TTDense
from dart_keras.model_surgery.layer_names import distinct_names
from dart_keras.selection import Threshold

X = np.random.default_rng(0).normal(size=(16, 8)).astype("float32")


def inner(name):
    stack = [keras.Input((8,)), TTDense(8, ranks=4, name="hidden"), layers.ReLU()]
    return keras.Sequential(stack, name=name)


def nested(names=("left", "right")):
    x = keras.Input((8,))
    y = x
    for name in names:
        y = inner(name)(y)
    model = keras.Model(x, TTDense(8, ranks=2, name="head")(y))
    model.compile("sgd", "mse")
    return model


def test_layers_of_one_name_have_the_names_that_lead_to_them():
    model = nested()
    left, right, head = [each for each in model._flatten_layers() if isinstance(each, TTDense)]
    assert distinct_names(model, [left, right, head]) == ["left/hidden", "right/hidden", "head"]
    assert distinct_names(model, [right, head]) == ["hidden", "head"]
    assert distinct_names(model, []) == []


def test_layers_that_are_not_built_are_told_apart():
    pair = [TTDense(8, name="hidden"), TTDense(8, name="hidden")]
    assert distinct_names(keras.Sequential(pair[:1]), pair) == ["hidden_1", "hidden_2"]


def test_callbacks_tell_of_each_layer():
    model, monitor = nested(), RankMonitor()
    cut = RankDiscretization(Threshold(0.5), epoch=1)
    logs = model.fit(X, X, epochs=2, verbose=0, callbacks=[cut, monitor]).history
    names = {"left/hidden", "right/hidden", "head"}
    [made] = cut.cuts
    assert set(made["ranks_before"]) == set(made["ranks_after"]) == set(made["error"]) == names
    assert {f"{name}_rank_1" for name in names} <= set(logs)
    assert {f"{name}_effective_rank_1" for name in names} <= set(logs)
    assert set(monitor.singular_values) == {f"{name}/1" for name in names}
    assert all(len(values) == 2 for values in monitor.singular_values.values())


def test_a_budget_out_of_reach_names_each_layer():
    cut = RankDiscretization(MultiplyAdds(1), epoch=1)
    with pytest.raises(ValueError, match=r"'left/hidden' \d+, 'right/hidden' \d+"):
        nested().fit(X, X, epochs=2, verbose=0, callbacks=[cut])
