"""Layers that are trained in full beside adapters, such as a new head."""

from typing import Any, Self

import keras

from dart_keras.adapters.adapter import Adapter
from dart_keras.adapters.kernels import float_copy


class TrainedCopy(Adapter):
    """Puts a copy of the layer, which is trained, in the layer's place.

    So each of several adapters has a head of its own, and none changes that of the model.

    Args:
        layer: The copy.
        **kwargs: `name` and so on, as for any Keras layer.

    Attributes:
        layer: The copy.
    """

    def __init__(self, layer: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.layer = layer
        # The layer casts its inputs itself.
        self.autocast = False

    def call(
        self, inputs: Any, outputs: Any, *args: Any, training: bool | None = None, **kwargs: Any
    ) -> Any:
        """Return the outputs of the copy."""
        return self.layer(inputs, *args, **kwargs)

    def merged_into(self, layer: Any, weight: float) -> keras.Layer:
        """Return a copy of the copy."""
        if weight != 1:
            raise ValueError(
                f"Expected the weight 1 for layer {layer.name!r}, which has a trained copy. "
                f"Received: {weight}"
            )
        return float_copy(self.layer, None)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        config = super().get_config()
        return {**config, "layer": keras.saving.serialize_keras_object(self.layer)}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        """Return the adapter of a config from `get_config`."""
        return cls(**{**config, "layer": keras.saving.deserialize_keras_object(config["layer"])})
