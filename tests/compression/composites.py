"""Layers and models that hold layers, each in another way."""

import keras
from keras import layers


@keras.saving.register_keras_serializable("compression_models")
class Block(layers.Layer):
    """Holds layers in attributes and a list, has a weight of its own and no `build`."""

    def __init__(self, width, **kwargs):
        super().__init__(**kwargs)
        self.width = width
        self.attention = layers.MultiHeadAttention(2, 4)
        self.norms = [layers.LayerNormalization(), layers.LayerNormalization()]
        self.feed_forward = keras.Sequential([layers.Dense(width * 2, "relu"), layers.Dense(width)])
        self.scale = self.add_weight(shape=(), initializer="ones", name="scale")

    def call(self, x):
        x = self.norms[0](x + self.attention(x, x))
        return self.norms[1](x + self.scale * self.feed_forward(x))

    def get_config(self):
        return {**super().get_config(), "width": self.width}


@keras.saving.register_keras_serializable("compression_models")
class Encoder(layers.Layer):
    """Makes its layers in `build`, one of them a layer that does so too."""

    def __init__(self, heads, **kwargs):
        super().__init__(**kwargs)
        self.heads = heads

    def build(self, input_shape):
        width = input_shape[-1]
        self._attention = layers.MultiHeadAttention(
            self.heads, width // self.heads, dtype=self.dtype_policy, name="attention"
        )
        self._attention.build(input_shape, input_shape)
        self._norm = layers.LayerNormalization(dtype=self.dtype_policy)
        self._norm.build(input_shape)
        self._output = layers.Dense(width, "gelu", dtype=self.dtype_policy, name="output")
        self._output.build(input_shape)

    def call(self, x, mask=None):
        attended = self._attention(x, x, attention_mask=None if mask is None else mask[:, None])
        return self._output(self._norm(x + attended))

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {**super().get_config(), "heads": self.heads}


@keras.saving.register_keras_serializable("compression_models")
class Branches(layers.Layer):
    """Makes its layers in `build`, in a dictionary, a tuple and a list in a list."""

    def build(self, input_shape):
        self.heads = {"a": layers.Dense(3), "b": layers.Dense(3, use_bias=False)}
        self.pair = (layers.Dense(3), [layers.Dense(3)])
        for layer in (*self.heads.values(), self.pair[0], self.pair[1][0]):
            layer.build(input_shape)

    def call(self, x):
        first, (second,) = self.pair
        return self.heads["a"](x) + self.heads["b"](x) * first(x) + second(x)

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], 3)


@keras.saving.register_keras_serializable("compression_models")
class Tied(layers.Layer):
    """Is given a layer that the model uses elsewhere too."""

    def __init__(self, table, **kwargs):
        super().__init__(**kwargs)
        self.table = table
        self.hidden = layers.Dense(table.output_dim)

    def build(self, input_shape):
        self.hidden.build(input_shape)

    def call(self, x):
        return self.table(self.hidden(x), reverse=True)

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], self.table.input_dim)

    def get_config(self):
        table = keras.saving.serialize_keras_object(self.table)
        return {**super().get_config(), "table": table}

    @classmethod
    def from_config(cls, config):
        return cls(keras.saving.deserialize_keras_object(config.pop("table")), **config)


@keras.saving.register_keras_serializable("compression_models")
class Subclassed(keras.Model):
    def __init__(self, width=8, **kwargs):
        super().__init__(**kwargs)
        self.width = width
        self.first = layers.Dense(width, "relu")
        self.blocks = [Block(width), Block(width)]
        self.last = keras.Sequential([layers.Dense(4), layers.BatchNormalization()])

    def call(self, x, training=None):
        x = self.first(x)
        for block in self.blocks:
            x = block(x)
        return self.last(x, training=training)

    def get_config(self):
        return {"width": self.width, "name": self.name}


@keras.saving.register_keras_serializable("compression_models")
class Backbone(keras.Model):
    """A functional model that its class makes from a config of its own."""

    def __init__(self, width, **kwargs):
        table = layers.ReversibleEmbedding(20, width, name="table")
        ids = keras.Input((6,), dtype="int32", name="ids")
        x = Block(width, name="block")(table(ids))
        super().__init__(ids, layers.Dense(width, name="pooled")(x), **kwargs)
        self.width = width
        self.table = table

    def logits(self, ids):
        return self.table(self(ids), reverse=True)

    def get_config(self):
        return {"width": self.width, "name": self.name}
