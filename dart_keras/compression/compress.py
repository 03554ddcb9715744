from typing import Any

import keras
import numpy as np

from dart_keras.compression.replacing import layers_with_paths, replace_layers
from dart_keras.compression.report import CompressionReport, LayerReport
from dart_keras.layers import TTDense, TTEinsumDense, TTEmbedding
from dart_keras.layers.resizing import resize
from dart_keras.layers.tt_einsum_dense import einsum_matrix
from dart_keras.selection.selection import Selection
from dart_keras.tensor_train.modes import automatic_modes
from dart_keras.tensor_train.ranks import count_parameters

_TWINS: dict[type, Any] = {
    keras.layers.Dense: TTDense,
    keras.layers.EinsumDense: TTEinsumDense,
    keras.layers.Embedding: TTEmbedding,
}


def compress(model: keras.Model, budget: Selection) -> tuple[keras.Model, CompressionReport]:
    """Replace the dense matrices of a trained model by tensor trains, from the weights alone.

    Every `Dense`, `EinsumDense` and `Embedding` layer that rank 1 makes smaller at all becomes a
    `TTDense`, `TTEinsumDense` or `TTEmbedding` by TT-SVD, and the selection cuts them, all
    together, to the ranks that it keeps. They may be in nested and subclassed models and inside
    other layers, such as `MultiHeadAttention`. An `EinsumDense` with another matrix for each row of
    a batch axis stays.

    Args:
        model: A built model that its config rebuilds. It is left as it is.
        budget: What to keep: `dart_keras.selection.Budget(parameters)` for a number of parameters
            in the cores of all replaced layers, `Energy(tolerance)` for an error a layer, or
            another.

    Returns:
        The new model, with the same names and not compiled, and a `CompressionReport`.

    Raises:
        ValueError: If the model is not a built one, cannot be rebuilt, or has no layer to replace.

    Example:
        >>> import dart_keras as dk
        >>> model = keras.Sequential([keras.Input((64,)), keras.layers.Dense(64)])
        >>> small, report = dk.compression.compress(model, dk.selection.Budget(600))
        >>> small.layers[0].ranks
        (1, 4, 1)
    """
    if not isinstance(model, keras.Model) or not model.built:
        raise ValueError(f"Expected a built Keras model. Received: {model!r}")
    if not isinstance(budget, Selection):
        raise ValueError(f"Expected `budget` to be a `dart_keras.selection`. Received: {budget!r}")
    paths = {id(layer): path for path, layer in layers_with_paths(model)}
    replaced = [
        (layer, _TWINS[type(layer)].from_dense(layer))
        for _, layer in layers_with_paths(model)
        if _can_shrink(layer)
    ]
    if not replaced:
        raise ValueError(
            "Expected a model with `Dense`, `EinsumDense` or `Embedding` layers that tensor trains "
            f"make smaller. Received: model {model.name!r} with none"
        )
    twins = [twin for _, twin in replaced]
    plans = [
        twin.plan_truncation(ranks) for twin, ranks in zip(twins, budget.select(twins), strict=True)
    ]
    resize([resizing for resizing, _ in plans])
    by_layer = {id(old): new for old, new in replaced}
    small = replace_layers(model, lambda layer: by_layer.get(id(layer)))
    report = CompressionReport(
        tuple(
            LayerReport(paths[id(old)], new.ranks, old.count_params(), new.count_params(), error)
            for (old, new), (_, error) in zip(replaced, plans, strict=True)
        ),
        model.count_params(),
        small.count_params(),
    )
    return small, report


def _can_shrink(layer: keras.Layer) -> bool:
    if type(layer) not in _TWINS or not layer.built:
        return False
    if isinstance(layer, keras.layers.EinsumDense):
        try:
            shape = einsum_matrix(layer).shape
        except ValueError:
            return False
    else:
        kernel: Any = layer.kernel if hasattr(layer, "kernel") else layer.embeddings
        shape = tuple(kernel.shape)
    inputs, outputs = automatic_modes(*shape)
    return count_parameters(inputs, outputs, (1, 1, 1)) < int(np.prod(shape))
