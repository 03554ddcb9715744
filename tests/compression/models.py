"""Built models of many shapes, each with a batch for it."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import layers

from .composites import Backbone, Block, Branches, Encoder, Subclassed, Tied

Builder = Callable[[], tuple[keras.Model, Any]]
MODELS: dict[str, Builder] = {}


def _model(build: Builder) -> Builder:
    MODELS[build.__name__] = build
    return build


def _floats(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).normal(size=shape).astype("float32")


def _ids(*shape: int) -> np.ndarray:
    # Zeros at the end, as masks want them.
    ids = np.random.default_rng(0).integers(1, 20, shape)
    ids[:, -2:] = 0
    return ids


@_model
def sequential():
    stack = [keras.Input((12,)), layers.Dense(16, "relu"), layers.Dropout(0.5), layers.Dense(4)]
    return keras.Sequential(stack, name="stack"), _floats(5, 12)


@_model
def one_layer_without_bias():
    return keras.Sequential([keras.Input((12,)), layers.Dense(7, use_bias=False)]), _floats(5, 12)


@_model
def built_by_its_first_call():
    model = keras.Sequential([layers.Dense(6, "tanh"), layers.Dense(2)])
    model(_floats(5, 12))
    return model, _floats(5, 12)


@_model
def residual():
    x = inputs = keras.Input((8,))
    for _ in range(3):
        x = x + layers.Dense(8, "gelu")(layers.LayerNormalization()(x))
    return keras.Model(inputs, keras.ops.softmax(x * 2.0)), _floats(5, 8)


@_model
def several_inputs_and_outputs():
    a, b = keras.Input((6,), name="a"), keras.Input((4,), name="b")
    x = layers.Concatenate()([layers.Dense(5)(a), b])
    outputs = [layers.Dense(3, name="c")(x), layers.Dense(2, name="d")(a)]
    return keras.Model([a, b], outputs), [_floats(5, 6), _floats(5, 4)]


@_model
def dictionaries():
    inputs = {"a": keras.Input((6,), name="a"), "b": keras.Input((6,), name="b")}
    dense = layers.Dense(4)
    outputs = {"sum": dense(inputs["a"]) + dense(inputs["b"]), "b": layers.Dense(2)(inputs["b"])}
    return keras.Model(inputs, outputs), {"a": _floats(5, 6), "b": -_floats(5, 6)}


@_model
def nested_input_lists():
    a, b, c = (keras.Input((6,)) for _ in range(3))
    x = layers.Add()([layers.Dense(4)(a), layers.Dense(4)(b), layers.Dense(4)(c)])
    return keras.Model([a, [b, c]], x), [_floats(5, 6), [_floats(5, 6), -_floats(5, 6)]]


@_model
def called_several_times():
    x = inputs = keras.Input((8,))
    dense = layers.Dense(8, "tanh", name="again")
    for _ in range(3):
        x = dense(x)
    return keras.Model(inputs, x), _floats(5, 8)


@_model
def twins():
    a, b = keras.Input((8,)), keras.Input((8,))
    tower = keras.Sequential([layers.Dense(8, "relu"), layers.Dense(3)], name="tower")
    return keras.Model([a, b], layers.Dot(1)([tower(a), tower(b)])), [_floats(5, 8), -_floats(5, 8)]


@_model
def nested_three_deep():
    inputs = keras.Input((8,))
    inner = keras.Sequential([layers.Dense(8), layers.BatchNormalization()], name="inner")
    middle = keras.Model(inputs, layers.Dense(8)(inner(inputs)) + inputs, name="middle")
    stack = [keras.Input((8,)), layers.Dense(8), middle, layers.Dense(2)]
    return keras.Sequential(stack), _floats(5, 8)


@_model
def shared_with_a_model_inside():
    inputs = keras.Input((8,))
    shared = layers.Dense(8, name="shared")
    inner = keras.Model(inputs, keras.ops.tanh(shared(inputs)), name="inner")
    outer = keras.Input((8,))
    return keras.Model(outer, shared(inner(outer))), _floats(5, 8)


@_model
def part_of_another():
    inputs = keras.Input((8,))
    hidden = layers.Dense(8, name="hidden")(inputs)
    keras.Model(inputs, layers.Dense(3)(hidden))
    return keras.Model(hidden, layers.Dense(2)(layers.Dense(4)(hidden))), _floats(5, 8)


@_model
def masked_recurrent():
    ids = keras.Input((6,), dtype="int32")
    x = layers.Embedding(20, 8, mask_zero=True)(ids)
    x = layers.Bidirectional(layers.LSTM(5, return_sequences=True))(x)
    x = layers.TimeDistributed(layers.Dense(4, "relu"))(layers.GRU(5, return_sequences=True)(x))
    return keras.Model(ids, layers.Dense(2)(layers.GlobalAveragePooling1D()(x))), _ids(5, 6)


@_model
def masked_attention():
    ids = keras.Input((6,), dtype="int32")
    x = layers.Embedding(20, 8, mask_zero=True)(ids)
    x = x + layers.MultiHeadAttention(2, 4, value_dim=3, name="attention")(x, x)
    x = x + layers.GroupQueryAttention(4, 4, 2, use_bias=False)(x, x, use_causal_mask=True)
    return keras.Model(ids, layers.Dense(2)(layers.GlobalAveragePooling1D()(x))), _ids(5, 6)


@_model
def mixed_precision():
    x = inputs = keras.Input((8,))
    for policy in ("mixed_bfloat16", "float32", "mixed_float16"):
        x = layers.Dense(8, "tanh", dtype=policy)(x)
    return keras.Model(inputs, layers.Dense(2, dtype="float64")(x)), _floats(5, 8)


@_model
def frozen():
    stack = [keras.Input((8,)), layers.Dense(8), layers.BatchNormalization(), layers.Dense(3)]
    model = keras.Sequential(stack)
    model.layers[0].trainable = False
    model.layers[1].trainable = False
    return model, _floats(5, 8)


@_model
def adapted_preprocessing():
    normalization = layers.Normalization()
    normalization.adapt(_floats(50, 8) * 3 + 1)
    inputs = keras.Input((8,))
    return keras.Model(inputs, layers.Dense(3)(normalization(inputs))), _floats(5, 8)


@_model
def convolutional():
    x = inputs = keras.Input((8, 8, 3))
    x = layers.BatchNormalization()(layers.Conv2D(4, 3, activation="relu")(x))
    x = layers.Flatten()(layers.SeparableConv2D(4, 3)(x))
    return keras.Model(inputs, layers.Dense(3)(x)), _floats(5, 8, 8, 3)


@_model
def blocks():
    inputs = keras.Input((6, 8))
    x = Block(8, name="second")(Block(8, name="first")(inputs))
    return keras.Model(inputs, Branches()(x)), _floats(5, 6, 8)


@_model
def encoders():
    ids = keras.Input((6,), dtype="int32")
    x = layers.Embedding(20, 8, mask_zero=True, name="embedding")(ids)
    x = Encoder(4, name="encoder_1")(Encoder(2, name="encoder_0")(x))
    return keras.Model(ids, layers.Dense(2)(x[:, 0])), _ids(5, 6)


@_model
def shared_block():
    inputs = keras.Input((6, 8))
    block = Block(8)
    return keras.Model(inputs, layers.Dense(2)(block(block(inputs)))), _floats(5, 6, 8)


@_model
def frozen_inside_a_block():
    inputs = keras.Input((6, 8))
    block = Block(8)
    model = keras.Model(inputs, block(inputs))
    block.feed_forward.layers[0].trainable = False
    return model, _floats(5, 6, 8)


@_model
def tied_table():
    ids = keras.Input((6,), dtype="int32")
    table = layers.ReversibleEmbedding(20, 8, name="table")
    return keras.Model(ids, Tied(table, name="tied")(layers.Dense(8)(table(ids)))), _ids(5, 6)


@_model
def reversed_table():
    ids = keras.Input((6,), dtype="int32")
    table = layers.ReversibleEmbedding(20, 8, mask_zero=True)
    return keras.Model(ids, table(layers.LSTM(8)(table(ids)), reverse=True)), _ids(5, 6)


@_model
def subclassed():
    model = Subclassed(name="subclassed")
    model(_floats(5, 6, 8))
    return model, _floats(5, 6, 8)


@_model
def subclassed_inside():
    inputs = keras.Input((6, 8))
    inner = Subclassed(name="inner")
    return keras.Model(inputs, layers.Dense(2)(inner(inputs))), _floats(5, 6, 8)


@_model
def backbone():
    return Backbone(8, name="backbone"), _ids(5, 6)


@_model
def backbone_inside():
    ids = keras.Input((6,), dtype="int32", name="ids")
    inner = Backbone(8, name="inner")
    logits = Tied(inner.table, name="tied")(inner(ids))
    return keras.Model(ids, [logits, layers.Dense(2)(inner(ids))]), _ids(5, 6)


def randomize(model: keras.Model) -> None:
    """Give every weight a value that no initializer gives, state and biases included."""
    for k, weight in enumerate(model.weights):
        shape, rng = tuple(weight.shape), np.random.default_rng(k)
        # Weights of variances must stay positive.
        weight.assign(np.asarray(weight) + 0.1 * np.abs(rng.normal(size=shape)))
    for layer in model.layers:
        if isinstance(layer, layers.Normalization):
            layer.finalize_state()  # it computes with what it made of its weights


def build(name: str) -> tuple[keras.Model, Any]:
    """One of the models, its weights random, and a batch for it."""
    model, batch = MODELS[name]()
    randomize(model)
    return model, batch
