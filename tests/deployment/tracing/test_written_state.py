import keras
import numpy as np
import pytest
import tensorflow as tf

from dart_keras.deployment import ConversionError, convert


class Counter(keras.layers.Layer):
    """Counts its calls."""

    def build(self, shape):
        self.count = self.add_weight(shape=(1,), trainable=False, name="count")

    def call(self, inputs):
        self.count.assign_add([1.0])
        return inputs + self.count


class OfTensorFlow(Counter):
    """Does so in a variable that Keras knows nothing of."""

    def build(self, shape):
        self.count = tf.Variable([0.0], name="count")


class InALoop(Counter):
    """Counts the steps of a loop."""

    def call(self, inputs):
        def step(index, sums):
            self.count.assign_add([1.0])
            return index + 1, sums + self.count

        return keras.ops.while_loop(lambda index, _: index < 3, step, (0, inputs))[1]


class Training(keras.layers.Layer):
    """Calls a layer as in training, always."""

    def __init__(self, layer, **kwargs):
        super().__init__(**kwargs)
        self.layer = layer

    def call(self, inputs):
        return self.layer(inputs, training=True)


CASES = {
    "own": (Counter(name="counter"), "count", "counter"),
    "TensorFlow's": (OfTensorFlow(name="counter"), "count", "counter"),
    "in a loop": (InALoop(name="counter"), "", "counter"),
    "stateful": (keras.layers.GRU(2, stateful=True, name="memory"), "", "memory"),
    "stateful, unrolled": (
        keras.layers.LSTM(2, stateful=True, unroll=True, name="memory"),
        "",
        "memory",
    ),
    "statistics": (
        Training(keras.layers.BatchNormalization(name="norm")),
        r"moving_mean, \S+moving_variance",
        "norm",
    ),
    "random": (Training(keras.layers.Dropout(0.5, name="drop")), "seed_generator_state", "drop"),
    "nested": (
        keras.Sequential([keras.Input((4, 3)), Counter(name="counter")]),
        "count",
        "counter",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_what_call_writes_is_refused_by_its_layer(case):
    layer, variables, name = CASES[case]
    model = keras.Sequential([keras.Input((4, 3), batch_size=1), layer])
    before = [np.array(variable) for variable in model.variables]
    message = rf"^Expected a model whose `call` writes no variables.*writes.*{variables}\. Layer: "
    with pytest.raises(ConversionError, match=message) as caught:
        convert(model)
    assert [path.rpartition("/")[2] for path in caught.value.layers] == [name]
    for variable, value in zip(model.variables, before, strict=True):
        np.testing.assert_array_equal(variable, value)


def test_layers_that_write_in_training_alone_are_converted():
    layers = [keras.layers.BatchNormalization(), keras.layers.Dropout(0.5)]
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3), *layers])
    assert convert(model).operators == ["FULLY_CONNECTED"]
