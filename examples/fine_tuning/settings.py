"""Settings of a run."""

import inspect
import math
from dataclasses import asdict, dataclass, fields
from typing import Any, Self

import dart_keras as dk
from dart_keras import adapters

METHODS: dict[str, type[adapters.Method]] = {
    name: kind
    for name in adapters.__all__
    if inspect.isclass(kind := getattr(adapters, name))
    and issubclass(kind, adapters.Method)
    and not inspect.isabstract(kind)
}
# Without adapters: all weights are trained, or those of the head.
FULL, HEAD_ALONE = "full", "head"


@dataclass(frozen=True)
class Settings:
    """All settings that determine a run.

    Attributes:
        task: A key of `TASKS`.
        preset: Name or folder of the pretrained model, `None` for the default of the task.
        method: A key of `METHODS`, `"full"` or `"head"`.
        rank: Rank of the adapters, `None` for the method's own.
        alpha: How strongly adapters act, `None` for the method's own.
        layers: Which layers get adapters: ends of paths.
        learning_rate: Peak of the schedule.
        epochs: Number of epochs.
        batch: Rows a step, or windows of a text.
        length: The most tokens of a row, or those of a window.
        precision: The pretrained model's dtype policy while training. Adapters stay float32.
        limit: Number of training rows or windows, `None` for all.
        seed: Random seed of the choice of rows, their order, weights and dropout.
        parameters: Parameters of all TT adapters together, for learned ranks.
        loss_increase: Or how much larger the loss may become.
        input_modes: Factors of the adapted kernels' rows, `None` for the method's own.
        output_modes: Factors of their columns, likewise.
    """

    task: str
    preset: str | None
    method: str
    rank: int | None
    alpha: float | None
    layers: tuple[str, ...]
    learning_rate: float
    epochs: int
    batch: int
    length: int
    precision: str
    limit: int | None
    seed: int
    parameters: int | None
    loss_increase: float | None
    input_modes: tuple[int, ...] | None = None
    output_modes: tuple[int, ...] | None = None

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Self:
        lists = {name: tuple(each) for name, each in values.items() if isinstance(each, list)}
        return cls(**{**values, **lists})

    def __post_init__(self) -> None:
        given = {"--rank": self.rank, "--alpha": self.alpha}
        given |= {"--parameters": self.parameters, "--loss-increase": self.loss_increase}
        given |= {"--input-modes": self.input_modes, "--output-modes": self.output_modes}
        names = [name for name, value in given.items() if value is not None]
        if names and not self.has_adapters:
            raise ValueError(
                f"Expected --method {self.method} without options of adapters. Received: "
                f"{', '.join(names)}"
            )

    @property
    def has_adapters(self) -> bool:
        return self.method in METHODS

    def adapter_method(self) -> adapters.Method:
        """Return the method.

        Raises:
            ValueError: If a setting is given that it has not, or that it refuses.
        """
        kind = METHODS[self.method]
        known = {each.name for each in fields(kind)}  # type: ignore[arg-type]
        options = {"rank": self.rank, "alpha": self.alpha}
        options |= {"input_modes": self.input_modes, "output_modes": self.output_modes}
        given: dict[str, Any] = {name: each for name, each in options.items() if each is not None}
        if unknown := [name for name in given if name not in known]:
            raise ValueError(
                f"Expected --{unknown[0].replace('_', '-')} with a method that has it. Received: "
                f"--method {self.method}, with the settings {sorted(known)}"
            )
        if "seed" in known:
            given["seed"] = self.seed
        if kind is adapters.AdaLoRA and self.rank is not None:
            # As in its paper, it begins with half as many more ranks as are left at the end.
            given |= {"rank": math.ceil(1.5 * self.rank), "target_rank": self.rank}
        return kind(**given)

    def allocation(self) -> dk.callbacks.AdaLoRAAllocation | None:
        """Return the callback that AdaLoRA needs, if that is the method."""
        return dk.callbacks.AdaLoRAAllocation() if self.method == "AdaLoRA" else None

    def discretization(self) -> dk.callbacks.RankDiscretization | None:
        """Return the callback that learns the ranks, if they are to be learned."""
        if self.parameters is not None:
            return dk.callbacks.RankDiscretization(dk.budgets.Parameters(self.parameters))
        if self.loss_increase is not None:
            return dk.callbacks.RankDiscretization(dk.budgets.LossIncrease(self.loss_increase))
        return None

    def check_same(self, values: dict[str, Any], where: object) -> None:
        """Check that these are the settings of a run that there is already.

        Args:
            values: The settings of that run, from `to_json`.
            where: Its place.

        Raises:
            ValueError: If they differ.
        """
        mine, its = self.to_json(), type(self).from_json(values).to_json()
        if differences := [name for name in mine if mine[name] != its[name]]:
            raise ValueError(
                f"Expected the settings of the run in {where}, or another folder. Received: "
                + ", ".join(
                    f"{name}={mine[name]!r} where the run has {its[name]!r}" for name in differences
                )
            )
