"""Train a model that translates English to German, or resume a run that was stopped.

The same command resumes from the last checkpoint in the folder, ranks included.
"""

import argparse
import os
import sys
from functools import partial

# Set before TensorFlow is imported: silence its notices about processors and compilers.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from examples.language_model import command
from examples.language_model.arguments import add_shared_options, architecture_from
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
    print(f"Last and best model are in {parsed.folder}")


def settings_from(parsed: argparse.Namespace, vocabulary: int) -> Settings:
    """Return the settings that a command line asks for."""
    dense = parsed.layers == "dense"
    return Settings(
        dataset="multi30k",
        architecture=architecture_from(parsed, vocabulary, SIZES[parsed.size].width),
        epochs=parsed.epochs,
        batch=parsed.batch,
        learning_rate=parsed.learning_rate,
        projection_rate=parsed.projection_rate,
        weight_decay=0.01,
        dropout=parsed.dropout,
        regularizer="group-lasso",
        strength=0.0 if dense else parsed.strength,
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
    data = "folder with the six raw text files of Multi30k"
    add_shared_options(parser, data, "build/translation", SIZES, LAYERS)
    # Defaults that differ from the language models'.
    parser.set_defaults(epochs=8, learning_rate=2e-3, dropout=0.1, parameters=1_100_000)
    add = parser.add_argument
    add(
        "--subwords",
        type=command.positive,
        default=8000,
        help="subwords of both languages",
    )
    add(
        "--checkpoint-steps",
        type=command.positive,
        default=200,
        help="steps between checkpoints",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
