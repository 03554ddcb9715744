"""What a model costs with its layers in different factorizations."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import keras

from dart_keras.compression.compressible import Factorization
from dart_keras.compression.search.knapsack import Option, allocate
from dart_keras.compression.search.student import StudentBuilder
from dart_keras.model_surgery.replace import layers_with_paths
from dart_keras.private_apis import own_weights
from dart_keras.utils.listing import largest_first

# What a file holds for each product beside its weights, which take a byte: the operator, the
# tensors around it and their scales. Files of 10 to 20 products have 700 to 900 for each.
_BYTES_OF_A_PRODUCT = 800


class Costs(NamedTuple):
    """The costs of each factorization of each layer, and of the rest of the model.

    Attributes:
        of_layers: For each compressible layer the costs of its factorizations, in their order.
        of_rest: The cost of everything else.
        unchangeable: What cannot be made smaller, by the names that lead to each layer.
    """

    of_layers: Sequence[Sequence[float]]
    of_rest: float
    unchangeable: dict[str, float]

    @property
    def smallest(self) -> int:
        """The cost of the model with all layers in their cheapest factorizations."""
        return math.ceil(self.of_rest + sum(map(min, self.of_layers)) - 1e-6)


def parameter_costs(builder: StudentBuilder) -> Costs:
    """Return costs in parameters."""
    return _counted(builder, 0)


def file_byte_costs(builder: StudentBuilder) -> Costs:
    """Return costs in bytes of an int8 file, by estimate."""
    return _counted(builder, _BYTES_OF_A_PRODUCT)


def _counted(builder: StudentBuilder, of_product: int) -> Costs:
    counts = [
        [each.parameters + of_product * each.products for each in options]
        for options in builder.factorizations
    ]
    dense = sum(layer.dense.parameters for layer in builder.compressibles)
    others = {
        path: sum(math.prod(weight.shape) for weight in own_weights(layer))
        for path, layer in _others(builder)
    }
    fixed = {**others, **_fixed(builder, counts)}
    return Costs(counts, builder.model.count_params() - dense, fixed)


def multiply_add_costs(builder: StudentBuilder) -> Costs:
    """Return costs in multiply-adds for one row of the model's inputs.

    Raises:
        ValueError: If there are no calibration data, or products of the model cannot be counted.
    """
    if builder.statistics is None:
        raise ValueError(
            "Expected `calibration_data`, which show how often each layer is called, for a budget "
            "of multiply-adds. Received: calibration_data=None"
        )
    products = builder.statistics.products
    if products.uncounted:
        raise ValueError(
            "Expected a model whose products are made by layers of Keras or `keras.ops`, which can "
            "be counted, for a budget of multiply-adds. Received: "
            f"{', '.join(products.uncounted)}. Use functions such as `keras.ops.matmul` there, or "
            "give a budget of `Parameters`"
        )
    counts = [
        [builder.statistics.multiply_adds(k, each) for each in options]
        for k, options in enumerate(builder.factorizations)
    ]
    others = {path: products.of_layers.get(id(layer), 0.0) for path, layer in _others(builder)}
    elsewhere = {"products outside of layers with weights": products.elsewhere}
    rest = products.total - sum(options[-1] for options in counts)
    return Costs(counts, rest, {**others, **elsewhere, **_fixed(builder, counts)})


def _others(builder: StudentBuilder) -> list[tuple[str, keras.Layer]]:
    """Return the layers with weights that are not compressible, by their paths."""
    known = {id(part) for each in builder.compressibles for part in (each.layer, each.norm)}
    return [each for each in layers_with_paths(builder.model) if id(each[1]) not in known]


def _fixed(builder: StudentBuilder, costs: Sequence[Sequence[float]]) -> dict[str, float]:
    """Return the costs of the compressible layers that none of their factorizations lowers."""
    return {
        each.path: options[-1]
        for each, options in zip(builder.compressibles, costs, strict=True)
        if min(options) >= options[-1]
    }


def unchangeable_part(costs: Costs, unit: str = "") -> str:
    """Return a part of a message on what cannot be made smaller, empty where everything can."""
    found = largest_first(costs.unchangeable)
    return found and f". Of these, as nothing makes them smaller: {found}{unit}"


def choose(
    builder: StudentBuilder, costs: Costs, limit: int, exponent: int = 1
) -> list[Factorization]:
    """Return for each layer a factorization, all within a limit, with the least sum of losses.

    Args:
        builder: Of the model.
        costs: What counts against the limit.
        limit: The most that the whole model may cost, not below `costs.smallest`.
        exponent: The power of the losses that is summed.
    """
    choices = [
        [Option(cost, loss**exponent) for cost, loss in zip(options, losses, strict=True)]
        for options, losses in zip(costs.of_layers, builder.losses, strict=True)
    ]
    picks = allocate(choices, limit - costs.of_rest)
    return [options[k] for options, k in zip(builder.factorizations, picks, strict=True)]


def cost_of(builder: StudentBuilder, costs: Costs, factorizations: Sequence[Factorization]) -> int:
    """Return what the model costs with its layers in some of their factorizations."""
    places = [
        options.index(chosen)
        for options, chosen in zip(builder.factorizations, factorizations, strict=True)
    ]
    of_layers = (each[place] for each, place in zip(costs.of_layers, places, strict=True))
    return round(costs.of_rest + sum(of_layers))
