"""The kernel of a layer, and copies of layers."""

from typing import Any

import keras
from keras import ops

from dart_keras.adapters.kernels.conv_kernel import ConvKernel
from dart_keras.adapters.kernels.dense_kernel import DenseKernel
from dart_keras.adapters.kernels.einsum_dense_kernel import EinsumDenseKernel
from dart_keras.adapters.kernels.embedding_kernel import EmbeddingKernel
from dart_keras.adapters.kernels.layer_kernel import LayerKernel

LAYER_KERNELS: tuple[type[LayerKernel], ...] = (
    ConvKernel,
    DenseKernel,
    EinsumDenseKernel,
    EmbeddingKernel,
)
"""The kinds of kernels that can be adapted."""


def kernel_of(layer: Any) -> LayerKernel:
    """Return the kernel of a layer.

    Args:
        layer: A built layer.

    Raises:
        ValueError: If adapters do not know the layer, or its kernel is not one matrix.
    """
    kind = kernel_class_of(layer)
    if kind is None:
        names = ", ".join(each.__name__ for kind in LAYER_KERNELS for each in kind.layer_classes)
        raise ValueError(
            f"Expected a layer that calls itself as one of {names}. Received: {layer!r}"
        )
    if getattr(layer, "lora_enabled", False):
        raise ValueError(
            f"Expected a layer without Keras's own LoRA. Received: {layer!r}, for which "
            "`enable_lora` was called"
        )
    return kind.of(layer)


def kernel_or_none(layer: Any) -> LayerKernel | None:
    """Return the kernel of a layer, `None` if it has none that can be adapted.

    Args:
        layer: A built layer.
    """
    try:
        return kernel_of(layer)
    except ValueError:
        return None


def kernel_class_of(layer: keras.Layer) -> type[LayerKernel] | None:
    """Return the kind of kernel of a layer, `None` if adapters do not know the layer."""
    for kind in LAYER_KERNELS:
        for known in kind.layer_classes:
            # A subclass that calls itself in another way is another layer.
            if isinstance(layer, known) and type(layer).call is known.call:
                return kind
    return None


def plain_copy(layer: Any, like: LayerKernel | None) -> Any:
    """Return a built layer of the same config; without activation if it has a kernel.

    Args:
        layer: A built layer.
        like: Its kernel, or `None`.
    """
    config = layer.get_config()
    # It is the outputs with adapters that are regularized.
    if "activity_regularizer" in config:
        config["activity_regularizer"] = None
    if like is not None and "activation" in config:
        config["activation"] = "linear"
    copy = type(layer).from_config(config)
    copy.build_from_config(layer.get_build_config() or {})
    return copy


def float_copy(layer: Any, kernel: LayerKernel | None) -> Any:
    """Return a copy of a layer with float weights, those of the layer.

    Args:
        layer: A built layer, which may be quantized.
        kernel: Its kernel, or `None` if it is not quantized.
    """
    if kernel is None or getattr(layer, "quantization_mode", None) is None:
        copy = plain_copy(layer, kernel)
        copy.set_weights(layer.get_weights())
        return copy
    policy = keras.dtype_policies.DTypePolicy(layer.dtype_policy.name.partition("_from_")[2])
    config = {**layer.get_config(), "dtype": policy.name}
    config.pop("quantization_config", None)
    copy = type(layer).from_config(config)
    copy.build_from_config(layer.get_build_config() or {})
    if getattr(copy, "bias", None) is not None:
        copy.bias.assign(ops.copy(layer.bias))
    kernel.set_matrix(copy, kernel.matrix_of(layer))
    return copy
