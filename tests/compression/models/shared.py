"""Models in which a layer works in several places."""

import keras
from keras import layers

from tests.compression.composites import Block
from tests.compression.models.registry import floats, ids, model


@model
def called_several_times():
    x = inputs = keras.Input((8,))
    dense = layers.Dense(8, "tanh", name="again")
    for _ in range(3):
        x = dense(x)
    return keras.Model(inputs, x), floats(5, 8)


@model
def called_on_inputs_of_several_ranks():
    a, b, c = keras.Input((8,)), keras.Input((3, 8)), keras.Input((2, 3, 8))
    dense = layers.Dense(6, "relu", name="shared")
    last = layers.Dense(4, name="last")
    return keras.Model([a, b, c], [last(dense(x)) for x in (a, b, c)]), [
        floats(5, 8),
        floats(5, 3, 8),
        floats(5, 2, 3, 8),
    ]


@model
def shared_tower():
    a, b = keras.Input((8,)), keras.Input((8,))
    tower = keras.Sequential([layers.Dense(8, "relu"), layers.Dense(3)], name="tower")
    return keras.Model([a, b], layers.Dot(1)([tower(a), tower(b)])), [floats(5, 8), -floats(5, 8)]


@model
def one_table_for_two_inputs():
    query, document = keras.Input((4,), dtype="int32"), keras.Input((6,), dtype="int32")
    table = layers.Embedding(20, 8, mask_zero=True, name="table")
    pool, dense = layers.GlobalAveragePooling1D(), layers.Dense(6)
    x = [dense(pool(table(tokens))) for tokens in (query, document)]
    return keras.Model([query, document], layers.Dot(1, normalize=True)(x)), [ids(5, 4), ids(5, 6)]


@model
def a_model_called_three_times():
    a, b = keras.Input((8,)), keras.Input((8,))
    inner = keras.Sequential([layers.Dense(8), layers.BatchNormalization()], name="inner")
    tower = keras.Model(a, layers.Dense(8, "tanh")(inner(a)), name="tower")
    return keras.Model([a, b], layers.Dense(2)(tower(tower(a)) + tower(b))), [
        floats(5, 8),
        -floats(5, 8),
    ]


@model
def shared_with_a_model_inside():
    inputs = keras.Input((8,))
    shared = layers.Dense(8, name="shared")
    inner = keras.Model(inputs, keras.ops.tanh(shared(inputs)), name="inner")
    outer = keras.Input((8,))
    return keras.Model(outer, shared(inner(outer))), floats(5, 8)


@model
def part_of_another():
    inputs = keras.Input((8,))
    hidden = layers.Dense(8, name="hidden")(inputs)
    keras.Model(inputs, layers.Dense(3)(hidden))
    return keras.Model(hidden, layers.Dense(2)(layers.Dense(4)(hidden))), floats(5, 8)


@model
def shared_block():
    inputs = keras.Input((6, 8))
    block = Block(8)
    return keras.Model(inputs, layers.Dense(2)(block(block(inputs)))), floats(5, 6, 8)
