"""Plain models that do what adapted ones do."""

from typing import Any

import keras
import numpy as np
from keras import ops

from dart_keras.adapters.adapted_copy import adaptable_layers, make_trainable
from dart_keras.adapters.adapted_layer import AdaptedLayer
from dart_keras.adapters.kernels import float_copy, kernel_or_none
from dart_keras.model_surgery.replace import copy_with_replacements
from dart_keras.model_surgery.replaced_sublayers import forget_replaced
from dart_keras.private_apis import owners_of, read_state_back

# Largest difference of outputs, as a share of their size, by compute dtype of a layer. Some GPUs
# multiply float32 with 10 bits.
_TOLERANCES = {"float16": 0.02, "bfloat16": 0.1}
_TOLERANCE = 2e-3
# Keras quantizes the inputs of a quantized layer as well.
_TOLERANCE_QUANTIZED = 0.1
_ROWS = 8


def merge(model: keras.Model) -> keras.Model:
    """Return a plain Keras model that does what an adapted one does with its adapters in use.

    It has no layer of this package and takes no more time or memory than the pretrained model.
    Quantized layers that are adapted become float layers. The adapted model stays as it is, so
    there is nothing to undo: to go back, use it again.

    Args:
        model: A model of `adapt`.

    Returns:
        The model, built and not compiled. It shares no weight with the adapted one.

    Raises:
        ValueError: If the model has no adapters, a layer's adapter cannot be merged or has weights
            that are not finite, or a merged layer does not do the same on random inputs.

    Example:
        >>> import keras
        >>> from dart_keras import adapters
        >>> base = keras.Sequential([keras.Input((8,)), keras.layers.Dense(8, name="hidden")])
        >>> adapted = adapters.adapt(base, adapters.LoRA(rank=2), ["hidden"])
        >>> adapters.merge(adapted).get_layer("hidden")
        <Dense name=hidden, built=True>
    """
    layers = adaptable_layers(model)
    paths = {id(x): path for path, x in layers.items() if isinstance(x, AdaptedLayer)}
    if not paths:
        raise ValueError(
            f"Expected a model with adapters, from `adapt`. Received: model {model.name!r} without"
        )
    merged: list[keras.Layer] = []

    def plain(layer: Any) -> keras.Layer | None:
        if id(layer) not in paths:
            return None
        for owner in owners_of(layer):
            read_state_back(owner)
        merged.append(_merged(paths[id(layer)], layer))
        return merged[-1]

    copy, _ = copy_with_replacements(model, plain)
    forget_replaced(copy, {id(layer) for layer in merged})
    make_trainable(copy)
    return copy


def _merged(path: str, layer: AdaptedLayer) -> keras.Layer:
    base = layer.base
    kernel = kernel_or_none(base)
    new = float_copy(base, kernel)
    try:
        for name, weight in layer.weights_in_use.items():
            if name in layer.adapters:
                check_finite(name, layer.adapters[name].weights)
                new = layer.adapters[name].merged_into(new, weight)
        check_finite("merged", new.weights)
    except ValueError as error:
        raise ValueError(f"Layer {path!r} cannot be merged. {error}") from error
    if kernel is not None and hasattr(new, "activation"):
        new.activation = layer.activation
    new.activity_regularizer = layer.activity_regularizer
    _check_same(path, layer, new)
    return new


def check_finite(name: str, weights: list[keras.Variable]) -> None:
    """Check that weights are finite.

    Args:
        name: What they are, for the error.
        weights: The weights.

    Raises:
        ValueError: If they are not.
    """
    # Not of NumPy: it does not know bfloat16.
    if not all(bool(ops.all(ops.isfinite(ops.cast(w, "float32")))) for w in weights):
        raise ValueError(f"Expected finite weights. Received: NaN or infinite ones in {name!r}")


def _check_same(path: str, layer: AdaptedLayer, new: keras.Layer) -> None:
    inputs = _random_inputs(layer.base)
    if inputs is None:
        return
    expected, received = (
        ops.convert_to_numpy(ops.cast(each(inputs, training=False), "float32"))
        for each in (layer, new)
    )
    quantized = getattr(layer.base, "quantization_mode", None) is not None
    usual = _TOLERANCES.get(layer.base.compute_dtype, _TOLERANCE)
    limit = _TOLERANCE_QUANTIZED if quantized else usual
    error = np.max(np.abs(expected - received), initial=0.0)
    size = np.max(np.abs(expected), initial=1e-6)
    if not error <= limit * size:
        raise ValueError(
            f"Layer {path!r} cannot be merged. Expected outputs for random inputs that differ by "
            f"at most {limit} of their size. Received: {error / size:.3g}"
        )


def _random_inputs(base: Any) -> Any:
    """Return inputs for a layer, `None` if it is not known what it takes."""
    rng = np.random.default_rng(0)
    if isinstance(base, keras.layers.Embedding):
        return rng.integers(base.input_dim, size=_ROWS)
    shape = (base.get_build_config() or {}).get("input_shape")
    if not shape or not all(size is None or isinstance(size, int) for size in shape):
        return None
    # A convolution's inputs must not be smaller than its kernel.
    spans = zip(getattr(base, "dilation_rate", ()), getattr(base, "kernel_size", ()), strict=True)
    unknown = max([_ROWS, *(rate * (size - 1) + 1 for rate, size in spans)])
    sizes = [_ROWS, *(unknown if size is None else size for size in shape[1:])]
    return rng.normal(size=sizes).astype("float32")
