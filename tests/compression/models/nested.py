"""Models made of models, of layers that hold layers, and of classes of their own."""

import keras
from keras import layers

from tests.compression.composites import Backbone, Block, Branches, Subclassed, Tied
from tests.compression.models.custom import Holder, Ranking
from tests.compression.models.registry import floats, ids, model


@model
def nested_three_deep():
    inputs = keras.Input((8,))
    inner = keras.Sequential([layers.Dense(8), layers.BatchNormalization()], name="inner")
    middle = keras.Model(inputs, layers.Dense(8)(inner(inputs)) + inputs, name="middle")
    stack = [keras.Input((8,)), layers.Dense(8), middle, layers.Dense(2)]
    return keras.Sequential(stack), floats(5, 8)


@model
def sequential_in_functional_in_subclassed():
    inputs = keras.Input((8,))
    stack = keras.Sequential([layers.Dense(8, "relu"), layers.Dense(8)], name="stack")
    inner = keras.Model(inputs, layers.Dense(8)(stack(inputs)) + inputs, name="inner")
    model = Holder(inner, name="outer")
    model(floats(5, 8))
    return model, floats(5, 8)


@model
def blocks():
    inputs = keras.Input((6, 8))
    x = Block(8, name="second")(Block(8, name="first")(inputs))
    return keras.Model(inputs, Branches()(x)), floats(5, 6, 8)


@model
def frozen_inside_a_block():
    inputs = keras.Input((6, 8))
    block = Block(8)
    model = keras.Model(inputs, block(inputs))
    block.feed_forward.layers[0].trainable = False
    return model, floats(5, 6, 8)


@model
def subclassed():
    model = Subclassed(name="subclassed")
    model(floats(5, 6, 8))
    return model, floats(5, 6, 8)


@model
def subclassed_inside():
    inputs = keras.Input((6, 8))
    inner = Subclassed(name="inner")
    return keras.Model(inputs, layers.Dense(2)(inner(inputs))), floats(5, 6, 8)


@model
def subclassed_with_dictionaries():
    model, batch = Ranking(name="ranking"), {"user": floats(5, 6), "item": ids(5, 4)}
    model(batch)
    return model, batch


@model
def backbone():
    return Backbone(8, name="backbone"), ids(5, 6)


@model
def backbone_inside():
    tokens = keras.Input((6,), dtype="int32", name="ids")
    inner = Backbone(8, name="inner")
    logits = Tied(inner.table, name="tied")(inner(tokens))
    return keras.Model(tokens, [logits, layers.Dense(2)(inner(tokens))]), ids(5, 6)
