"""Fine-tune a pretrained model on sentences or a text, or go on with a run that was stopped.

The same command goes on after the last whole epoch in the folder, with the same ranks.
"""

import argparse
import os
import sys
from collections.abc import Iterable
from functools import partial
from pathlib import Path

# Set before TensorFlow is imported: silence its notices about processors and compilers.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from dart_keras.utils.atomic_write import check_writable
from examples.fine_tuning.checkpoint import remove_checkpoint
from examples.fine_tuning.finished_run import RESULTS, FinishedRun, results_table, write_run
from examples.fine_tuning.sentence_task import SentenceTask
from examples.fine_tuning.settings import FULL, HEAD_ALONE, METHODS, Settings
from examples.fine_tuning.tasks import SENTENCE_TASKS, TASKS, load_rows
from examples.fine_tuning.text_task import TextTask
from examples.fine_tuning.training import train
from examples.language_model.command import positive, positive_float, run

_LEARNING_RATE, _FULL_LEARNING_RATE = 1e-3, 5e-5


def main(arguments: list[str] | None = None) -> int:
    return run("train.py", partial(_train, _parser().parse_args(arguments)))


def _train(parsed: argparse.Namespace) -> None:
    settings = _settings(parsed)
    if (parsed.folder / RESULTS).exists():
        finished = FinishedRun.read(parsed.folder)
        settings.check_same(finished.results["settings"], parsed.folder)
    else:
        # What would fail after the training fails now.
        check_writable(parsed.folder, [RESULTS])
        TASKS[settings.task].check(settings.preset, settings.method)
        rows = load_rows(settings.task, parsed.data_dir, "train")
        dev = load_rows(settings.task, parsed.data_dir, "dev")
        outcome = train(settings, rows, parsed.folder)
        for cut in outcome.cuts:
            print(
                f"Ranks cut after {cut['epoch']} epochs: {cut['parameters_before']:,} parameters "
                f"of the model before, {cut['parameters_after']:,} after"
            )
        finished = write_run(settings, outcome, parsed.data_dir, dev, parsed.folder)
    # It has all weights, and is of no use to a finished run.
    remove_checkpoint(parsed.folder)
    print(results_table(finished))
    print(f"{finished.results['file']} and {RESULTS} are in {parsed.folder}")


def settings_of(arguments: list[str]) -> Settings:
    """Return the settings that options of this command mean.

    Args:
        arguments: The options.
    """
    return _settings(_parser().parse_args(arguments))


def _settings(parsed: argparse.Namespace) -> Settings:
    usual = _FULL_LEARNING_RATE if parsed.method == FULL else _LEARNING_RATE
    return Settings(
        task=parsed.task,
        preset=parsed.preset,
        method=parsed.method,
        rank=parsed.rank,
        alpha=parsed.alpha,
        layers=tuple(parsed.layers),
        learning_rate=parsed.learning_rate or usual,
        epochs=parsed.epochs,
        batch=parsed.batch or TASKS[parsed.task].batch,
        length=parsed.length,
        precision=parsed.precision,
        limit=parsed.limit,
        seed=parsed.seed,
        parameters=parsed.parameters,
        loss_increase=parsed.loss_increase,
        input_modes=parsed.input_modes and tuple(parsed.input_modes),
        output_modes=parsed.output_modes and tuple(parsed.output_modes),
    )


def add_training_options(
    parser: argparse.ArgumentParser, folder: str, tasks: Iterable[str] = SENTENCE_TASKS
) -> None:
    """Add the options that runs and a search for their settings have in common.

    Args:
        parser: The parser.
        folder: Default folder.
        tasks: Names of tasks to choose from.
    """
    add = parser.add_argument
    add("--task", choices=tasks, required=True)
    add("--data-dir", required=True, help="folder with the files of the task")
    add(
        "--preset",
        help="name or folder of a preset of KerasHub: a BERT, MiniLM-L6 if not given; with text a "
        "causal language model",
    )
    add("--folder", type=Path, default=Path(folder), help="folder of the results")
    add(
        "--method",
        choices=[*METHODS, FULL, HEAD_ALONE],
        default="TTLoRA",
        help="adapters, or all weights (full), or the head alone (head)",
    )
    add("--layers", nargs="+", default=["query", "value"], help="which layers get adapters")
    add("--epochs", type=positive, default=3)
    add(
        "--batch",
        type=positive,
        default=SentenceTask.batch,
        help=f"rows a step; with text windows, {TextTask.batch} if not given",
    )
    add("--length", type=positive, default=128, help="tokens of a window, or the most of a row")
    add(
        "--precision",
        choices=["float32", "mixed_bfloat16"],
        default="float32",
        help="of the pretrained model while training; adapters stay float32",
    )
    add("--limit", type=positive, help="number of training rows or windows; all if not given")
    add("--seed", type=int, default=0)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    add_training_options(parser, "build/fine_tuning", TASKS)
    # Each task has its own.
    parser.set_defaults(batch=None)
    add = parser.add_argument
    add("--rank", type=positive, help="rank of the adapters; the method's own if not given")
    add("--alpha", type=positive_float, help="strength of the adapters, likewise")
    add("--input-modes", type=positive, nargs="+", help="factors of the kernels' rows, likewise")
    add("--output-modes", type=positive, nargs="+", help="factors of their columns, likewise")
    add(
        "--learning-rate",
        type=positive_float,
        help=f"peak of the schedule; {_LEARNING_RATE} if not given, {_FULL_LEARNING_RATE} with "
        f"--method {FULL}",
    )
    ranks = parser.add_argument_group("learned ranks").add_mutually_exclusive_group()
    add = ranks.add_argument
    add("--parameters", type=positive, help="parameters of all TT adapters together")
    add(
        "--loss-increase",
        type=positive_float,
        help="how much larger the loss of held-out training rows may become, as a share",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
