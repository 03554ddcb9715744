"""A layer of a pretrained model together with the adapters that change it."""

from collections.abc import Mapping
from typing import Any, Self

import keras

from dart_keras.adapters.adapter import Adapter
from dart_keras.private_apis import changing_state, flatten_layers, note_calling_model


@keras.saving.register_keras_serializable("dart_keras")
class AdaptedLayer(keras.layers.Layer):
    """A layer whose outputs are changed by adapters.

    `adapt` makes them. What holds the layer calls it like the layer itself.

    Args:
        base: The layer, without its activation.
        adapters: Adapters by name.
        activation: The activation of the layer.
        activity_regularizer: The regularizer of the layer's outputs.
        weights_in_use: By name of an adapter that is in use, the weight of what it changes.
        **kwargs: `name` and so on, as for any Keras layer.

    Attributes:
        base: The layer, without its activation.
        adapters: Adapters by name.
        weights_in_use: By name of an adapter that is in use, the weight of what it changes.
    """

    def __init__(
        self,
        base: Any,
        adapters: Mapping[str, Adapter],
        activation: Any = None,
        activity_regularizer: Any = None,
        weights_in_use: Mapping[str, float] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(activity_regularizer=activity_regularizer, **kwargs)
        self.base = base
        self.adapters = dict(adapters)
        self.activation = keras.activations.get(activation)
        in_use = dict.fromkeys(adapters, 1.0) if weights_in_use is None else weights_in_use
        self.weights_in_use = dict(in_use)
        self.supports_masking = base.supports_masking
        # Ids must not be rounded, and the layer casts its inputs itself.
        self.autocast = False

    def build(self, input_shape: Any = None) -> None:
        """Build the layer and its adapters."""
        if not self.base.built:
            self.base.build(input_shape)
        for adapter in self.adapters.values():
            if not adapter.built:
                adapter.build()
        self.built = True

    def call(self, inputs: Any, *args: Any, training: bool | None = None, **kwargs: Any) -> Any:
        """Return the outputs of the layer with the adapters that are in use.

        Args:
            inputs: The layer's inputs.
            *args: Its other arguments.
            training: As for any Keras layer.
            **kwargs: Its other arguments.
        """
        note_calling_model(self)
        outputs = self.base(inputs, *args, **kwargs)
        for name, weight in self.weights_in_use.items():
            if name not in self.adapters:
                continue
            changed = self.adapters[name](inputs, outputs, *args, training=training, **kwargs)
            # Also right where a method does more than to add something.
            outputs = changed if weight == 1 else outputs + weight * (changed - outputs)
        return self.activation(outputs)

    def compute_output_shape(self, input_shape: Any, *args: Any, **kwargs: Any) -> Any:
        """Return the shape of the layer's outputs."""
        return self.base.compute_output_shape(input_shape, *args, **kwargs)

    def compute_mask(self, inputs: Any, previous_mask: Any) -> Any:
        """Return the mask of the layer's outputs."""
        return self.base.compute_mask(inputs, previous_mask)

    def add_adapter(self, name: str, adapter: Adapter) -> None:
        """Add an adapter that is not in use yet.

        Args:
            name: Its name.
            adapter: The adapter, built.
        """
        with changing_state(self):
            self.adapters = {**self.adapters, name: adapter}

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        serialize = keras.saving.serialize_keras_object
        return {
            **super().get_config(),
            "base": serialize(self.base),
            "adapters": {name: serialize(each) for name, each in self.adapters.items()},
            "activation": keras.activations.serialize(self.activation),
            "activity_regularizer": keras.regularizers.serialize(self.activity_regularizer),
            "weights_in_use": dict(self.weights_in_use),
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        """Return the layer of a config from `get_config`."""
        config = dict(config)
        deserialize = keras.saving.deserialize_keras_object
        adapters = {name: deserialize(each) for name, each in config.pop("adapters").items()}
        return cls(deserialize(config.pop("base")), adapters, **config)


def base_of(layer: Any) -> Any:
    """Return the pretrained layer: that of an adapted layer, or the layer itself.

    Args:
        layer: A layer.
    """
    return layer.base if isinstance(layer, AdaptedLayer) else layer


def adapted_layers_in(model: keras.Layer) -> list[AdaptedLayer]:
    """Return the adapted layers in a model or layer, at any depth; there may be none."""
    return [layer for layer in flatten_layers(model) if isinstance(layer, AdaptedLayer)]
