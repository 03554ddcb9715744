import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from dart_keras.model_surgery.replace import layers_with_paths, replace_layers
from tests.compression import models
from tests.compression.composites import Subclassed
from tests.compression.helpers import assert_close, described, nothing, outputs


@pytest.mark.parametrize("name", models.MODELS)
def test_replacing_nothing_copies_everything(name):
    model, batch = models.build(name)
    before, variables = outputs(model, batch), [np.array(v) for v in model.variables]
    asked = []
    copy = replace_layers(model, asked.append)
    assert asked == [layer for _, layer in layers_with_paths(model)]
    assert len({id(layer) for layer in asked}) == len(asked)
    assert {id(w) for layer in asked for w in layer.weights} == {id(w) for w in model.weights}
    assert_close(outputs(copy, batch), before, 1e-6)
    assert copy.built
    assert not copy.compiled
    assert type(copy) is type(model)
    assert (copy.name, copy.trainable) == (model.name, model.trainable)
    assert [each.name for each in copy.layers] == [each.name for each in model.layers]
    assert [v.name for v in copy.variables] == [v.name for v in model.variables]
    assert described(copy) == described(model)
    for variable, value in zip(copy.variables, variables, strict=True):
        np.testing.assert_array_equal(variable, value)
    for variable in copy.variables:
        variable.assign(keras.ops.zeros_like(variable))
    assert_close(outputs(model, batch), before, 0)


def test_what_is_no_variable_is_copied():
    lookup = layers.StringLookup()
    lookup.adapt(["tensor", "train", "rank"])
    words = keras.Input((2,), dtype="string")
    x = layers.Flatten()(layers.Embedding(5, 4)(lookup(words)))
    noise = layers.Dropout(0.5, seed=1)
    model = keras.Model(words, noise(x))
    batch = tf.constant([["rank", "train"], ["core", "tensor"]])
    model(batch, training=True)  # the seed's state moves on
    new = replace_layers(model, nothing)
    np.testing.assert_array_equal(new(batch), model(batch))
    np.testing.assert_array_equal(new(batch, training=True), model(batch, training=True))


def test_a_model_that_its_config_does_not_rebuild_is_refused():
    model = Subclassed()
    model.blocks.append(layers.Dense(8))
    model(np.zeros((2, 3, 8), "float32"))
    with pytest.raises(ValueError, match=r"rebuilt from its config(.|\n)*Received"):
        replace_layers(model, nothing)
