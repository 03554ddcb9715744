import keras
import pytest
from keras import layers

from dart_keras.layers import TTDense
from dart_keras.layers.folded_batch_norm import FoldedBatchNormalization
from dart_keras.quantization.fused_activations import fused_activations


def stack(*between, shape=(6, 6, 3)):
    return keras.Sequential([keras.Input(shape), *between])


@pytest.mark.parametrize(
    ("build", "name"),
    [
        (lambda: stack(layers.Conv2D(4, 3), layers.ReLU()), "relu"),
        (lambda: stack(layers.DepthwiseConv2D(3), layers.ReLU(6.0)), "relu6"),
        (lambda: stack(layers.SeparableConv2D(4, 3), layers.Activation("relu6")), "relu6"),
        (lambda: stack(TTDense(4, 2), layers.Activation("relu"), shape=(8,)), "relu"),
        (
            lambda: stack(
                layers.Dense(4), *(FoldedBatchNormalization() for _ in "ab"), layers.ReLU()
            ),
            "relu",
        ),
    ],
)
def test_the_product_before_takes_the_activation(build, name):
    model = build()
    activations, holders = fused_activations(model)
    assert {k: each.__name__ for k, each in activations.items()} == {id(model.layers[0]): name}
    assert holders == {id(model.layers[-1])}


def read_twice():
    inputs = keras.Input((4,))
    hidden = layers.Dense(4)(inputs)
    return keras.Model(inputs, layers.Add()([layers.ReLU()(hidden), hidden]))


def of_two_products():
    inputs, relu = keras.Input((4,)), layers.ReLU()
    return keras.Model(inputs, [relu(layers.Dense(4)(inputs)), relu(layers.Dense(4)(inputs))])


@pytest.mark.parametrize(
    "build",
    [
        read_twice,
        of_two_products,
        lambda: stack(layers.Dense(4), layers.ReLU(3.0)),
        lambda: stack(layers.Dense(4), layers.ReLU(negative_slope=0.1)),
        lambda: stack(layers.Dense(4), layers.ReLU(threshold=1.0)),
        lambda: stack(layers.Dense(4), layers.Activation("tanh")),
        lambda: stack(layers.Dense(4, "tanh"), layers.ReLU()),
        lambda: stack(layers.Dense(4), layers.MaxPooling2D(), layers.ReLU()),
        lambda: stack(layers.Dense(4), FoldedBatchNormalization()),
    ],
)
def test_others_stay_operators_of_their_own(build):
    assert fused_activations(build()) == ({}, set())
