"""Settings of a training run."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

import keras

import dart_keras as dk
from examples.language_model.architecture import Architecture

REGULARIZERS = {
    "group-lasso": dk.regularizers.GroupLasso,
    "nuclear": dk.regularizers.NuclearNorm,
    "log-det": dk.regularizers.LogDet,
}
SELECTIONS = ("threshold", "error", "budget", "size", "gumbel", "none")


@dataclass(frozen=True)
class Settings:
    """All settings that determine a run.

    Attributes:
        dataset: Name of the corpus.
        architecture: The model at the start of training.
        epochs: Number of epochs.
        batch: Windows per step, over all replicas.
        learning_rate: Peak of the schedule.
        projection_rate: Learning rate of the projections, as a share of `learning_rate`.
        weight_decay: Weight decay of AdamW.
        dropout: Dropout rate.
        regularizer: A key of `REGULARIZERS`.
        strength: Strength of the rank regularizer, or of the cost of Gumbel-Softmax gates.
        selection: One of `SELECTIONS`; `"none"` for no truncation.
        threshold: Smallest singular value that `"threshold"` keeps, as a share of the largest one,
            or the relative error that `"error"` allows.
        parameters: Parameters that `"budget"` and `"size"` leave to all TT layers.
        table_parameters: Part of them for the table; `None` to leave it to the selection.
        cut_epoch: Number of epochs after which to truncate at the latest; `"size"` finds it.
        converged: Whether to truncate once the ranks have converged.
        seed: Random seed of weights, batches and dropout.
    """

    dataset: str
    architecture: Architecture
    epochs: int
    batch: int
    learning_rate: float
    projection_rate: float
    weight_decay: float
    dropout: float
    regularizer: str
    strength: float
    selection: str
    threshold: float
    parameters: int | None
    table_parameters: int | None
    cut_epoch: int
    converged: bool
    seed: int

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Self:
        return cls(**{**values, "architecture": Architecture.from_json(values["architecture"])})

    def discretization(
        self, calibration_data: Any = None, restarts: Sequence[keras.callbacks.Callback] = ()
    ) -> dk.callbacks.RankDiscretization | None:
        """Return the callback that truncates the ranks, if there is one.

        Args:
            calibration_data: Batches for the allocation of a budget.
            restarts: Callbacks that start over after a truncation.
        """
        if self.selection == "none":
            return None
        selection = {
            "threshold": lambda: dk.selection.Threshold(self.threshold),
            "error": lambda: dk.budgets.RelativeError(self.threshold),
            "budget": self._budget,
            "size": self._budget,
            "gumbel": lambda: dk.selection.GumbelSoftmax(self.strength, seed=self.seed),
        }[self.selection]()
        return dk.callbacks.RankDiscretization(
            selection,
            epoch=None if self.selection == "size" else self.cut_epoch,
            when="converged" if self.converged else None,
            calibration_data=calibration_data,
            restarts=restarts,
        )

    def _budget(self) -> dk.selection.SelectionMap | dk.budgets.Parameters:
        if self.table_parameters is None:
            return dk.budgets.Parameters(self.parameters)
        rest = dk.budgets.Parameters(self.parameters - self.table_parameters)
        table = dk.budgets.Parameters(self.table_parameters)
        return dk.selection.SelectionMap(rest, {"table_.*": table})

    def rank_regularizer(self) -> dk.regularizers.RankRegularizer | None:
        """Return the rank regularizer, unless gates regularize the ranks."""
        if self.strength == 0 or self.selection == "gumbel":
            return None
        return REGULARIZERS[self.regularizer](self.strength)

    def differences(self, other: Self) -> dict[str, tuple[Any, Any]]:
        """Return pairs of values that differ, by name, this run's value first."""
        mine, others = self._flat(), other._flat()
        return {name: (mine[name], others[name]) for name in mine if mine[name] != others[name]}

    def _flat(self) -> dict[str, Any]:
        values = asdict(self)
        return {**values.pop("architecture"), **values}
