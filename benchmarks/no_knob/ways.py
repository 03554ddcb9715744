"""Ways to find ranks, by name."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import keras

import dart_keras as dk
from benchmarks.no_knob.oracle import (
    STRENGTHS,
    THRESHOLDS,
    Regularizer,
    train_gates,
    train_thresholds,
)
from benchmarks.no_knob.problem import Layers, Problem
from benchmarks.no_knob.training import Run

# The share of validation loss that ways by loss may give up.
INCREASE = 0.01
_SMALL_RANK = 2


@dataclass(frozen=True)
class Way:
    """A way to find ranks.

    Attributes:
        title: What it is, in a few words.
        settings: From a problem and a target to the settings of its runs, in groups that are
            trained together.
        train: From a run and the settings of a group to a cell for each.
    """

    title: str
    settings: Callable[[Problem, int], list[list[dict[str, Any]]]]
    train: Callable[[Run, list[dict[str, Any]]], Iterator[dict[str, Any]]]


def _one(train: Callable[[Run], dict[str, Any]], title: str, by_size: bool = True) -> Way:
    # A way of one run a seed.
    def cells(run: Run, group: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
        yield {"settings": group[0], **train(run)}

    return Way(title, lambda problem, target: [[{"target": target} if by_size else {}]], cells)


def _train(
    run: Run, layers: Layers, callbacks: Sequence[keras.callbacks.Callback] = ()
) -> dict[str, Any]:
    model = run.compiled(layers)
    seconds = run.fit(model, callbacks)
    cuts = [cut["epoch"] for each in callbacks for cut in getattr(each, "cuts", ())]
    return {**run.measure(model), "seconds": seconds, "cuts": cuts}


def _dense(run: Run) -> dict[str, Any]:
    callbacks = []
    if run.problem.keep_best:
        stopping = keras.callbacks.EarlyStopping
        callbacks.append(stopping(patience=run.epochs, restore_best_weights=True))
    return _train(run, Layers(dense=True), callbacks)


def _uncut(run: Run) -> dict[str, Any]:
    return _train(run, Layers(ranks=run.problem.initial_rank))


def _fixed(run: Run) -> dict[str, Any]:
    return _train(run, Layers(ranks=run.problem.uniform_rank(run.target)))


def _by_size(run: Run, ranks: int | Mapping[str, int] | None, **options: Any) -> dict[str, Any]:
    budget = dk.budgets.Parameters(run.target)
    discretization = dk.callbacks.RankDiscretization(budget, **options)
    return _train(run, Layers(ranks=ranks), [discretization])


def _published(run: Run, steering: dk.steering.Steering) -> dict[str, Any]:
    # The latest time at which ours are cut; the earlier ones are no part of what is published.
    epoch = max(1, round(0.4 * run.epochs))
    return _by_size(run, run.problem.initial_rank, epoch=epoch, steering=steering)


def _prior(run: Run) -> dict[str, Any]:
    return _published(run, dk.steering.RankPrior())


def _steered(run: Run) -> dict[str, Any]:
    return _published(run, dk.steering.SteeredStrength())


def _nested(run: Run) -> dict[str, Any]:
    nested = dk.callbacks.NestedRanks(run.seed)
    model = run.compiled(Layers(ranks=run.problem.initial_rank))
    seconds = run.fit(model, [nested])
    taken = nested.model_at(dk.budgets.Parameters(run.target))
    return {**run.measure(taken), "seconds": seconds, "cuts": []}


def _by_loss(run: Run) -> dict[str, Any]:
    budget = dk.budgets.LossIncrease(INCREASE)
    return _train(run, Layers(), [dk.callbacks.RankDiscretization(budget)])


def _sweep(title: str, regularizer: Regularizer | None = None) -> Way:
    def settings(problem: Problem, target: int) -> list[list[dict[str, Any]]]:
        strengths = [share * problem.strength for share in STRENGTHS]
        return [[{"strength": s, "threshold": t} for t in THRESHOLDS] for s in strengths]

    def cells(run: Run, group: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
        thresholds = [settings["threshold"] for settings in group]
        return train_thresholds(run, group[0]["strength"], thresholds, regularizer)

    return Way(title, settings, cells)


def _gates() -> Way:
    def settings(problem: Problem, target: int) -> list[list[dict[str, Any]]]:
        return [[{"strength": share * problem.strength}] for share in STRENGTHS]

    def cells(run: Run, group: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
        yield train_gates(run, group[0]["strength"])

    return Way("Gumbel-Softmax gates, best strength on the test set", settings, cells)


WAYS = {
    "dense": _one(_dense, "dense layers", by_size=False),
    "uncut": _one(_uncut, "TT layers of the initial ranks, not cut", by_size=False),
    "fixed": _one(_fixed, "fixed ranks, the same at every bond"),
    "oracle": _sweep("the knob's best, tuned on the test set"),
    "group_lasso": _sweep("the same with GroupLasso", dk.regularizers.GroupLasso),
    "log_det": _sweep("the same with LogDet", dk.regularizers.LogDet),
    "gumbel": _gates(),
    "prior": _one(_prior, "Hawkins and Zhang: a prior for each rank slice"),
    "steered": _one(_steered, "CoMERA: loss and size weighed against each other"),
    "nested": _one(_nested, "Maestro: a nested model"),
    "size": _one(lambda run: _by_size(run, None), "ours, by size"),
    "loss": _one(_by_loss, "ours, by loss", by_size=False),
    "grow": _one(lambda run: _by_size(run, _SMALL_RANK), "ours, from initial ranks of 2"),
    "shrink": _one(
        lambda run: _by_size(run, run.problem.break_even_ranks()),
        "ours, from ranks at which layers are as large as dense ones",
    ),
}
PUBLISHED = ("prior", "steered", "nested")
# Many runs a seed, of which the best within the target counts.
SWEEPS = ("oracle", "group_lasso", "log_det", "gumbel")
