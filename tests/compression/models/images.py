"""Models of images, and of what else convolutions are for."""

import keras
from keras import layers

from tests.compression.models.registry import floats, model


@model
def convolutional():
    x = inputs = keras.Input((8, 8, 3))
    x = layers.BatchNormalization()(layers.Conv2D(4, 3, activation="relu")(x))
    x = layers.Flatten()(layers.SeparableConv2D(4, 3)(x))
    return keras.Model(inputs, layers.Dense(3)(x)), floats(5, 8, 8, 3)


@model
def strided_convolutions():
    x = inputs = keras.Input((9, 8, 4))
    x = layers.Conv2D(6, 3, strides=2, padding="same", activation="relu")(x)
    x = layers.Conv2D(5, (2, 3), strides=(1, 2), use_bias=False)(x)
    return keras.Model(inputs, layers.GlobalMaxPooling2D()(x)), floats(5, 9, 8, 4)


@model
def dilated_convolutions():
    x = inputs = keras.Input((9, 8, 4))
    x = layers.Conv2D(6, 3, dilation_rate=2, padding="same", activation="gelu")(x)
    x = layers.Conv2D(5, (3, 2), dilation_rate=(2, 1))(x)
    return keras.Model(inputs, x), floats(5, 9, 8, 4)


@model
def pointwise_convolutions():
    x = inputs = keras.Input((6, 6, 8))
    x = layers.Conv2D(8, 1, activation="relu")(x)
    x = layers.Conv2D(6, 1, strides=2, use_bias=False)(x)
    return keras.Model(inputs, layers.GlobalAveragePooling2D()(x)), floats(5, 6, 6, 8)


@model
def normalized_convolutions():
    x = inputs = keras.Input((6, 6, 4))
    x = layers.ReLU()(layers.BatchNormalization()(layers.Conv2D(6, 3, use_bias=False)(x)))
    x = layers.BatchNormalization(scale=False)(layers.Conv2D(6, 3, padding="same")(x))
    x = layers.BatchNormalization(center=False)(layers.Conv2D(5, 1, activation="relu")(x))
    return keras.Model(inputs, x), floats(5, 6, 6, 4)


@model
def residual_block():
    # The input of the normalization is read once, its output twice.
    inputs = keras.Input((6, 6, 4))
    x = layers.BatchNormalization()(layers.Conv2D(6, 3, padding="same", name="stem")(inputs))
    y = layers.GroupNormalization(2)(layers.Conv2D(6, 3, padding="same")(layers.ReLU()(x)))
    z = layers.Conv2D(6, 1, name="skip")(x)
    y = layers.Add()([y, layers.BatchNormalization()(z), z])
    return keras.Model(inputs, layers.Dense(3)(layers.Flatten()(y))), floats(5, 6, 6, 4)


@model
def depthwise_and_grouped():
    x = inputs = keras.Input((6, 6, 4))
    x = layers.BatchNormalization()(layers.DepthwiseConv2D(3, padding="same")(x))
    x = layers.Conv2D(8, 3, groups=2)(layers.Conv2D(8, 1)(layers.ReLU(6.0)(x)))
    return keras.Model(inputs, layers.GlobalAveragePooling2D()(x)), floats(5, 6, 6, 4)


@model
def squeeze_and_excite():
    # Dense layers on images.
    inputs = keras.Input((6, 6, 3))
    x = layers.Dense(8, "relu")(inputs)
    share = layers.GlobalAveragePooling2D(keepdims=True)(x)
    share = layers.Dense(8, "sigmoid")(layers.Dense(5, "relu")(share))
    return keras.Model(inputs, layers.Dense(4)(x * share)), floats(5, 6, 6, 3)


@model
def images_of_any_size():
    x = inputs = keras.Input((None, None, 3))
    x = layers.Rescaling(0.5, offset=0.1)(x)
    x = layers.GaussianNoise(0.1, seed=0)(x)
    x = layers.MaxPooling2D()(layers.Conv2D(6, 3, activation="relu")(x))
    x = layers.UpSampling2D()(layers.Conv2D(6, 3, padding="same")(x))
    return keras.Model(inputs, layers.Conv2DTranspose(3, 2)(x)), floats(5, 8, 7, 3)


@model
def one_convolution_twice():
    x = inputs = keras.Input((6, 6, 5))
    shared = layers.Conv2D(5, 3, padding="same", activation="tanh", name="shared")
    x = shared(shared(x))
    return keras.Model(inputs, layers.Dense(3)(layers.GlobalAveragePooling2D()(x))), floats(
        5, 6, 6, 5
    )


@model
def half_precision_convolutions():
    x = inputs = keras.Input((6, 6, 4))
    x = layers.Conv2D(6, 3, activation="relu", dtype="mixed_bfloat16")(x)
    x = layers.BatchNormalization(dtype="mixed_bfloat16")(x)
    return keras.Model(inputs, layers.Conv2D(5, 3, dtype="bfloat16")(x)), floats(5, 6, 6, 4)


@model
def frames():
    inputs = keras.Input((3, 6, 6, 3))
    x = layers.TimeDistributed(layers.Conv2D(5, 3, activation="relu"))(inputs)
    x = layers.TimeDistributed(layers.Flatten())(x)
    return keras.Model(inputs, layers.TimeDistributed(layers.Dense(4))(x)), floats(2, 3, 6, 6, 3)


@model
def volumes():
    # No convolution here has another form.
    inputs = keras.Input((5, 5, 5, 2))
    x = layers.Conv3D(3, 2, activation="relu")(inputs)
    return keras.Model(inputs, layers.GlobalAveragePooling3D()(x)), floats(3, 5, 5, 5, 2)
