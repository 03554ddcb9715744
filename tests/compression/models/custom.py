"""Layers and models of classes that Keras does not have."""

import keras
from keras import layers, ops


@keras.saving.register_keras_serializable("compression_models")
class Scale(layers.Layer):
    """Has a weight of its own and no other layer."""

    def build(self, input_shape):
        self.scale = self.add_weight(shape=input_shape[-1:], initializer="ones", name="scale")

    def call(self, x):
        return x * self.scale


@keras.saving.register_keras_serializable("compression_models")
class Positions(layers.Layer):
    """Adds a vector to each place of a sequence."""

    def __init__(self, length, **kwargs):
        super().__init__(**kwargs)
        self.length = length

    def build(self, input_shape):
        shape = (self.length, input_shape[-1])
        self.positions = self.add_weight(shape=shape, initializer="normal", name="positions")

    def call(self, x):
        return x + self.positions[: ops.shape(x)[1]]

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {**super().get_config(), "length": self.length}


@keras.saving.register_keras_serializable("compression_models")
class Cell(layers.Layer):
    """A cell of a recurrent layer, made of dense layers."""

    def __init__(self, units, **kwargs):
        super().__init__(**kwargs)
        self.units = self.state_size = units
        self.gate = layers.Dense(units, "sigmoid", name="gate")
        self.candidate = layers.Dense(units, "tanh", use_bias=False, name="candidate")

    def build(self, input_shape):
        both = (input_shape[0], input_shape[-1] + self.units)
        self.gate.build(both)
        self.candidate.build(both)

    def call(self, x, states):
        both = ops.concatenate([x, states[0]], axis=-1)
        gate = self.gate(both)
        state = gate * states[0] + (1 - gate) * self.candidate(both)
        return state, [state]

    def get_config(self):
        return {**super().get_config(), "units": self.units}


@keras.saving.register_keras_serializable("compression_models")
class Holder(keras.Model):
    """Is given the model that it runs before a layer of its own."""

    def __init__(self, inner, **kwargs):
        super().__init__(**kwargs)
        self.inner = inner
        self.last = layers.Dense(3)

    def call(self, x, training=None):
        return self.last(self.inner(x, training=training))

    def get_config(self):
        return {"inner": keras.saving.serialize_keras_object(self.inner), "name": self.name}

    @classmethod
    def from_config(cls, config):
        return cls(keras.saving.deserialize_keras_object(config.pop("inner")), **config)


@keras.saving.register_keras_serializable("compression_models")
class Ranking(keras.Model):
    """Takes and gives dictionaries."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.towers = {"user": layers.Dense(6, "relu"), "item": layers.Embedding(20, 6)}

    def call(self, inputs):
        user, items = self.towers["user"](inputs["user"]), self.towers["item"](inputs["item"])
        return {"user": user, "scores": ops.sum(items * user[:, None], axis=-1)}

    def get_config(self):
        return {"name": self.name}
