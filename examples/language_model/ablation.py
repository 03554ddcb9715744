"""Measure the effect of each part of the method by sweeps of training runs.

Each run has its own folder, named by its settings. A run that was stopped continues from there, and
a finished one is not repeated. The table is written as CSV after each run, and the plot after the
last one.
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

# Set before TensorFlow is imported: silence its notices about processors and compilers.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras

from dart_keras.utils.atomic_write import check_writable
from dart_keras.utils.plots import require_matplotlib
from examples.language_model.arguments import run_parser, settings_from
from examples.language_model.baselines import (
    dense_equivalent,
    fixed_rank_equivalent,
    low_rank_equivalent,
)
from examples.language_model.command import run
from examples.language_model.corpus import Corpus, load_corpus
from examples.language_model.plots import draw
from examples.language_model.run_results import RESULTS, write_results
from examples.language_model.settings import Settings
from examples.language_model.tables import write_means, write_table
from examples.language_model.training import train

# Keeps about a million parameters of a `small` model; 1 keeps a tenth of that.
GUMBEL_STRENGTH = 0.1
Runs = dict[str, Settings]
# Returns the results of a run.
Finish = Callable[[Settings], dict[str, Any]]
SEEDS = 3


def phases(base: Settings, _: Finish) -> Runs:
    """Regularization alone against truncation without and with fine-tuning after it."""
    cuts = {
        "threshold": base,
        "gumbel": replace(base, selection="gumbel", strength=GUMBEL_STRENGTH),
    }
    runs = {"continuous_only": replace(base, selection="none")}
    for name, settings in cuts.items():
        runs[f"{name}_without_fine_tuning"] = replace(settings, cut_epoch=base.epochs)
        runs[f"{name}_with_fine_tuning"] = settings
    return runs


def strengths(base: Settings, _: Finish) -> Runs:
    """Sensitivity to the strength of the rank regularizer."""
    factors = (0.0, 0.1, 0.3, 1.0, 3.0)
    return {
        f"strength_{base.strength * factor:g}": replace(base, strength=base.strength * factor)
        for factor in factors
    }


def thresholds(base: Settings, _: Finish) -> Runs:
    """Sensitivity to the threshold of the truncation."""
    deltas = [base.threshold * factor for factor in (0.25, 0.5, 1.0, 2.0, 4.0)]
    return {f"threshold_{delta:g}": replace(base, threshold=delta) for delta in deltas if delta < 1}


def dense_comparison(base: Settings, _: Finish) -> Runs:
    """Learned ranks against the dense equivalent, with one seed."""
    dense = replace(_without_regularization(base), architecture=dense_equivalent(base.architecture))
    return {"tt": base, "dense": dense}


def seeds(base: Settings, finish: Finish) -> Runs:
    """Learned ranks against the dense equivalent, with several seeds."""
    return {
        f"{name}_{seed}": replace(settings, seed=seed)
        for name, settings in dense_comparison(base, finish).items()
        for seed in range(base.seed, base.seed + SEEDS)
    }


def baselines(base: Settings, finish: Finish) -> Runs:
    """Learned ranks against ranks chosen by hand, with as many parameters."""
    reached, architecture = finish(base), base.architecture
    fixed = _without_regularization(base)
    return {
        "tt": base,
        "fixed_rank": replace(fixed, architecture=fixed_rank_equivalent(architecture, reached)),
        "low_rank_table": replace(fixed, architecture=low_rank_equivalent(architecture, reached)),
    }


def _without_regularization(base: Settings) -> Settings:
    return replace(
        base,
        strength=0.0,
        selection="none",
        parameters=None,
        table_parameters=None,
        cut_epoch=base.epochs,
    )


STUDIES: dict[str, Callable[[Settings, Finish], Runs]] = {
    "phases": phases,
    "strength": strengths,
    "threshold": thresholds,
    "dense-equivalent": dense_comparison,
    "seeds": seeds,
    "baselines": baselines,
}

_ENDS = (".csv", "_means.csv", ".png")


def main(arguments: list[str] | None = None) -> int:
    parser = run_parser(__doc__, "build/ablation")
    parser.add_argument("--study", choices=STUDIES, nargs="+", default=list(STUDIES))
    parser.add_argument(
        "--results",
        type=Path,
        default=Path(__file__).parent / "results",
        help="folder for tables and plots",
    )
    return run("ablation.py", partial(_sweep, parser.parse_args(arguments)))


def _sweep(parsed: argparse.Namespace) -> None:
    # What would fail after a study fails now.
    check_writable(parsed.results, [f"{study}{end}" for study in parsed.study for end in _ENDS])
    require_matplotlib()
    corpus = load_corpus(parsed.dataset, parsed.data_dir)
    base = settings_from(parsed, len(corpus.vocabulary))

    def finish(settings: Settings) -> dict[str, Any]:
        return train_once(settings, corpus, parsed.folder / _name(settings))

    for study in parsed.study:
        rows = []
        for name, settings in STUDIES[study](base, finish).items():
            rows.append((name, finish(settings)))
            write_table(rows, parsed.results / f"{study}.csv")
        write_means(rows, parsed.results / f"{study}_means.csv")
        draw(study, rows, parsed.results / f"{study}.png")


def train_once(settings: Settings, corpus: Corpus, folder: Path) -> dict[str, Any]:
    """Return the results of a run, and train it first if there are none yet."""
    if (folder / RESULTS).exists():
        return json.loads((folder / RESULTS).read_text())
    # Free the memory that Keras holds from earlier runs.
    keras.backend.clear_session()
    outcome = train(settings, corpus, folder)
    return write_results(settings, outcome, corpus, folder)


def _name(settings: Settings) -> str:
    # Hash of the settings, because studies share runs.
    text = json.dumps(settings.to_json(), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


if __name__ == "__main__":
    sys.exit(main())
