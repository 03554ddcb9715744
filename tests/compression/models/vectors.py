"""Models of vectors: dense layers, dtypes, inputs and outputs of all structures."""

import keras
from keras import layers, ops

from tests.compression.models.custom import Scale
from tests.compression.models.registry import floats, model


@model
def sequential():
    stack = [keras.Input((12,)), layers.Dense(16, "relu"), layers.Dropout(0.5), layers.Dense(4)]
    return keras.Sequential(stack, name="stack"), floats(5, 12)


@model
def one_layer_without_bias():
    return keras.Sequential([keras.Input((12,)), layers.Dense(7, use_bias=False)]), floats(5, 12)


@model
def built_by_its_first_call():
    model = keras.Sequential([layers.Dense(6, "tanh"), layers.Dense(2)])
    model(floats(5, 12))
    return model, floats(5, 12)


@model
def residual():
    x = inputs = keras.Input((8,))
    for _ in range(3):
        x = x + layers.Dense(8, "gelu")(layers.LayerNormalization()(x))
    return keras.Model(inputs, ops.softmax(x * 2.0)), floats(5, 8)


@model
def several_inputs_and_outputs():
    a, b = keras.Input((6,), name="a"), keras.Input((4,), name="b")
    x = layers.Concatenate()([layers.Dense(5)(a), b])
    outputs = [layers.Dense(3, name="c")(x), layers.Dense(2, name="d")(a)]
    return keras.Model([a, b], outputs), [floats(5, 6), floats(5, 4)]


@model
def dictionaries():
    inputs = {"a": keras.Input((6,), name="a"), "b": keras.Input((6,), name="b")}
    dense = layers.Dense(4)
    outputs = {"sum": dense(inputs["a"]) + dense(inputs["b"]), "b": layers.Dense(2)(inputs["b"])}
    return keras.Model(inputs, outputs), {"a": floats(5, 6), "b": -floats(5, 6)}


@model
def nested_input_lists():
    a, b, c = (keras.Input((6,)) for _ in range(3))
    x = layers.Add()([layers.Dense(4)(a), layers.Dense(4)(b), layers.Dense(4)(c)])
    return keras.Model([a, [b, c]], x), [floats(5, 6), [floats(5, 6), -floats(5, 6)]]


@model
def nested_output_structure():
    # Not all of them floats, and one of them the input as it is.
    inputs = keras.Input((8,))
    logits = layers.Dense(5, name="logits")(layers.Dense(8, "tanh")(inputs))
    best = {"id": ops.argmax(logits, axis=-1), "share": ops.max(ops.softmax(logits), axis=-1)}
    return keras.Model(inputs, {"logits": logits, "best": best, "given": inputs}), floats(5, 8)


@model
def probabilities():
    stack = [layers.Dense(12, "relu"), layers.Dense(6, "softmax")]
    return keras.Sequential([keras.Input((8,)), *stack]), floats(5, 8)


@model
def regularized_and_constrained():
    inputs = keras.Input((8,))
    x = layers.Dense(
        12,
        kernel_regularizer="l2",
        activity_regularizer=keras.regularizers.L1(1e-3),
        bias_constraint="non_neg",
    )(inputs)
    return keras.Model(inputs, layers.Dense(3)(layers.PReLU()(x))), floats(5, 8)


@model
def normalized():
    # One normalization that can be folded into a matrix, and two that cannot.
    x = inputs = keras.Input((8,))
    x = layers.Dense(8, use_bias=False)(x)
    x = layers.ReLU()(layers.BatchNormalization(scale=False, center=False)(x))
    x = layers.BatchNormalization()(layers.Dense(8, "tanh")(x))
    x = layers.GroupNormalization(2)(layers.Dense(8)(x))
    return keras.Model(inputs, layers.Dense(3)(layers.UnitNormalization()(x))), floats(5, 8)


@model
def frozen():
    stack = [keras.Input((8,)), layers.Dense(8), layers.BatchNormalization(), layers.Dense(3)]
    model = keras.Sequential(stack)
    model.layers[0].trainable = False
    model.layers[1].trainable = False
    return model, floats(5, 8)


@model
def frozen_as_a_whole():
    model = keras.Sequential([keras.Input((8,)), layers.Dense(8, "relu"), layers.Dense(5)])
    model.trainable = False
    return model, floats(5, 8)


@model
def adapted_preprocessing():
    normalization = layers.Normalization()
    normalization.adapt(floats(50, 8) * 3 + 1)
    inputs = keras.Input((8,))
    return keras.Model(inputs, layers.Dense(3)(normalization(inputs))), floats(5, 8)


@model
def mixed_precision():
    x = inputs = keras.Input((8,))
    for policy in ("mixed_bfloat16", "float32", "mixed_float16"):
        x = layers.Dense(8, "tanh", dtype=policy)(x)
    return keras.Model(inputs, layers.Dense(2, dtype="float64")(x)), floats(5, 8)


@model
def bfloat16():
    inputs = keras.Input((8,), dtype="bfloat16")
    x = layers.Dense(8, "relu", dtype="bfloat16")(inputs)
    return keras.Model(inputs, layers.Dense(5, dtype="bfloat16")(x)), floats(5, 8)


@model
def float16():
    inputs = keras.Input((8,), dtype="float16")
    x = layers.LayerNormalization(dtype="float16")(layers.Dense(8, dtype="float16")(inputs))
    return keras.Model(inputs, layers.Dense(5, "softmax", dtype="float16")(x)), floats(5, 8)


@model
def einsums():
    x = inputs = keras.Input((4, 6))
    x = layers.EinsumDense("abc,cde->abde", (4, 3, 5), bias_axes="de")(x)
    x = layers.EinsumDense("abde,dec->abc", (4, 7), bias_axes="c", activation="relu")(x)
    x = layers.EinsumDense("abc,bcd->ad", 6, bias_axes="d")(x)
    return keras.Model(inputs, layers.EinsumDense("...x,xy->...y", 3)(x)), floats(5, 4, 6)


@model
def einsums_in_unusual_orders():
    # Axes turned around, a kernel of matrices side by side, and a bias that columns share.
    inputs = keras.Input((4, 6))
    x = layers.EinsumDense("abc,dec->adbe", (3, 4, 5), bias_axes="d")(inputs)
    x = layers.EinsumDense("adbe,ef->abdf", (None, 3, 4))(x)
    x = layers.EinsumDense("abdf,dfg->abdg", (None, 3, 6), bias_axes="g")(x)
    return keras.Model(inputs, x), floats(5, 4, 6)


@model
def a_weight_of_its_own():
    inputs = keras.Input((8,))
    x = Scale()(layers.Dense(8, "relu")(Scale()(inputs)))
    return keras.Model(inputs, layers.Dense(3)(x)), floats(5, 8)


@model
def nothing_to_replace():
    inputs = keras.Input((8,))
    return keras.Model(inputs, layers.LayerNormalization()(Scale()(inputs))), floats(5, 8)
