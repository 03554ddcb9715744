"""What a model costs, layer by layer."""

import math
from dataclasses import dataclass
from typing import Any

import keras

from dart_keras.layers.tt_layer import TTLayer
from dart_keras.private_apis import flatten_layers


@dataclass(frozen=True)
class LayerCost:
    """One row of a `ModelSummary`.

    Args:
        name: The layer's name.
        type: The layer's class.
        modes: Input and output modes of a TT layer, as text; empty for others.
        ranks: All d + 1 ranks of a TT layer; empty for others.
        parameters: How many numbers the layer holds.
        dense_parameters: How many its dense twin would hold.
    """

    name: str
    type: str
    modes: str
    ranks: tuple[int, ...]
    parameters: int
    dense_parameters: int


@dataclass(frozen=True)
class ModelSummary:
    """A table of costs that prints itself.

    Args:
        model_name: The model's name.
        layers: One row for each layer that holds weights.
    """

    model_name: str
    layers: tuple[LayerCost, ...]

    @property
    def parameters(self) -> int:
        """How many numbers the model holds."""
        return sum(layer.parameters for layer in self.layers)

    @property
    def dense_parameters(self) -> int:
        """How many it would hold with dense matrices in the place of its tensor trains."""
        return sum(layer.dense_parameters for layer in self.layers)

    def __str__(self) -> str:
        header = ("layer", "type", "modes", "ranks", "parameters", "dense", "smaller by")
        rows = [
            (
                layer.name,
                layer.type,
                layer.modes,
                "-".join(map(str, layer.ranks)),
                f"{layer.parameters:,}",
                f"{layer.dense_parameters:,}",
                _factor(layer.dense_parameters, layer.parameters),
            )
            for layer in self.layers
        ]
        total = (
            "total",
            "",
            "",
            "",
            f"{self.parameters:,}",
            f"{self.dense_parameters:,}",
            _factor(self.dense_parameters, self.parameters),
        )
        table = [header, *rows, total]
        widths = [max(len(row[i]) for row in table) for i in range(len(header))]

        def line(row: tuple[str, ...]) -> str:
            cells = (
                # Numbers to the right, words to the left.
                cell.rjust(width) if i >= 4 else cell.ljust(width)
                for i, (cell, width) in enumerate(zip(row, widths, strict=True))
            )
            return "  ".join(cells).rstrip()

        rule = "-" * len(line(header))
        return "\n".join(
            [f"Model {self.model_name!r}", line(header), rule, *map(line, rows), rule, line(total)]
        )


def summary(model: keras.Model) -> ModelSummary:
    """Print what each layer of a model costs, beside what its dense twin would.

    Args:
        model: A built Keras model; layers at any depth are shown, shared ones once.

    Returns:
        The table as a `ModelSummary`, for programs.

    Raises:
        ValueError: If the model is not built.

    Example:
        >>> import dart_keras as dk
        >>> model = keras.Sequential([
        ...     keras.Input((784,)),
        ...     dk.layers.TTDense(1024, ranks=4, name="hidden"),
        ...     keras.layers.Dense(10, name="logits"),
        ... ], name="small")
        >>> costs = dk.summary(model)
        Model 'small'
        layer   type     modes        ranks  parameters    dense  smaller by
        --------------------------------------------------------------------
        hidden  TTDense  28x28/32x32  1-4-1       8,192  803,840        98.1
        logits  Dense                            10,250   10,250         1.0
        --------------------------------------------------------------------
        total                                    18,442  814,090        44.1
    """
    table = model_costs(model)
    print(table)
    return table


def model_costs(model: keras.Model) -> ModelSummary:
    """Does what `summary` does, but for the printing."""
    if not model.built:
        raise ValueError(f"Expected a built model. Received: {model!r}; call it on data first")
    rows = [_cost(layer) for layer in flatten_layers(model) if _own_parameters(layer)]
    return ModelSummary(model.name, tuple(rows))


def _own_parameters(layer: keras.Layer) -> int:
    # Not those of sublayers, which have rows of their own.
    nested = {id(v) for inner in flatten_layers(layer) for v in inner.weights}
    return sum(math.prod(v.shape) for v in layer.weights if id(v) not in nested)


def _cost(layer: keras.Layer) -> LayerCost:
    parameters = _own_parameters(layer)
    if not isinstance(layer, TTLayer):
        return LayerCost(layer.name, type(layer).__name__, "", (), parameters, parameters)
    in_cores = sum(math.prod(core.shape) for core in layer.cores)
    dense = math.prod(layer.matrix_shape)
    modes = "/".join("x".join(map(str, m)) for m in (layer.input_modes, layer.output_modes))
    return LayerCost(
        layer.name,
        type(layer).__name__,
        modes,
        layer.ranks,
        parameters,
        parameters - in_cores + dense,
    )


def _factor(dense: Any, parameters: Any) -> str:
    return f"{dense / parameters:.1f}" if parameters else ""
