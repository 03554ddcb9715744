"""Print the scores of a finished run, from the pretrained model and the adapter file."""

import argparse
import os
import sys
from functools import partial
from pathlib import Path

# Set before TensorFlow is imported: silence its notices about processors and compilers.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from examples.fine_tuning.finished_run import FinishedRun
from examples.fine_tuning.tasks import TASKS, load_rows, scores
from examples.fine_tuning.training import predict
from examples.language_model.command import run


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    add_run_options(parser)
    return run("evaluate.py", partial(_evaluate, parser.parse_args(arguments)))


def add_run_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that name a finished run and its data."""
    add = parser.add_argument
    add("--folder", type=Path, default=Path("build/fine_tuning"), help="folder of the run")
    add("--data-dir", help="folder of the data; that of the run if not given")


def _evaluate(parsed: argparse.Namespace) -> None:
    finished = FinishedRun.read(parsed.folder)
    settings = finished.settings
    dev = load_rows(settings.task, parsed.data_dir or finished.results["data_dir"], "dev")
    outputs = predict(settings, finished.model(), dev)
    unit = TASKS[settings.task].unit
    for name, score in scores(settings.task, dev, outputs).items():
        print(f"{name} on {len(outputs):,} {unit} of {settings.task}: {score:.4f}")


if __name__ == "__main__":
    sys.exit(main())
