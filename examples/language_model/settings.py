"""All that decides how a run goes and how it ends."""

from dataclasses import asdict, dataclass
from typing import Any, Self

import dart_keras as dk
from examples.language_model.architecture import Architecture

REGULARIZERS = {
    "group-lasso": dk.regularizers.GroupLasso,
    "nuclear": dk.regularizers.NuclearNorm,
    "log-det": dk.regularizers.LogDet,
}
SELECTIONS = ("threshold", "energy", "budget", "gumbel", "none")


@dataclass(frozen=True)
class Settings:
    """A run.

    Args:
        dataset: The name of the corpus.
        architecture: The model that it begins with.
        epochs: How often it sees the text.
        batch: Windows a step, over all replicas.
        learning_rate: The peak of the schedule.
        projection_rate: The share of it that the projections get.
        weight_decay: Of AdamW.
        dropout: The share of numbers left out.
        regularizer: A key of `REGULARIZERS`.
        lambda_reg: The strength of the rank regularizer, or of the cost of Gumbel-Softmax gates.
        selection: One of `SELECTIONS`; `"none"` for no cut.
        threshold: The share of the largest singular value that `"threshold"` cuts at, or the
            relative error that `"energy"` allows.
        parameters: How many numbers `"budget"` leaves to all tensor trains.
        table_parameters: How many of them to the table; `None` to leave it to the selection.
        cut_epoch: After how many epochs to cut at the latest.
        converged: Whether to cut as soon as the ranks have come to rest.
        seed: Of weights, batches and dropout.
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
    lambda_reg: float
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
        self, calibration_data: Any = None
    ) -> dk.callbacks.RankDiscretization | None:
        """The cut, if there is one.

        Args:
            calibration_data: Batches by which a budget is given out.
        """
        if self.selection == "none":
            return None
        selection = {
            "threshold": lambda: dk.selection.Threshold(self.threshold),
            "energy": lambda: dk.selection.Energy(self.threshold),
            "budget": lambda: self._budget(calibration_data),
            "gumbel": lambda: dk.selection.GumbelSoftmax(self.lambda_reg, seed=self.seed),
        }[self.selection]()
        return dk.callbacks.RankDiscretization(
            selection, epoch=self.cut_epoch, when="converged" if self.converged else None
        )

    def _budget(self, calibration_data: Any) -> dk.selection.Selection:
        def budget(parameters: int | None) -> dk.selection.Budget:
            return dk.selection.Budget(parameters, calibration_data=calibration_data)

        if self.table_parameters is None:
            return budget(self.parameters)
        rest = self.parameters - self.table_parameters
        return dk.selection.SelectionMap(budget(rest), {"table_.*": budget(self.table_parameters)})

    def rank_regularizer(self) -> dk.regularizers.RankRegularizer | None:
        """What presses on the ranks, where gates do not."""
        if self.lambda_reg == 0 or self.selection == "gumbel":
            return None
        return REGULARIZERS[self.regularizer](self.lambda_reg)

    def differences(self, other: Self) -> dict[str, tuple[Any, Any]]:
        """By name, the values that differ, this run's first."""
        mine, others = self._flat(), other._flat()
        return {name: (mine[name], others[name]) for name in mine if mine[name] != others[name]}

    def _flat(self) -> dict[str, Any]:
        values = asdict(self)
        return {**values.pop("architecture"), **values}
