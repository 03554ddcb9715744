"""Which layers of a model compression can replace, and why not the others."""

from collections.abc import Callable, Sequence
from fnmatch import fnmatchcase
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import ops

from dart_keras.compression.compressible.base import CompressibleLayer
from dart_keras.compression.compressible.conv2d import CompressibleConv2D
from dart_keras.compression.compressible.dense import CompressibleDense
from dart_keras.compression.compressible.embedding import CompressibleEmbedding
from dart_keras.layers.replacement import replacement_for
from dart_keras.model_surgery.batch_norm import foldable_norms
from dart_keras.model_surgery.keras_quantization import check_not_quantized
from dart_keras.model_surgery.replace import layers_with_paths
from dart_keras.private_apis import flatten_layers

LayerFilter = str | type | Callable[[keras.Layer], bool]

# Layers that an error names.
_NAMED = 12

# Layers of Keras that no TT layer replaces.
_KERAS_LAYERS: dict[Any, type[CompressibleLayer]] = {keras.layers.Conv2D: CompressibleConv2D}


class Candidate(NamedTuple):
    """A layer with weights, and whether compression can replace it.

    Attributes:
        path: The names that lead to the layer, such as "encoder/attention/query".
        layer: The layer.
        reason: Why it has to stay as it is, or `None` if it need not.
    """

    path: str
    layer: keras.Layer
    reason: str | None


def candidates(
    model: keras.Model, layers: LayerFilter | Sequence[LayerFilter] | None = None
) -> list[Candidate]:
    """Return the layers of a model with weights, and why each cannot be compressed, if so.

    Args:
        model: A built model. It is left as it is.
        layers: Which layers may be replaced: a pattern for the layer's path with `*` and `?`, a
            type, a function of the layer, or a sequence of such, one of which has to fit. `None`
            for all.

    Returns:
        A `Candidate` for each layer, in the model's order.

    Raises:
        ValueError: If the model is not a built one, or `layers` is of another kind.

    Example:
        >>> stack = [keras.Input((64,)), keras.layers.Dense(64), keras.layers.PReLU()]
        >>> for found in candidates(keras.Sequential(stack)):
        ...     print(found.path.split("_")[0], "-", found.reason)
        dense - None
        p - of type PReLU
    """
    if not isinstance(model, keras.Model) or not model.built:
        raise ValueError(f"Expected a built Keras model. Received: {model!r}")
    filters = _filters(layers)
    users = _users_of_weights(model)
    return [
        Candidate(path, layer, _reason(path, layer, filters) or _tie(layer, users))
        for path, layer in layers_with_paths(model)
    ]


def find_compressible_layers(
    model: keras.Model, layers: LayerFilter | Sequence[LayerFilter] | None = None
) -> tuple[list[CompressibleLayer], list[Candidate]]:
    """Return the compressible layers that may be replaced, and all candidates.

    Raises:
        ValueError: If there are none, or weights that are not finite, if Keras has quantized the
            model, or as from `candidates`.
    """
    found = candidates(model, layers)
    check_not_quantized(model)
    chosen = [each for each in found if each.reason is None]
    if not chosen:
        reasons = {each.path: each.reason for each in found[:_NAMED]}
        more = f" and {len(found) - _NAMED} more" if len(found) > _NAMED else ""
        raise ValueError(
            "Expected a model with layers that compression can replace and `layers` chooses. "
            f"Received: model {model.name!r} with {reasons or 'no layers that have weights'}{more}"
        )
    norms = foldable_norms(model, can_fold_batch_norm)
    for path, layer, _ in chosen:
        for weight in (*layer.weights, *getattr(norms.get(id(layer)), "weights", ())):
            if not np.all(np.isfinite(ops.convert_to_numpy(weight))):
                raise ValueError(
                    "Expected finite weights, which compression could keep. Received: layer "
                    f"{path!r} with NaN or infinite values in {weight.name!r}"
                )
    compressibles = []
    for path, layer, _ in chosen:
        compressible: Any = _compressible_class(layer)
        compressibles.append(compressible(path, layer, norms.get(id(layer))))
    return compressibles, found


def _filters(layers: Any) -> list[Callable[[str, keras.Layer], bool]]:
    if layers is None:
        return [lambda path, layer: True]
    if isinstance(layers, list | tuple):
        return [each for one in layers for each in _filters(one)]
    if isinstance(layers, str):
        return [lambda path, layer: fnmatchcase(path, layers)]
    if isinstance(layers, type):
        return [lambda path, layer: isinstance(layer, layers)]
    if callable(layers):
        return [lambda path, layer: bool(layers(layer))]
    raise ValueError(
        "Expected `layers` to be a pattern, a type, a function, or a sequence of these. "
        f"Received: layers={layers!r}"
    )


def _compressible_class(layer: keras.Layer) -> type[CompressibleLayer] | None:
    """Return the class that represents a layer, `None` if compression does not support it."""
    if (tt_class := replacement_for(layer)) is not None:
        return CompressibleEmbedding if tt_class.is_table else CompressibleDense
    for kind, compressible in _KERAS_LAYERS.items():
        # A subclass that calls itself in another way is another layer.
        if isinstance(layer, kind) and type(layer).call is kind.call:
            return compressible
    return None


def can_fold_batch_norm(layer: keras.Layer) -> bool:
    """Return whether a normalization of its output's last axis can be folded into a layer."""
    compressible = _compressible_class(layer)
    return compressible is not None and compressible.folds_batch_norm(layer)


def _users_of_weights(model: keras.Model) -> list[tuple[keras.Layer, int]]:
    """Return the layers of a model with the `id` of each weight that their attributes hold."""
    return [
        (layer, id(value))
        for layer in (model, *flatten_layers(model))
        for attribute in vars(layer).values()
        for value in (attribute if isinstance(attribute, list | tuple) else [attribute])
        if isinstance(value, keras.Variable)
    ]


def _tie(layer: keras.Layer, users: Sequence[tuple[keras.Layer, int]]) -> str | None:
    weights = {id(weight) for weight in layer.weights}
    for user, weight in users:
        if user is not layer and weight in weights:
            return f"{user.name!r} uses its weights, too"
    return None


def _reason(
    path: str, layer: keras.Layer, filters: Sequence[Callable[[str, keras.Layer], bool]]
) -> str | None:
    compressible = _compressible_class(layer)
    if compressible is None:
        return f"of type {type(layer).__name__}"
    if not layer.built:
        return "not built"
    if layer.quantization_mode is not None:
        return f"quantized to {layer.quantization_mode!r}"
    if getattr(layer, "lora_enabled", False):
        return "has LoRA weights"
    if (reason := compressible.reason_to_keep(layer)) is not None:
        return reason
    return None if any(fits(path, layer) for fits in filters) else "not chosen by `layers`"
