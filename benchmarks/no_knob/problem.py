"""What a problem is: data, a model whose layers are dense or TT, and how both are trained."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import keras
import numpy as np

import dart_keras as dk
from benchmarks.no_knob.metrics import Metric
from dart_keras.callbacks.tt_layers import tt_layers_in
from dart_keras.tensor_train.ranks import Ranks, complete_ranks, count_parameters


@dataclass(frozen=True)
class Rows:
    """Inputs and targets, with as many rows each."""

    x: np.ndarray
    y: np.ndarray

    def __getitem__(self, rows: Any) -> "Rows":
        return Rows(self.x[rows], self.y[rows])

    def __len__(self) -> int:
        return len(self.x)


@dataclass(frozen=True)
class Data:
    """The rows of a problem, and what they are, in words."""

    name: str
    training: Rows
    validation: Rows
    test: Rows


@dataclass(frozen=True)
class Layers:
    """What a model's large layers are: dense, or TT layers of these ranks.

    Attributes:
        dense: Whether they are Keras's own.
        ranks: Initial ranks of all layers or by layer name; `None` for the layers' default.
        rank_regularizer: Rank regularizer of every layer.
    """

    dense: bool = False
    ranks: Ranks | Mapping[str, Ranks] | None = None
    rank_regularizer: dk.regularizers.RankRegularizer | None = None

    def make_dense(
        self, units: int, name: str, activation: str | None = None, **options: Any
    ) -> keras.Layer:
        """Return a `Dense`, or a `TTDense` with further options."""
        if self.dense:
            return keras.layers.Dense(units, activation, name=name)
        return dk.layers.TTDense(units, activation=activation, **self._options(name), **options)

    def make_embedding(self, words: int, width: int, name: str) -> keras.Layer:
        """Return an `Embedding` or a `TTEmbedding`, with id 0 as padding."""
        if self.dense:
            return keras.layers.Embedding(words, width, mask_zero=True, name=name)
        return dk.layers.TTEmbedding(words, width, mask_zero=True, **self._options(name))

    def _options(self, name: str) -> dict[str, Any]:
        ranks = self.ranks[name] if isinstance(self.ranks, Mapping) else self.ranks
        given = {} if ranks is None else {"ranks": ranks}
        return {"name": name, "rank_regularizer": self.rank_regularizer, **given}


def adam_with_decay(
    problem: "Problem", model: keras.Model, rate: float, epochs: int, steps: int
) -> keras.optimizers.Optimizer:
    """Return AdamW with a cosine decay over the whole run."""
    schedule = keras.optimizers.schedules.CosineDecay(rate, epochs * steps)
    return keras.optimizers.AdamW(schedule, problem.weight_decay)


@dataclass(frozen=True)
class Problem:
    """Data, models and settings of training that are the same for all ways to find ranks.

    Attributes:
        name: Name on the command line.
        title: What it is, in a few words.
        load: From the folder of data sets, if there is one, and a seed to the data.
        build: The model, with its large layers as told.
        loss: Makes the loss.
        metric: What counts at the end.
        epochs: Number of epochs.
        batch: Rows a step.
        dense_rate: Peak learning rate of the dense model.
        tt_rate: Peak learning rate of all models with TT layers.
        initial_rank: Initial rank where a way needs one.
        target: Parameters of all cores that ways by size may use.
        strength: A rank regularizer's strength in the middle of those that the oracle tries.
        weight_decay: Weight decay of AdamW.
        optimizer: Makes the optimizer for a model, a learning rate, the epochs and their steps.
        regularizer: Rank regularizer of the oracle.
        jit: Whether XLA compiles the steps.
        keep_best: Whether the dense model is that of its best epoch.
    """

    name: str
    title: str
    load: Callable[[Path | None, int], Data]
    build: Callable[[Layers], keras.Model]
    loss: Callable[[], keras.losses.Loss]
    metric: Metric
    epochs: int
    batch: int
    dense_rate: float
    tt_rate: float
    initial_rank: int
    target: int
    strength: float
    weight_decay: float = 0.0
    optimizer: Callable[..., keras.optimizers.Optimizer] = adam_with_decay
    regularizer: type[dk.regularizers.RankRegularizer] = dk.regularizers.NuclearNorm
    jit: bool = False
    keep_best: bool = False

    def size_at(self, ranks: Ranks) -> int:
        """Return the parameters of all cores if every layer has these ranks."""
        return sum(_parameters(*modes, ranks) for modes in self._modes().values())

    def uniform_rank(self, target: int) -> int:
        """Return the largest rank of all bonds whose cores are within the target.

        Raises:
            ValueError: If the target is below the size at rank 1.
        """
        if self.size_at(1) > target:
            raise ValueError(
                f"Expected a target of at least {self.size_at(1):,} parameters, the size at rank "
                f"1. Received: {target:,}"
            )
        return _largest(lambda rank: self.size_at(rank) <= target)

    def break_even_ranks(self) -> dict[str, int]:
        """Return by layer the largest rank at which it is no larger than a dense one."""
        return {
            name: _largest(
                lambda rank, modes=modes: (
                    _parameters(*modes, rank) <= np.prod(modes[0]) * np.prod(modes[1])
                )
            )
            for name, modes in self._modes().items()
        }

    def _modes(self) -> dict[str, tuple[tuple[int, ...], tuple[int, ...]]]:
        return _modes_of(self.build)


@lru_cache
def _modes_of(build: Callable[[Layers], keras.Model]) -> dict[str, Any]:
    layers = tt_layers_in(build(Layers(ranks=1)))
    return {layer.name: (layer.input_modes, layer.output_modes) for layer in layers}


def _parameters(input_modes: tuple[int, ...], output_modes: tuple[int, ...], ranks: Ranks) -> int:
    full = complete_ranks(ranks, input_modes, output_modes)
    return count_parameters(input_modes, output_modes, full)


def _largest(fits: Callable[[int], bool]) -> int:
    # Ranks are clipped, so that a size may stop growing.
    rank = 1
    while rank < 1024 and fits(rank + 1):
        rank += 1
    return rank
