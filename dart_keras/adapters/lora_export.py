"""Adapters of any method as LoRA adapters."""

import keras
import numpy as np

from dart_keras.adapters.adapt import arguments_for, trained_copy
from dart_keras.adapters.adapted_copy import adaptable_layers, with_adapters
from dart_keras.adapters.adapted_layer import AdaptedLayer
from dart_keras.adapters.adapter import Adapter, KernelAdapter
from dart_keras.adapters.merge import check_finite
from dart_keras.adapters.methods.tensor_train import TTAdapter
from dart_keras.adapters.switch import chosen_name
from dart_keras.adapters.trained_copy import TrainedCopy
from dart_keras.utils.argument_checks import is_integer, is_number


def to_lora(
    model: keras.Model,
    rank: int | None = None,
    threshold: float | None = None,
    name: str | None = None,
) -> keras.Model:
    """Return a model whose adapters are LoRA adapters, which any LoRA runtime can serve.

    What each adapter adds to its kernel becomes a product of two matrices, by a truncated singular
    value decomposition.

    Args:
        model: A model of `adapt`.
        rank: The largest rank.
        threshold: In place of `rank`, the smallest singular value that is kept, as a share of the
            largest one of its layer.
        name: Name of the adapters. It need not be given if there are no others.

    Returns:
        A model with the same pretrained weights, not compiled. Its file from `save` has for each
        layer the matrices of shape (1, N, 1, r) and (r, 1, M, 1), scale 1.

    Raises:
        ValueError: If not just one of `rank` and `threshold` is given, one of them is out of range,
            or a layer's adapter cannot be written as another kernel.

    Example:
        >>> import keras
        >>> from dart_keras import adapters
        >>> base = keras.Sequential([keras.Input((64,)), keras.layers.Dense(64, name="hidden")])
        >>> adapted = adapters.adapt(base, adapters.TTLoRA(rank=3), ["hidden"])
        >>> lora = adapters.to_lora(adapted, rank=3)
        >>> [tuple(weight.shape) for weight in lora.trainable_variables]
        [(1, 64, 1, 3), (3, 1, 64, 1)]
    """
    if (rank is None) == (threshold is None):
        raise ValueError(
            f"Expected either `rank` or `threshold`. Received: rank={rank}, threshold={threshold}"
        )
    if rank is not None and not (is_integer(rank) and rank >= 1):
        raise ValueError(f"Expected `rank` to be a positive integer. Received: rank={rank!r}")
    if threshold is not None and not (is_number(threshold) and 0 <= threshold < 1):
        raise ValueError(
            f"Expected `threshold` of at least 0 and below 1. Received: threshold={threshold!r}"
        )
    name = chosen_name(model, name)
    adapters: dict[str, Adapter] = {}
    for path, layer in adaptable_layers(model).items():
        if isinstance(layer, AdaptedLayer) and name in layer.adapters:
            adapters[path] = _as_lora(path, layer, name, rank, threshold)
    return with_adapters(model, adapters, name, keep=False)


def _as_lora(
    path: str, layer: AdaptedLayer, name: str, rank: int | None, threshold: float | None
) -> Adapter:
    adapter = layer.adapters[name]
    if isinstance(adapter, TrainedCopy):
        return trained_copy(adapter.layer, name)
    if not isinstance(adapter, KernelAdapter):
        raise ValueError(
            f"Expected adapters that change a kernel. Received: layer {path!r} with "
            f"{type(adapter).__name__}"
        )
    check_finite(path, adapter.weights)
    kernel = adapter.kernel
    matrix = kernel.matrix_of(layer.base).astype(np.float64)
    u, s, vt = np.linalg.svd(adapter.merged(matrix) - matrix, full_matrices=False)
    kept = len(s) if threshold is None else int(np.sum(s > threshold * s[0]))
    kept = max(1, min(kept, rank or kept))
    rows, columns = kernel.shape
    lora = TTAdapter(kernel, kept, (rows, 1), (1, columns), 1.0, **arguments_for(layer, name))
    lora.build()
    root = np.sqrt(s[:kept])
    lora.update.cores[0].assign((u[:, :kept] * root).reshape(1, rows, 1, kept))
    lora.update.cores[1].assign((root[:, None] * vt[:kept]).reshape(kept, 1, columns, 1))
    return lora
