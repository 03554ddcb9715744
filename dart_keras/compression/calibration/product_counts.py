"""The multiply-adds of a whole model, counted while it runs on one row."""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import keras

from dart_keras.compression.calibration.inference import infer
from dart_keras.compression.compressible import Candidate
from dart_keras.layers.tt_layer import TTLayer
from dart_keras.private_apis import own_weights, tell_product, telling_products
from dart_keras.tensor_train.ranks import count_multiply_adds

# These write all products of their layers with `keras.ops`.
_KNOWN_PACKAGES = {"keras", "keras_hub"}

_NOWHERE = -1


class ProductCounts(NamedTuple):
    """Multiply-adds for one row of a model's inputs.

    Attributes:
        of_layers: Those of each layer that has weights, by the layer's `id`; infinity where they
            cannot be counted.
        elsewhere: Those outside of these layers, as of queries with keys in attention.
        uncounted: The names that lead to layers whose multiply-adds cannot be counted, each with
            the layer's type; the model's own name for products outside of layers.
    """

    of_layers: dict[int, float]
    elsewhere: float
    uncounted: tuple[str, ...]

    @property
    def total(self) -> float:
        """The multiply-adds of the whole model."""
        return sum(self.of_layers.values()) + self.elsewhere


def count_products(
    model: keras.Model,
    copies: dict[int, keras.Layer],
    found: Sequence[Candidate],
    batches: Sequence[Any],
) -> ProductCounts:
    """Return the multiply-adds of a model for one row, on average over calibration batches.

    Products of matrices and convolutions count, of weights and of activations. Multiplications
    element by element do not, such as those of a normalization. TT layers count core by core. Those
    of a layer that makes its products without Keras's operations cannot be counted.

    Args:
        model: A copy of a model.
        copies: By the `id` of a layer of the model its copy.
        found: The layers of the model that have weights.
        batches: Calibration batches, one or more. The model runs on a row of each shape.
    """
    layers = {id(model): model, **{id(each.layer): copies[id(each.layer)] for each in found}}
    # A model whose batches have a fixed size takes no others.
    fixed = [tensor.shape[0] for tensor in keras.tree.flatten(getattr(model, "inputs", None) or [])]
    rows = next(iter(fixed), None) or 1
    counts = dict.fromkeys(layers, 0.0)
    for batch, share in _distinct(batches):
        some = keras.tree.map_structure(lambda array: array[:rows], batch)
        tally = _Tally(layers)
        with telling_products(tally.add), _attributed(tally, layers):
            infer(model, some)
        for key in layers:
            counts[key] += share * tally.counts[key] / rows
    paths = [(model.name, model), *((each.path, each.layer) for each in found)]
    uncounted = [
        f"{path} ({type(layer).__name__})" for path, layer in paths if math.isinf(counts[id(layer)])
    ]
    elsewhere = counts.pop(id(model))
    return ProductCounts(counts, elsewhere, tuple(uncounted))


def _distinct(batches: Sequence[Any]) -> list[tuple[Any, float]]:
    """Return a batch of each shape of rows, with the share of all rows that have it."""
    examples: dict[tuple[Any, ...], Any] = {}
    rows: Counter[tuple[Any, ...]] = Counter()
    for batch in batches:
        arrays = keras.tree.flatten(batch)
        shapes = tuple(array.shape[1:] for array in arrays)
        examples.setdefault(shapes, batch)
        rows[shapes] += len(arrays[0])
    return [(batch, rows[shapes] / rows.total()) for shapes, batch in examples.items()]


class _Tally:
    """Adds up for the innermost of the layers that are being called.

    Args:
        keys: The keys of the layers.

    Attributes:
        counts: Multiply-adds by the keys of the layers.
    """

    def __init__(self, keys: Iterable[int]) -> None:
        self.counts = dict.fromkeys(keys, 0.0)
        self._keys: list[int] = []

    def add(self, count: float) -> None:
        """Add the multiply-adds of a product."""
        key = self._keys[-1]
        self.counts[key] = self.counts.get(key, 0.0) + count

    def watched(self, key: int, layer: keras.Layer) -> Callable[..., Any]:
        """Return the `call` of a layer so that products in it are added to the layer's."""
        call: Any = layer.call
        may_hide = _may_hide_products(layer)
        own = isinstance(layer, TTLayer)

        def wrapped(*args: Any, **kwargs: Any) -> Any:
            # Those of a TT layer go nowhere: their order is another one on each machine.
            with self._inside(_NOWHERE if own else key):
                outputs = call(*args, **kwargs)
            with self._inside(key):
                if own:
                    tell_product(_of_tt_layer(layer, outputs, **kwargs))
                elif isinstance(layer, keras.layers.AdditiveAttention) and layer.use_scale:
                    query, value = args[0][:2]
                    tell_product(math.prod(query.shape) * value.shape[1])
                elif may_hide and not self.counts.get(key):
                    tell_product(math.inf)
            return outputs

        return wrapped

    @contextmanager
    def _inside(self, key: int) -> Iterator[None]:
        self._keys.append(key)
        try:
            yield
        finally:
            self._keys.pop()


@contextmanager
def _attributed(tally: _Tally, layers: dict[int, keras.Layer]) -> Iterator[None]:
    for key, layer in layers.items():
        layer.call = tally.watched(key, layer)
    try:
        yield
    finally:
        for layer in layers.values():
            del layer.call


def _may_hide_products(layer: keras.Layer) -> bool:
    """Return whether a layer of other authors has a matrix among its own weights."""
    package = type(layer).__module__.partition(".")[0]
    return package not in _KNOWN_PACKAGES and any(
        sum(size > 1 for size in weight.shape) > 1 for weight in own_weights(layer)
    )


def _of_tt_layer(layer: TTLayer, outputs: Any, reverse: bool = False, **_: Any) -> float:
    rows = math.prod(outputs.shape) / layer.matrix_shape[0 if reverse else 1]
    if reverse:
        return rows * count_multiply_adds(layer.output_modes, layer.input_modes, layer.ranks)
    return rows * layer.multiply_adds(layer.ranks)
