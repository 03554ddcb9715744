"""Batch normalization directly after a layer, which can be folded into the layer's weights."""

from collections import Counter
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import ops

from dart_keras.private_apis import flatten_layers, nodes_of, sublayers


def foldable_norms(
    model: keras.Model, folds: Callable[[keras.Layer], bool]
) -> dict[int, keras.Layer]:
    """Return the `BatchNormalization` layers that only see the outputs of a layer that folds them.

    Only Sequential and functional models, nested or not, are searched, since Keras knows their
    graphs. The layers must be called once and be held by nothing else, which could call them, too.

    Args:
        model: A built model.
        folds: Whether a normalization can be folded into a layer.

    Returns:
        By the `id` of such a layer, the normalization directly after it.

    Example:
        >>> stack = [keras.Input((4,)), keras.layers.Dense(3), keras.layers.BatchNormalization()]
        >>> model = keras.Sequential(stack)
        >>> norms = foldable_norms(model, lambda layer: isinstance(layer, keras.layers.Dense))
        >>> norms == {id(model.layers[0]): model.layers[1]}
        True
    """
    graphs = [nodes_of(graph) for graph in _graphs(model)]
    calls = Counter(id(node.operation) for nodes in graphs for node in nodes)
    holders = Counter(
        inner
        for holder in (model, *flatten_layers(model))
        for inner in {id(each) for _, each in sublayers(holder)}
    )

    def is_called_once(layer: Any) -> bool:
        return calls[id(layer)] == holders[id(layer)] == 1

    found: dict[int, keras.Layer] = {}
    for graph, nodes in zip(_graphs(model), graphs, strict=True):
        readers: dict[int, list[Any]] = {}
        for node in nodes:
            for tensor in node.input_tensors:
                readers.setdefault(id(tensor), []).append(node)
        for tensor in keras.tree.flatten(graph.outputs):
            readers.setdefault(id(tensor), []).append(None)
        for node in nodes:
            layer = node.operation
            if not is_called_once(layer) or not folds(layer):
                continue
            [output] = node.output_tensors
            match readers.get(id(output), []):
                case [reader] if reader is not None:
                    norm = reader.operation
                    if (
                        type(norm) is keras.layers.BatchNormalization
                        and is_called_once(norm)
                        and _normalizes_last_axis(norm, output)
                    ):
                        found[id(layer)] = norm
    return found


def fold_batch_norm(
    kernel: np.ndarray, bias: np.ndarray | None, norm: keras.Layer | None
) -> tuple[np.ndarray, np.ndarray | None]:
    """Return a matrix and a bias into which a trained normalization is folded.

    Args:
        kernel: Array of shape (N, M).
        bias: Array of shape (M,), or `None` for zeros.
        norm: A built `BatchNormalization` of M elements, or `None` to change nothing.

    Returns:
        The matrix and the bias.
    """
    if norm is None:
        return kernel, bias
    layer: Any = norm
    mean, variance = (
        np.asarray(ops.convert_to_numpy(v), np.float64)
        for v in (layer.moving_mean, layer.moving_variance)
    )
    scale = 1 / np.sqrt(variance + layer.epsilon)
    if layer.scale:
        scale = scale * np.asarray(ops.convert_to_numpy(layer.gamma), np.float64)
    shift = ((0.0 if bias is None else bias) - mean) * scale
    if layer.center:
        shift = shift + np.asarray(ops.convert_to_numpy(layer.beta), np.float64)
    return kernel * scale, shift


def _graphs(model: keras.Layer) -> list[Any]:
    graphs = [model] if isinstance(model, keras.Model) and getattr(model, "inputs", None) else []
    for layer in getattr(model, "layers", []):
        if isinstance(layer, keras.Model):
            graphs += _graphs(layer)
    return graphs


def _normalizes_last_axis(norm: Any, tensor: Any) -> bool:
    return norm.built and norm.axis in (-1, len(tensor.shape) - 1)
