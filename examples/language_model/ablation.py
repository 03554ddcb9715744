"""What each part of the method does: sweeps of runs that can be stopped and go on.

Every run has a folder by its name and goes on from there; runs that have ended are not made again.
After each run the table is written as CSV, and after the last one the picture is drawn.
"""

import argparse
import hashlib
import json
import os
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

# Before TensorFlow is imported: its notices about processors and compilers.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras

from examples.language_model.arguments import parser_of_runs, settings_from
from examples.language_model.baselines import dense_twin, fixed_rank_twin, low_rank_twin
from examples.language_model.command import run
from examples.language_model.corpus import Corpus, load_corpus
from examples.language_model.plots import draw
from examples.language_model.run_results import RESULTS, write_results
from examples.language_model.settings import Settings
from examples.language_model.tables import write_means, write_table
from examples.language_model.training import train

# Of a `small` model a tenth leaves about a million numbers, and 1 a tenth of that.
GUMBEL_STRENGTH = 0.1
Runs = dict[str, Settings]
# Gives the results of a run.
Finish = Callable[[Settings], dict[str, Any]]
SEEDS = 3


def phases(base: Settings, _: Finish) -> Runs:
    """The continuous phase alone against the cut, without and with training behind it."""
    cuts = {
        "threshold": base,
        "gumbel": replace(base, selection="gumbel", lambda_reg=GUMBEL_STRENGTH),
    }
    runs = {"continuous_only": replace(base, selection="none")}
    for name, settings in cuts.items():
        runs[f"{name}_without_fine_tuning"] = replace(settings, cut_epoch=base.epochs)
        runs[f"{name}_with_fine_tuning"] = settings
    return runs


def strengths(base: Settings, _: Finish) -> Runs:
    """Sensitivity to lambda."""
    factors = (0.0, 0.1, 0.3, 1.0, 3.0)
    return {
        f"lambda_{base.lambda_reg * factor:g}": replace(base, lambda_reg=base.lambda_reg * factor)
        for factor in factors
    }


def thresholds(base: Settings, _: Finish) -> Runs:
    """Sensitivity to delta."""
    deltas = [base.threshold * factor for factor in (0.25, 0.5, 1.0, 2.0, 4.0)]
    return {f"delta_{delta:g}": replace(base, threshold=delta) for delta in deltas if delta < 1}


def pair(base: Settings, _: Finish) -> Runs:
    """Learned ranks against dense layers, once."""
    dense = replace(_unpressed(base), architecture=dense_twin(base.architecture))
    return {"dart": base, "dense": dense}


def twins(base: Settings, finish: Finish) -> Runs:
    """Learned ranks against dense layers, by several seeds."""
    return {
        f"{name}_{seed}": replace(settings, seed=seed)
        for name, settings in pair(base, finish).items()
        for seed in range(base.seed, base.seed + SEEDS)
    }


def baselines(base: Settings, finish: Finish) -> Runs:
    """Learned ranks against as many numbers in ranks chosen by hand."""
    reached = finish(base)
    fixed = _unpressed(base)
    return {
        "dart": base,
        "fixed_rank": replace(fixed, architecture=fixed_rank_twin(base.architecture, reached)),
        "low_rank_table": replace(fixed, architecture=low_rank_twin(base.architecture, reached)),
    }


def _unpressed(base: Settings) -> Settings:
    return replace(
        base,
        lambda_reg=0.0,
        selection="none",
        parameters=None,
        table_parameters=None,
        cut_epoch=base.epochs,
    )


STUDIES: dict[str, Callable[[Settings, Finish], Runs]] = {
    "phases": phases,
    "lambda": strengths,
    "delta": thresholds,
    "pair": pair,
    "twins": twins,
    "baselines": baselines,
}


def main(arguments: list[str] | None = None) -> int:
    parser = parser_of_runs(__doc__, "build/ablation")
    parser.add_argument("--study", choices=STUDIES, nargs="+", default=list(STUDIES))
    parser.add_argument(
        "--results",
        type=Path,
        default=Path(__file__).parent / "results",
        help="the folder for tables and pictures",
    )
    return run("ablation.py", partial(_sweep, parser.parse_args(arguments)))


def _sweep(parsed: argparse.Namespace) -> None:
    corpus = load_corpus(parsed.dataset, parsed.data_dir)
    base = settings_from(parsed, len(corpus.vocabulary))

    def finish(settings: Settings) -> dict[str, Any]:
        return finished(settings, corpus, parsed.folder / _name(settings))

    for study in parsed.study:
        rows = []
        for name, settings in STUDIES[study](base, finish).items():
            rows.append((name, finish(settings)))
            write_table(rows, parsed.results / f"{study}.csv")
        write_means(rows, parsed.results / f"{study}_means.csv")
        draw(study, rows, parsed.results / f"{study}.png")


def finished(settings: Settings, corpus: Corpus, folder: Path) -> dict[str, Any]:
    """The results of a run: those that are there, or those of training it to its end."""
    if (folder / RESULTS).exists():
        return json.loads((folder / RESULTS).read_text())
    # What earlier runs have left in Keras would fill the memory.
    keras.backend.clear_session()
    outcome = train(settings, corpus, folder)
    return write_results(settings, outcome, corpus, folder)


def _name(settings: Settings) -> str:
    # By what the run is, because studies share runs.
    text = json.dumps(settings.to_json(), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


if __name__ == "__main__":
    sys.exit(main())
