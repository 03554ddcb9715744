"""Search for good settings of fine-tuning, or go on with a search that was stopped.

A tenth of the training rows judges the settings. `--epochs` is the most of a trial; most trials are
stopped earlier. The same command goes on where the search stopped.
"""

import argparse
import os
import sys
from functools import partial
from pathlib import Path
from typing import Any

# Set before TensorFlow is imported: silence its notices about processors and compilers.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from dart_keras.utils.atomic_write import check_writable
from dart_keras.utils.optional_imports import import_extra
from examples.fine_tuning.search.space import SearchSpace, search_space
from examples.fine_tuning.search.trial import TrialTraining
from examples.fine_tuning.search.trial_results import (
    SEARCH,
    TrialResult,
    ranking,
    read_search,
    train_command,
    trials_table,
    write_search,
)
from examples.fine_tuning.settings import Settings
from examples.fine_tuning.tasks import load_rows
from examples.fine_tuning.train import add_training_options
from examples.fine_tuning.training import model_to_train
from examples.language_model.command import positive, positive_float, run

_HYPERBAND, _RAY = "hyperband", "ray"
_PACKAGES = {_HYPERBAND: ("keras_tuner", "keras-tuner"), _RAY: ("ray.tune", "ray[tune]")}
# The options of one tuner, with what they are if not given.
_OPTIONS: dict[str, dict[str, Any]] = {
    _HYPERBAND: {"iterations": 1},
    _RAY: {"trials": None, "ray_address": None, "cpus": 1, "gpus": 0.0},
}
# Where the trials run, which does not change what they find.
_PLACE = ("ray_address", "cpus", "gpus")
# The exit code of a program that Ctrl-C ends.
_INTERRUPTED = 130


def main(arguments: list[str] | None = None) -> int:
    parsed = _parser().parse_args(arguments)
    try:
        return run("search", partial(_search, parsed))
    except KeyboardInterrupt:
        print("search: stopped. The same command goes on", file=sys.stderr)
        return _INTERRUPTED


def _search(parsed: argparse.Namespace) -> None:
    options = _tuner_options(parsed)
    import_extra(*_PACKAGES[parsed.tuner], "search")
    # What would fail after the search fails now.
    check_writable(parsed.folder, [SEARCH])
    base = _base_settings(parsed)
    training = TrialTraining.split(base, load_rows(base.task, parsed.data_dir, "train"))
    values = (parsed.ranks, parsed.alphas, parsed.learning_rates, parsed.factors)
    space = search_space(base, model_to_train(base), *values)
    searched = {name: each for name, each in options.items() if name not in _PLACE}
    request = {**base.to_json(), **space.choices, "tuner": parsed.tuner, **searched}
    trials = read_search(parsed.folder, request)
    if trials is None:
        trials = _found(parsed, options, space, training, request)
    best, *_ = trials
    command = train_command(space.settings(best.values), parsed.data_dir, parsed.folder / "best")
    write_search(parsed.folder, request, trials, command)
    print(trials_table(space, trials, training.score_name))
    print(f"{SEARCH} is in {parsed.folder}. Train with the best settings, on all rows:")
    print(command)


def _found(
    parsed: argparse.Namespace,
    options: dict[str, Any],
    space: SearchSpace,
    training: TrialTraining,
    request: dict[str, Any],
) -> list[TrialResult]:
    """Return the trials of a search, the best first."""
    common = (space, training, parsed.folder)
    if parsed.tuner == _HYPERBAND:
        from examples.fine_tuning.search.hyperband import check_size, search_hyperband

        check_size(space, parsed.factor, options["iterations"])
        _begin(space, parsed.folder, request)
        return ranking(search_hyperband(*common, parsed.factor, options["iterations"]))
    from examples.fine_tuning.search.ray_tune import search_ray

    count = min(options["trials"] or space.size, space.size)
    print(f"Ray Tune tries {count} of {space.size} combinations of values")
    _begin(space, parsed.folder, request)
    found = search_ray(
        *common,
        trials=count,
        factor=parsed.factor,
        address=options["ray_address"],
        cpus=options["cpus"],
        gpus=options["gpus"],
    )
    return ranking(found)


def _begin(space: SearchSpace, folder: Path, request: dict[str, Any]) -> None:
    """Check that the models can be built, and note what is searched for."""
    for settings in space.extremes():
        model_to_train(settings)
    write_search(folder, request)


def _base_settings(parsed: argparse.Namespace) -> Settings:
    return Settings(
        task=parsed.task,
        preset=parsed.preset,
        method=parsed.method,
        rank=None,
        alpha=None,
        layers=tuple(parsed.layers),
        # Each trial has its own.
        learning_rate=0.0,
        epochs=parsed.epochs,
        batch=parsed.batch,
        length=parsed.length,
        precision=parsed.precision,
        limit=parsed.limit,
        seed=parsed.seed,
        parameters=None,
        loss_increase=None,
    )


def _tuner_options(parsed: argparse.Namespace) -> dict[str, Any]:
    """Return the options of the tuner.

    Raises:
        ValueError: If one is given that is of the other tuner.
    """
    for tuner, options in _OPTIONS.items():
        given = [name for name in options if getattr(parsed, name) is not None]
        if given and tuner != parsed.tuner:
            raise ValueError(
                f"Expected --{given[0].replace('_', '-')} with --tuner {tuner}. "
                f"Received: --tuner {parsed.tuner}"
            )
    if parsed.factor < 2:
        raise ValueError(f"Expected --factor of at least 2. Received: {parsed.factor}")
    usual = _OPTIONS[parsed.tuner]
    given = {name: getattr(parsed, name) for name in usual}
    chosen = {name: usual[name] if each is None else each for name, each in given.items()}
    return {"factor": parsed.factor, **chosen}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    add_training_options(parser, "build/fine_tuning_search")
    add = parser.add_argument_group("what is tried; usual values if not given").add_argument
    add("--ranks", type=positive, nargs="+")
    add("--alphas", type=positive_float, nargs="+")
    add("--learning-rates", type=positive_float, nargs="+")
    add("--factors", type=positive, nargs="+", help="how many factors the modes of a side have")
    add = parser.add_argument_group("how").add_argument
    add("--tuner", choices=_PACKAGES, default=_HYPERBAND)
    add("--factor", type=positive, default=3, help="the best of this many trials goes on")
    add("--iterations", type=positive, help="how often Hyperband is run; once if not given")
    add("--trials", type=positive, help="trials of Ray; all combinations if not given")
    add("--ray-address", help="of a cluster of Ray; this machine alone if not given")
    add("--cpus", type=positive, help="processor cores of a trial of Ray; 1 if not given")
    add("--gpus", type=positive_float, help="GPUs of a trial of Ray, or a share of one")
    return parser


if __name__ == "__main__":
    sys.exit(main())
