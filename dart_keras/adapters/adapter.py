"""Adapters: small layers that change what one layer of a pretrained model computes."""

from abc import abstractmethod
from typing import Any, ClassVar, Self

import keras
import numpy as np
from keras import ops

from dart_keras.adapters.kernels import LAYER_KERNELS, LayerKernel


class Adapter(keras.layers.Layer):
    """Base of all adapters: from a layer's inputs and outputs to other outputs.

    A subclass is registered by its name, which stands in files.

    Attributes:
        classes: All subclasses by name.
        derived_weights: Weights that `attach` computes, which files of adapters do not hold.
    """

    classes: ClassVar[dict[str, Any]] = {}

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.supports_masking = True
        self.derived_weights: tuple[keras.Variable, ...] = ()

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        keras.saving.register_keras_serializable("dart_keras")(cls)
        Adapter.classes[cls.__name__] = cls

    @abstractmethod
    def call(
        self, inputs: Any, outputs: Any, reverse: bool = False, training: bool | None = None
    ) -> Any:
        """Return what the adapted layer gives before its activation.

        Args:
            inputs: What the layer is called with.
            outputs: What it returns by itself, bias included.
            reverse: Whether an embedding is called with `reverse=True`.
            training: As for any Keras layer.
        """

    @abstractmethod
    def merged_into(self, layer: Any, weight: float) -> keras.Layer:
        """Return a layer that does by itself what a layer does with the adapter.

        Args:
            layer: The layer, without its activation, of float weights. It may be changed.
            weight: The weight of what the adapter changes.

        Raises:
            ValueError: If no layer of its class does.
        """

    def settings(self) -> dict[str, Any]:
        """Return the constructor's arguments that files of adapters hold: numbers, names, lists."""
        return {}

    def shared(self) -> dict[str, Any]:
        """Return the constructor's arguments that are layers which other adapters hold, too."""
        return {}

    def build(self, *shapes: Any) -> None:
        """Create the weights, which depend on the layer's kernel alone."""
        self.built = True

    def attach(self, layer: Any) -> None:
        """Take from the layer what is computed from its weights once, when the model is adapted.

        By default nothing. What is taken belongs into `derived_weights`; it is taken again when a
        file is loaded.

        Args:
            layer: The layer, built, without its activation.
        """

    def compute_output_shape(self, input_shape: Any, output_shape: Any, **arguments: Any) -> Any:
        """Return the shape of the adapted layer's outputs, which are those of the layer."""
        return output_shape


class KernelAdapter(Adapter):
    """Base of the adapters with which a layer does what it does with another kernel.

    A subclass has weights, `call`, `merged` and `settings`.

    Args:
        kernel: The kernel of the layer that is adapted.
        **kwargs: `name`, `dtype` and so on, as for any Keras layer.
    """

    def __init__(self, kernel: LayerKernel, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.kernel = kernel
        # Ids must not be rounded to half precision.
        self.autocast = not kernel.looks_up

    @abstractmethod
    def merged(self, matrix: np.ndarray) -> np.ndarray:
        """Return the kernel with which the layer by itself does what it does with the adapter.

        Args:
            matrix: The layer's kernel, of shape (N, M).

        Raises:
            ValueError: If no other kernel does the same.
        """

    def merged_into(self, layer: Any, weight: float) -> keras.Layer:
        """Return the layer with another kernel."""
        matrix = self.kernel.matrix_of(layer).astype(np.float64)
        self.kernel.set_matrix(layer, matrix + weight * (self.merged(matrix) - matrix))
        return layer

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        kernel = {"class_name": type(self.kernel).__name__, "config": self.kernel.get_config()}
        return {**super().get_config(), "kernel": kernel, **self.settings()}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        """Return the adapter of a config from `get_config`."""
        config = dict(config)
        kernel = config.pop("kernel")
        classes = {each.__name__: each for each in LAYER_KERNELS}
        return cls(classes[kernel["class_name"]](**kernel["config"]), **config)


class AdditiveAdapter(KernelAdapter):
    """Base of the adapters that add a product with a matrix of two factors.

    A subclass has weights, `factors` and `settings`.
    """

    @abstractmethod
    def factors(self) -> tuple[Any, Any]:
        """Return tensors of shapes (N, r) and (r, M), whose product is added to the kernel."""

    def call(
        self, inputs: Any, outputs: Any, reverse: bool = False, training: bool | None = None
    ) -> Any:
        """Return the layer's outputs and the product with the factors."""
        return self.add_product(inputs, outputs, reverse, self.factors())

    def add_product(self, inputs: Any, outputs: Any, reverse: bool, factors: Any) -> Any:
        """Return the layer's outputs and the product with two factors, as of `factors`."""
        left, right = (ops.cast(each, self.compute_dtype) for each in factors)
        change = self.kernel.product(inputs, left, right, reverse)
        return ops.add(outputs, ops.cast(change, outputs.dtype))

    def merged(self, matrix: np.ndarray) -> np.ndarray:
        """Return the kernel with the product of the factors added."""
        left, right = (ops.convert_to_numpy(each).astype(np.float64) for each in self.factors())
        return matrix + left @ right
