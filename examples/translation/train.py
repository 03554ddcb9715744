"""Train a model that translates English to German, or go on with a run that was stopped.

The same command again goes on from the last checkpoint in the folder, ranks included.
"""

import argparse
import os
import sys
from functools import partial
from pathlib import Path

# Before TensorFlow is imported: its notices about processors and compilers.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from examples.language_model import command
from examples.language_model.architecture import Architecture
from examples.language_model.settings import Settings
from examples.translation.corpus import load_corpus
from examples.translation.settings import LAYERS, SIZES
from examples.translation.subwords import Subwords
from examples.translation.training import train


def main(arguments: list[str] | None = None) -> int:
    parsed = _parser().parse_args(arguments)
    return command.run("train.py", partial(_train, parsed))


def _train(parsed: argparse.Namespace) -> None:
    corpus = load_corpus(parsed.data_dir)
    subwords = Subwords.train([*corpus.train.sources, *corpus.train.targets], parsed.subwords)
    settings = settings_from(parsed, len(subwords))
    outcome = train(settings, corpus, subwords, parsed.folder, parsed.checkpoint_steps)
    outcome.print_cuts()
    print(f"The last and the best model are in {parsed.folder}")


def settings_from(parsed: argparse.Namespace, vocabulary: int) -> Settings:
    """The run that a command line asks for."""
    dense = parsed.layers == "dense"
    return Settings(
        dataset="multi30k",
        architecture=Architecture(
            parsed.size,
            parsed.layers,
            vocabulary,
            None if dense else parsed.embedding_rank,
            None if dense else parsed.projection_rank,
        ),
        epochs=parsed.epochs,
        batch=parsed.batch,
        learning_rate=parsed.learning_rate,
        projection_rate=parsed.projection_rate,
        weight_decay=0.01,
        dropout=parsed.dropout,
        regularizer="group-lasso",
        lambda_reg=0.0 if dense else parsed.lambda_reg,
        selection="none" if dense else "budget",
        threshold=0.0,
        parameters=None if dense else parsed.parameters,
        table_parameters=None,
        cut_epoch=parsed.cut_epoch or max(1, parsed.epochs // 2),
        converged=False,
        seed=parsed.seed,
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    add = parser.add_argument
    add("--data-dir", required=True, help="the folder with the six text files of Multi30k, raw")
    add("--folder", type=Path, default=Path("build/translation"), help="where the run is kept")
    add("--size", choices=SIZES, default="small")
    add("--layers", choices=LAYERS, default="tt", help="what table and projections are made of")
    add("--subwords", type=command.positive, default=8000, help="how many, of both languages")
    add("--epochs", type=command.positive, default=8)
    add("--batch", type=command.positive, default=16, help="rows a step")
    add("--learning-rate", type=float, default=1e-3, help="the peak of the schedule")
    add(
        "--projection-rate",
        type=float,
        default=0.25,
        help="the share of the learning rate that projections get",
    )
    add("--dropout", type=float, default=0.1)
    add("--seed", type=int, default=0)
    add(
        "--checkpoint-steps",
        type=command.positive,
        default=200,
        help="after how many steps to save",
    )
    ranks = parser.add_argument_group("ranks")
    add = ranks.add_argument
    add(
        "--embedding-rank",
        type=command.positive,
        default=128,
        help="what each band of the table begins with",
    )
    add("--projection-rank", type=command.positive, default=64, help="what projections begin with")
    add("--lambda-reg", type=float, default=0.0003, help="strength of what presses on the ranks")
    add(
        "--parameters",
        type=command.positive,
        default=1_100_000,
        help="how many numbers the cut leaves to all tensor trains together",
    )
    add(
        "--cut-epoch",
        type=command.positive,
        help="after how many epochs to cut; half of them if not given",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
