from typing import Any

import keras
import numpy as np
from keras import ops

from dart_keras.compression.report import CompressionReport, LayerReport
from dart_keras.layers import TTDense, TTEmbedding
from dart_keras.layers.resizing import resize
from dart_keras.layers.tt_layer import TTLayer
from dart_keras.selection.selection import Selection
from dart_keras.tensor_train.modes import automatic_modes
from dart_keras.tensor_train.ranks import count_parameters

_TWINS: dict[type, Any] = {keras.layers.Dense: TTDense, keras.layers.Embedding: TTEmbedding}


def compress(model: keras.Model, budget: Selection) -> tuple[keras.Model, CompressionReport]:
    """Replace the dense matrices of a trained model by tensor trains, from the weights alone.

    Every `Dense` and `Embedding` layer that rank 1 makes smaller at all becomes a `TTDense` or
    `TTEmbedding` by TT-SVD, and the selection cuts them, all together, to the ranks that it keeps.

    Args:
        model: A built Sequential or functional model. It is left as it is.
        budget: What to keep: `dart_keras.selection.Budget(parameters)` for a number of parameters
            in the cores of all replaced layers, `Energy(tolerance)` for an error a layer, or
            another.

    Returns:
        The new model, with the same names and not compiled, and a `CompressionReport`.

    Raises:
        ValueError: If the model is not a built Sequential or functional one, or has no layer to
            replace.

    Example:
        >>> import dart_keras as dk
        >>> model = keras.Sequential([keras.Input((64,)), keras.layers.Dense(64)])
        >>> small, report = dk.compression.compress(model, dk.selection.Budget(600))
        >>> small.layers[0].ranks
        (1, 4, 1)
    """
    if not isinstance(model, keras.Sequential | keras.Model) or not model.built:
        raise ValueError(f"Expected a built Keras model. Received: {model!r}")
    if not isinstance(budget, Selection):
        raise ValueError(f"Expected `budget` to be a `dart_keras.selection`. Received: {budget!r}")
    replaced: list[tuple[keras.Layer, TTLayer]] = []

    def twin_of(layer: keras.Layer) -> keras.Layer:
        twin = _TWINS.get(type(layer))
        if twin is None or not _can_shrink(layer):
            return layer.__class__.from_config(layer.get_config())
        replaced.append((layer, twin.from_dense(layer)))
        return replaced[-1][1]

    clone = keras.models.clone_model(model, clone_function=twin_of, recursive=True)
    if not replaced:
        raise ValueError(
            "Expected a model with `Dense` or `Embedding` layers that tensor trains make smaller. "
            f"Received: model {model.name!r} with none"
        )
    _copy_other_weights(model, clone, {id(old) for old, _ in replaced})
    plans = [
        layer.plan_truncation(ranks)
        for (_, layer), ranks in zip(
            replaced, budget.select([layer for _, layer in replaced]), strict=True
        )
    ]
    resize([resizing for resizing, _ in plans])
    report = CompressionReport(
        tuple(
            LayerReport(new.name, new.ranks, old.count_params(), new.count_params(), error)
            for (old, new), (_, error) in zip(replaced, plans, strict=True)
        ),
        model.count_params(),
        clone.count_params(),
    )
    return clone, report


def _can_shrink(layer: keras.Layer) -> bool:
    if not layer.built:
        return False
    shape: Any = layer.kernel.shape if hasattr(layer, "kernel") else layer.embeddings.shape
    inputs, outputs = automatic_modes(*shape)
    return count_parameters(inputs, outputs, (1, 1, 1)) < int(np.prod(shape))


def _copy_other_weights(model: keras.Model, clone: keras.Model, replaced: set[int]) -> None:
    for old, new in zip(model.layers, clone.layers, strict=True):
        if isinstance(old, keras.Model):
            _copy_other_weights(old, new, replaced)
        elif id(old) not in replaced:
            new.set_weights([ops.convert_to_numpy(weight) for weight in old.weights])
