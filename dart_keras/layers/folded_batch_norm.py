from typing import Any

import keras


@keras.saving.register_keras_serializable("dart_keras")
class FoldedBatchNormalization(keras.layers.Layer):
    """Placeholder for a BatchNormalization that is folded into the layer before it.

    It returns its input. `keras.layers.Identity` is no substitute, because it takes no mask.

    Example:
        >>> FoldedBatchNormalization()(keras.ops.ones(2)).numpy()
        array([1., 1.], dtype=float32)
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.supports_masking = True

    def build(self, input_shape: Any) -> None:
        """Create no weights."""
        self.built = True

    def call(self, inputs: Any, mask: Any = None) -> Any:
        """Return the inputs."""
        return inputs

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Return the shape of the inputs."""
        return input_shape

    def get_config(self) -> dict[str, Any]:
        """Return the config of every layer; Keras makes none by itself from a policy."""
        return super().get_config()
