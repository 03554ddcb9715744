"""What a search tries: values of some settings, the same for every tuner."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from itertools import product
from typing import Any

import keras
import numpy as np

from dart_keras.adapters.adapted_layer import adapted_layers_in
from dart_keras.tensor_train.modes import balanced_modes
from examples.fine_tuning.settings import FULL, METHODS, Settings

# Those of the TT-LoRA paper (arXiv:2408.01008) and some beside them.
_RANKS, _ALPHAS = (2, 4, 5, 8), (1.0, 4.0, 16.0)
_LEARNING_RATES = (5e-4, 1e-3, 2e-3, 5e-3)
_FULL_LEARNING_RATES = (1e-5, 2e-5, 5e-5, 1e-4)
_FACTORS = (2, 3, 4)
# In labels of modes: the method chooses them.
_OWN = "own"


@dataclass(frozen=True)
class SearchSpace:
    """The settings among which a search chooses.

    Attributes:
        base: The settings that all trials share. Its epochs are the most of a trial.
        choices: By name of what is chosen (`modes`, `rank`, `alpha`, `learning_rate`), its values,
            which are JSON-serializable. Modes are a text such as "12x8x8 8x8x12": those of the
            rows, then those of the columns.
    """

    base: Settings
    choices: dict[str, list[Any]]

    @property
    def size(self) -> int:
        """How many combinations of values there are."""
        return math.prod(len(values) for values in self.choices.values())

    def settings(self, values: dict[str, Any]) -> Settings:
        """Return the settings of a trial.

        Args:
            values: By name of what is chosen, a value of it. Other names are ignored.
        """
        chosen = {name: values[name] for name in self.choices}
        if (label := chosen.pop("modes", None)) is not None:
            rows, columns = (_modes(each) for each in label.split())
            chosen |= {"input_modes": rows, "output_modes": columns}
        return replace(self.base, **chosen)

    def sample(self, count: int) -> list[dict[str, Any]]:
        """Return different combinations of values in random order.

        Args:
            count: How many there are at most.
        """
        every = list(product(*self.choices.values()))
        order = np.random.default_rng(self.base.seed).permutation(len(every))[:count]
        return [dict(zip(self.choices, every[place], strict=True)) for place in order]

    def extremes(self) -> list[Settings]:
        """Return settings that say whether all can be built: the largest rank with all modes."""
        largest = {name: max(v) for name, v in self.choices.items() if name != "modes"}
        labels = self.choices.get("modes", [None])
        return [self.settings({**largest, "modes": label}) for label in labels]


def search_space(
    base: Settings,
    model: keras.Model,
    ranks: Sequence[int] | None = None,
    alphas: Sequence[float] | None = None,
    learning_rates: Sequence[float] | None = None,
    factors: Sequence[int] | None = None,
) -> SearchSpace:
    """Return the space of a method, which has only what the method has.

    Args:
        base: The settings that all trials share.
        model: A model of these, to find the modes for its layers.
        ranks: The ranks; usual ones if not given.
        alphas: The values of alpha, likewise.
        learning_rates: The peaks of the schedule, likewise.
        factors: How many factors the modes of a side have, likewise.

    Raises:
        ValueError: If values are given that the method has not, or no modes have so many factors.
    """
    kind = METHODS.get(base.method)
    known = set() if kind is None else {each.name for each in fields(kind)}  # type: ignore[arg-type]
    has_modes = "input_modes" in known
    given = {"--ranks": ranks, "--alphas": alphas, "--factors": factors}
    has = {"--ranks": "rank" in known, "--alphas": "alpha" in known, "--factors": has_modes}
    if missing := [name for name, values in given.items() if values and not has[name]]:
        raise ValueError(
            f"Expected {missing[0]} with a method that has it. Received: --method {base.method}, "
            f"with the settings {sorted(known)}"
        )
    choices: dict[str, list[Any]] = {}
    if has_modes:
        choices["modes"] = _labels(model, tuple(factors or _FACTORS), is_asked=bool(factors))
    if has["--ranks"]:
        choices["rank"] = _distinct(ranks or _RANKS)
    if has["--alphas"]:
        choices["alpha"] = _distinct(alphas or _ALPHAS)
    usual = _FULL_LEARNING_RATES if base.method == FULL else _LEARNING_RATES
    choices["learning_rate"] = _distinct(learning_rates or usual)
    return SearchSpace(base, choices)


def _labels(model: keras.Model, factors: tuple[int, ...], is_asked: bool) -> list[str]:
    """Return the modes to choose from: balanced ones, with some numbers of factors.

    A method takes one list of modes a side for all layers. Where the sizes of the layers differ,
    the method chooses for each.
    """
    shapes = {
        adapter.kernel.shape
        for layer in adapted_layers_in(model)
        for adapter in layer.adapters.values()
        if hasattr(adapter, "kernel")
    }
    rows, columns = ({shape[side] for shape in shapes} for side in (0, 1))
    labels = []
    for count in factors:
        # Larger factors are cheap at the ends, where the ranks are small.
        label = f"{_label(rows, count, descending=True)} {_label(columns, count)}"
        if label != f"{_OWN} {_OWN}":
            labels.append(label)
    if not labels and is_asked:
        raise ValueError(
            f"Expected --factors that the sizes of the kernels have: {sorted(shapes)}. "
            f"Received: {list(factors)}"
        )
    return _distinct(labels) or [f"{_OWN} {_OWN}"]


def _label(sizes: set[int], count: int, descending: bool = False) -> str:
    if len(sizes) != 1:
        return _OWN
    modes = balanced_modes(*sizes, count)
    if 1 in modes:
        return _OWN
    return "x".join(map(str, modes[::-1] if descending else modes))


def _modes(label: str) -> tuple[int, ...] | None:
    return None if label == _OWN else tuple(int(each) for each in label.split("x"))


def _distinct(values: Sequence[Any]) -> list[Any]:
    return list(dict.fromkeys(values))
