import warnings
from typing import Any

import keras

from dart_keras.model_surgery.batch_norm import foldable_norms, placeholder_for, scale_and_shift
from dart_keras.model_surgery.links import links
from dart_keras.model_surgery.replace import layers_with_paths, replace_layers
from dart_keras.model_surgery.scaled_inputs import scale_inputs, scaling_reader
from dart_keras.model_surgery.scaled_outputs import (
    can_scale_channels,
    channel_scaling,
    scale_channels,
)


def fold_batch_norm(model: keras.Model) -> keras.Model:
    """Return a copy of a trained model without batch normalizations, with the same outputs.

    A `BatchNormalization` directly after a `Dense` or a convolution without an activation goes into
    its weights (Jacob et al. 2018, "Quantization and training of neural networks for efficient
    integer-arithmetic-only inference", section 3.2); a layer that does nothing takes its place.
    One after an activation goes into the weights after it: those of a `Dense`, also after a
    `Flatten` or a global average, or of a convolution without padding. Any other becomes a
    depthwise convolution of one pixel that scales and shifts each channel.

    `quantize_aware` does it by itself. Files do not need it: TensorFlow's converter folds, too. The
    outputs are those of `model(x, training=False)`; in `fit` the copy has no batch statistics.

    Args:
        model: A built model that Keras can save: Sequential, functional, nested or subclassed. It
            is left as it is.

    Returns:
        The copy, built and not compiled, with the same names of layers. A normalization that cannot
        be folded stays, and a warning names it with the reason.

    Raises:
        ValueError: If the model is not built, or cannot be rebuilt from its config.

    Example:
        >>> stack = [keras.layers.Conv2D(8, 3), keras.layers.BatchNormalization()]
        >>> model = keras.Sequential([keras.Input((6, 6, 3)), *stack, keras.layers.ReLU()])
        >>> folded = fold_batch_norm(model)
        >>> [type(layer).__name__ for layer in folded.layers]
        ['Conv2D', 'FoldedBatchNormalization', 'ReLU']
    """
    folded, kept = with_norms_folded(model)
    if kept:
        named = "; ".join(f"{name}: {reason}" for name, reason in kept.items())
        warnings.warn(f"These normalizations stay as they are. {named}", stacklevel=2)
    return folded


def with_norms_folded(model: keras.Model) -> tuple[keras.Model, dict[str, str]]:
    """Return a copy of a model with its normalizations folded, and why some had to stay."""
    if not isinstance(model, keras.Model) or not model.built:
        raise ValueError(f"Expected a built Keras model. Received: {model!r}")
    paths = {id(layer): (path, layer) for path, layer in layers_with_paths(model)}
    replacements: dict[int, keras.Layer] = {}
    for k, norm in foldable_norms(model, can_scale_channels).items():
        replacements[k] = scale_channels(paths[k][1], *scale_and_shift(norm))
        replacements[id(norm)] = placeholder_for(norm)
    kept: dict[str, str] = {}
    after = {id(link.layer): link for link in links(model)}
    for k, (path, layer) in paths.items():
        if k in replacements or not isinstance(layer, keras.layers.BatchNormalization):
            continue
        if (reason := _reason_to_keep(layer)) is not None:
            kept[path] = reason
        elif k in after and (reader := scaling_reader(after[k], after)) is not None:
            present = replacements.get(id(reader), reader)
            replacements[id(reader)] = scale_inputs(present, *scale_and_shift(layer))
            replacements[k] = placeholder_for(layer)
        else:
            replacements[k] = channel_scaling(layer, *scale_and_shift(layer))
    return replace_layers(model, lambda layer: replacements.get(id(layer))), kept


def _reason_to_keep(norm: Any) -> str | None:
    """Return why a normalization cannot be folded, `None` if it can."""
    shape = (norm.get_build_config() or {}).get("input_shape")
    if type(norm) is not keras.layers.BatchNormalization:
        return f"it is of the class {type(norm).__name__}, which may compute something else"
    if not norm.built or not shape:
        return "the shape of its inputs is not known; call the model, or give it an `Input`"
    if norm.axis not in (-1, len(shape) - 1):
        return f"it normalizes axis {norm.axis}; put the channels last, with `axis=-1`"
    return None
