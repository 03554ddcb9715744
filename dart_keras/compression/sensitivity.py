"""What each layer loses at each rank, by itself."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras

from dart_keras.compression.calibration.batches import CalibrationBatches
from dart_keras.compression.calibration.counted_outputs import CountedOutputs, OutputChoice
from dart_keras.compression.calibration.layer_statistics import calibration_statistics
from dart_keras.compression.compressible import (
    CompressibleLayer,
    Factorization,
    LayerFilter,
    find_compressible_layers,
)
from dart_keras.compression.search.student import MeasuredLoss, StudentBuilder
from dart_keras.compression.sensitivity_plot import draw_heat_map
from dart_keras.model_surgery.finite_weights import check_no_nans
from dart_keras.utils.progress import progress
from dart_keras.utils.random_state import keeping_random_state
from dart_keras.utils.table import Table, Tabular

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Columns of the heat map: shares of the layer's parameters, each half of the one before.
_SHARES = tuple(0.5**k for k in range(1, 8))
# A factorization with a tenth more parameters than a share still counts for it.
_NEARLY = 1.1


@dataclass(frozen=True)
class Measurement:
    """One layer in one of its factorizations, all others being as they were.

    Attributes:
        name: The names that lead to the layer.
        factorization: The factorization.
        error: The relative error of its outputs, a root of mean squares.
        end_error: The relative error of the model's outputs, a root of mean squares.
    """

    name: str
    factorization: Factorization
    error: float
    end_error: float


@dataclass(frozen=True, repr=False)
class Sensitivity(Tabular):
    """A table of measurements that prints itself.

    Attributes:
        model: The model's name.
        rows: The measurements, layer by layer, the fewest parameters first.
        parameters: The parameters of each layer as it is, by name.
    """

    model: str
    rows: tuple[Measurement, ...]
    parameters: dict[str, int]

    def of(self, name: str) -> list[Measurement]:
        """Return the measurements of one layer.

        Args:
            name: The names that lead to the layer, such as "encoder/attention/query".
        """
        return [row for row in self.rows if row.name == name]

    def as_table(self) -> Table:
        """Return one row for each measurement."""
        return Table(
            ("layer", "factorization", "ranks", "before", "after", "error", "model output error"),
            "lllrrrr",
            [
                (
                    row.name,
                    row.factorization.kind,
                    _ranks(row.factorization),
                    f"{self.parameters[row.name]:,}",
                    f"{row.factorization.parameters:,}",
                    f"{row.error:.2%}",
                    f"{row.end_error:.2%}",
                )
                for row in self.rows
            ],
            title=f"Model {self.model!r}: one layer compressed at a time",
            groups=("", "", "", "parameters", "parameters", "", ""),
        )

    def as_dict(self) -> dict[str, Any]:
        """Return a dict of all of it that JSON can hold."""
        rows = [
            {**asdict(row), "factorization": {**found._asdict(), "ranks": list(found.ranks)}}
            for row in self.rows
            for found in [row.factorization]
        ]
        return {"model": self.model, "rows": rows, "parameters": self.parameters}

    def plot(self, path: str | Path | None = None) -> "Figure":
        """Draw a heat map: the model output error by layer and by the parameters that it keeps.

        Args:
            path: Where to write the picture; its suffix says in which format. `None` not to.

        Returns:
            The figure.

        Raises:
            ImportError: If matplotlib is not installed.
        """
        errors = {
            name: [self._least_error(name, share * count * _NEARLY) for share in _SHARES]
            for name, count in self.parameters.items()
        }
        columns = [f"1/{round(1 / share)}" for share in _SHARES]
        title = f"{self.model}: model output error with one layer compressed"
        return draw_heat_map(title, errors, columns, "share of the layer's parameters kept", path)

    def _least_error(self, name: str, parameters: float) -> float:
        errors = (r.end_error for r in self.of(name) if r.factorization.parameters <= parameters)
        return min(errors, default=math.nan)


@keeping_random_state()
def sensitivity(
    model: keras.Model,
    calibration_data: Any,
    *,
    layers: LayerFilter | Sequence[LayerFilter] | None = None,
    outputs: OutputChoice | None = None,
) -> Sensitivity:
    """Measure what each layer of a model loses at different ranks, all others being as they are.

    Such profiles show what to compress how far (Tomut et al. 2024, "CompactifAI: extreme
    compression of large language models using quantum-inspired tensor networks"). `compress` takes
    the table in place of its own estimates, which come from derivatives of the model's outputs.

    Args:
        model: A built model. It is left as it is.
        calibration_data: Inputs, as for `compress`.
        layers: Which layers to measure, as for `candidates`.
        outputs: Which outputs of the model matter, as for `compress`.

    Returns:
        The table.

    Raises:
        TypeError: As from `compress`.
        ValueError: As from `compress`.

    Example:
        >>> import numpy as np
        >>> model = keras.Sequential([keras.Input((64,)), keras.layers.Dense(64, name="only")])
        >>> rows = np.random.default_rng(0).normal(size=(100, 64)).astype("float32")
        >>> table = sensitivity(model, rows)
        >>> table.of("only")[0].end_error > table.of("only")[-1].end_error
        True
    """
    compressibles, found = find_compressible_layers(model, layers)
    check_no_nans(model)
    counted = CountedOutputs(model, outputs)
    data = CalibrationBatches(model, calibration_data)
    known = data.some, found, counted, data.places
    statistics = calibration_statistics(model, compressibles, *known)
    builder = StudentBuilder(model, compressibles, statistics)
    rows = []
    work = [
        (k, each) for k, options in enumerate(builder.factorizations) for each in _spread(options)
    ]
    for k, factorization in progress(work, "measuring layers"):
        factorizations = [
            factorization if i == k else options[-1]
            for i, options in enumerate(builder.factorizations)
        ]
        fitted = builder.fit(factorizations, refit=False)
        # It is one layer that is replaced, so it is measured.
        end = builder.end_errors(fitted, statistics)[k] or 0.0
        errors = math.sqrt(fitted[k].error), math.sqrt(end)
        rows.append(Measurement(compressibles[k].path, factorization, *errors))
    return Sensitivity(
        model.name, tuple(rows), {each.path: each.dense.parameters for each in compressibles}
    )


def measured_losses(
    sensitivity: Sensitivity, compressibles: Sequence[CompressibleLayer]
) -> list[list[MeasuredLoss]]:
    """Return for each layer the factorizations that were measured, with their losses.

    Raises:
        ValueError: If the table is not one of these layers.
    """
    names = [each.path for each in compressibles]
    sizes = {each.path: each.dense.parameters for each in compressibles}
    if not isinstance(sensitivity, Sensitivity) or any(
        sensitivity.parameters.get(name) != sizes[name] for name in names
    ):
        raise ValueError(
            f"Expected the `sensitivity` of the layers {names}. Received: {sensitivity!r}"
        )
    return [
        [(row.factorization, row.end_error**2) for row in sensitivity.of(name)] for name in names
    ]


def _spread(factorizations: Sequence[Factorization]) -> list[Factorization]:
    """Return the least harmful factorizations at each halving of the layer's parameters."""
    *others, dense = factorizations
    found = []
    for share in reversed(_SHARES):
        within = [each for each in others if each.parameters <= share * dense.parameters]
        if within:
            found.append(min(within, key=lambda each: each.error))
    return list(dict.fromkeys(found))


def _ranks(factorization: Factorization) -> str:
    return "-".join("*" if rank is None else str(rank) for rank in factorization.ranks)
