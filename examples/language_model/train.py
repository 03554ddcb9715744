"""Train a language model whose ranks are learned, or go on with a run that was stopped.

The same command again goes on from the last checkpoint in the folder, ranks included.
"""

import argparse
import os
import sys
from functools import partial
from pathlib import Path

# Before TensorFlow is imported: its notices about processors and compilers.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from examples.language_model.architecture import LAYERS, SIZES, Architecture
from examples.language_model.command import positive, run
from examples.language_model.corpus import DATASETS, load_corpus
from examples.language_model.evaluation import perplexity
from examples.language_model.settings import SELECTIONS, Settings
from examples.language_model.training import train


def main(arguments: list[str] | None = None) -> int:
    parsed = _parser().parse_args(arguments)
    return run("train.py", partial(_train, parsed))


def _train(parsed: argparse.Namespace) -> None:
    corpus = load_corpus(parsed.dataset, parsed.data_dir)
    settings = settings_from(parsed, len(corpus.vocabulary))
    outcome = train(settings, corpus, parsed.folder, parsed.checkpoint_steps)
    for cut in outcome.cuts:
        print(
            f"Cut after {cut['epoch']} epochs: {cut['parameters_before']:,} parameters became "
            f"{cut['parameters_after']:,}"
        )
    print(f"Perplexity on the test text: {perplexity(outcome.model, corpus.test):.2f}")
    print(f"The last and the best model are in {parsed.folder}")


def settings_from(parsed: argparse.Namespace, vocabulary: int) -> Settings:
    """The run that a command line asks for."""
    return Settings(
        dataset=parsed.dataset,
        architecture=Architecture(
            parsed.size,
            parsed.layers,
            vocabulary,
            None if parsed.layers == "dense" else parsed.embedding_rank,
            parsed.projection_rank if parsed.layers == "tt" else None,
        ),
        epochs=parsed.epochs,
        batch=parsed.batch,
        learning_rate=parsed.learning_rate,
        weight_decay=parsed.weight_decay,
        dropout=parsed.dropout,
        lambda_reg=parsed.lambda_reg,
        selection="none" if parsed.layers == "dense" else parsed.selection,
        threshold=parsed.threshold,
        parameters=parsed.parameters,
        cut_epoch=parsed.cut_epoch or max(1, parsed.epochs // 2),
        converged=parsed.when_converged,
        seed=parsed.seed,
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    add = parser.add_argument
    add("--dataset", choices=DATASETS, required=True)
    add("--data-dir", required=True, help="the folder with the data set's three text files")
    add("--folder", type=Path, default=Path("build/language_model"), help="where the run is kept")
    add("--size", choices=SIZES, default="small")
    add("--layers", choices=LAYERS, default="tt", help="what table and projections are made of")
    add("--epochs", type=positive, default=6)
    add("--batch", type=positive, default=32, help="windows a step")
    add("--learning-rate", type=float, default=2e-3, help="the peak of the schedule")
    add("--weight-decay", type=float, default=0.01)
    add("--dropout", type=float, default=0.1)
    add("--seed", type=int, default=0)
    ranks = parser.add_argument_group("ranks")
    add = ranks.add_argument
    add(
        "--embedding-rank",
        type=positive,
        default=128,
        help="what each band of the table begins with",
    )
    add("--projection-rank", type=positive, default=64, help="what projections begin with")
    add("--lambda-reg", type=float, default=0.01, help="strength of what presses on the ranks")
    add("--selection", choices=SELECTIONS, default="threshold", help="which ranks the cut keeps")
    add(
        "--threshold",
        type=float,
        default=0.1,
        help="share of the largest singular value that is "
        "kept (threshold), or relative error allowed (energy)",
    )
    add("--parameters", type=positive, help="numbers in all tensor trains together (budget)")
    add(
        "--cut-epoch",
        type=positive,
        help="after how many epochs to cut at the latest; half of them if not given",
    )
    add("--when-converged", action="store_true", help="cut as soon as the ranks are at rest")
    add("--checkpoint-steps", type=positive, default=200, help="after how many steps to save")
    return parser


if __name__ == "__main__":
    sys.exit(main())
