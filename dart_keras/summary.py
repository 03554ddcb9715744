"""What a model costs, layer by layer."""

import math
from dataclasses import dataclass

import keras
import rich.console
import rich.text

from dart_keras.layers.tt_layer import TTLayer
from dart_keras.private_apis import flatten_layers
from dart_keras.utils.table import Table

# Counts, ranks as 1-4-1 and modes as 28x28/32x32, but not the digits of a layer's name.
_NUMBER = r"(?<= )\d[\d,.x/-]*(?= |$|\n)"


@dataclass(frozen=True)
class LayerCost:
    """One row of a `ModelSummary`.

    Attributes:
        name: The layer's name.
        type: The layer's class.
        modes: Input and output modes of a TT layer, as text; empty for others.
        ranks: All d + 1 ranks of a TT layer; empty for others.
        parameters: The number of parameters of the layer.
        dense_parameters: That of its dense equivalent.
    """

    name: str
    type: str
    modes: str
    ranks: tuple[int, ...]
    parameters: int
    dense_parameters: int


@dataclass(frozen=True, repr=False)
class ModelSummary:
    """What a model costs, layer by layer; `print` shows it as a table.

    Attributes:
        model_name: The model's name.
        layers: One row for each layer that holds weights.
    """

    model_name: str
    layers: tuple[LayerCost, ...]

    @property
    def parameters(self) -> int:
        """The number of parameters of the model."""
        return sum(layer.parameters for layer in self.layers)

    @property
    def dense_parameters(self) -> int:
        """The number of parameters with dense matrices in place of TT matrices."""
        return sum(layer.dense_parameters for layer in self.layers)

    def __str__(self) -> str:
        return str(self.as_table())

    def __repr__(self) -> str:
        # Short, because `summary` has just printed the whole table where this is shown.
        return (
            f"ModelSummary({self.model_name!r}: {self.parameters:,} parameters, "
            f"{self.dense_parameters:,} as dense layers)"
        )

    def as_table(self) -> Table:
        """Return one row for each layer, and the total."""
        return Table(
            ("layer", "type", "modes", "ranks", "parameters", "dense", "smaller by"),
            "llllrrr",
            [
                (
                    layer.name,
                    layer.type,
                    layer.modes,
                    "-".join(map(str, layer.ranks)),
                    *_sizes(layer.parameters, layer.dense_parameters),
                )
                for layer in self.layers
            ],
            title=f"Model {self.model_name!r}",
            total=("total", "", "", "", *_sizes(self.parameters, self.dense_parameters)),
        )


def summary(model: keras.Model) -> ModelSummary:
    """Print the modes, ranks and parameters of each layer of a model, beside its dense equivalent.

    Numbers and layer types have the colours of `keras.Model.summary`, which does not show ranks.

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
    costs = model_costs(model)
    _print(costs)
    return costs


def model_costs(model: keras.Model) -> ModelSummary:
    """Do what `summary` does, but for the printing."""
    if not model.built:
        raise ValueError(f"Expected a built model. Received: {model!r}; call it on data first")
    rows = [_cost(layer) for layer in flatten_layers(model) if _own_parameters(layer)]
    return ModelSummary(model.name, tuple(rows))


def _print(costs: ModelSummary) -> None:
    text = rich.text.Text(str(costs))
    text.highlight_regex(r"^Model .*", "bold")
    text.highlight_regex(_NUMBER, "color(34)")
    text.highlight_words({layer.type for layer in costs.layers}, "color(33)")
    # In a pipe a console would wrap the lines of the table after 80 columns.
    rich.console.Console(highlight=False).print(text, soft_wrap=True)


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


def _sizes(parameters: int, dense: int) -> tuple[str, str, str]:
    return f"{parameters:,}", f"{dense:,}", f"{dense / parameters:.1f}" if parameters else ""
