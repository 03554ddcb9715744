"""The options of a run on the command line."""

import argparse
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from examples.language_model.architecture import LAYERS, SIZES, Architecture
from examples.language_model.command import positive
from examples.language_model.corpus import DATASETS
from examples.language_model.settings import REGULARIZERS, SELECTIONS, Settings


def parser_of_runs(description: str | None, folder: str) -> argparse.ArgumentParser:
    """A parser that knows the options of a run.

    Args:
        description: What the command does.
        folder: Where it keeps its runs if it is not told.
    """
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--dataset", choices=DATASETS, required=True)
    parser.add_argument("--weight-decay", type=float, default=0.01)
    data = "the folder with the data set's three text files"
    add = add_shared_options(parser, data, folder, SIZES, LAYERS).add_argument
    add("--regularizer", choices=REGULARIZERS, default="group-lasso", help="what presses on ranks")
    add("--selection", choices=SELECTIONS, default="threshold", help="which ranks the cut keeps")
    add(
        "--threshold",
        type=float,
        default=0.1,
        help="share of the largest singular value that is "
        "kept (threshold), or relative error allowed (energy)",
    )
    add(
        "--table-parameters",
        type=positive,
        help="how many of --parameters go to the table, if the budget is to be parted",
    )
    add("--when-converged", action="store_true", help="cut as soon as the ranks are at rest")
    return parser


def add_shared_options(
    parser: argparse.ArgumentParser,
    data: str,
    folder: str,
    sizes: Iterable[str],
    layers: Iterable[str],
) -> Any:
    """Add what language models and translation have in common.

    Args:
        parser: Its `set_defaults` gives other defaults than the language models'.
        data: What the folder with the data is.
        folder: Where runs are kept if the command is not told.
        sizes: Of models, by name.
        layers: What they can be made of.

    Returns:
        The group of the options for ranks.
    """
    add = parser.add_argument
    add("--data-dir", required=True, help=data)
    add("--folder", type=Path, default=Path(folder), help="where it is kept")
    add("--size", choices=sizes, default="small")
    add("--layers", choices=layers, default="tt", help="what table and projections are made of")
    add("--epochs", type=positive, default=4)
    add("--batch", type=positive, default=16, help="windows or rows a step")
    add("--learning-rate", type=float, default=3e-3, help="the peak of the schedule")
    add(
        "--projection-rate",
        type=float,
        default=0.25,
        help="the share of the learning rate that projections get",
    )
    add("--dropout", type=float, default=0.0)
    add("--seed", type=int, default=0)
    ranks = parser.add_argument_group("ranks")
    add = ranks.add_argument
    add(
        "--embedding-rank",
        type=positive,
        help="what each band of the table begins with; the full rank if not given",
    )
    add(
        "--projection-rank",
        type=positive,
        help="what projections begin with; the full rank if not given",
    )
    add("--lambda-reg", type=float, default=1e-5, help="strength of what presses on the ranks")
    add("--parameters", type=positive, help="numbers in all tensor trains together (budget)")
    add(
        "--cut-epoch",
        type=positive,
        help="after how many epochs to cut at the latest; half of them if not given",
    )
    return ranks


def settings_from(parsed: argparse.Namespace, vocabulary: int) -> Settings:
    """The run that a command line asks for.

    Raises:
        ValueError: If a budget is asked for and none is given, or the table's is all of it.
    """
    if parsed.selection == "budget" and parsed.parameters is None:
        raise ValueError("Expected --parameters with --selection budget. Received: none")
    if parsed.table_parameters and not parsed.table_parameters < (parsed.parameters or 0):
        raise ValueError(
            "Expected --table-parameters below --parameters. "
            f"Received: {parsed.table_parameters} and {parsed.parameters}"
        )
    return Settings(
        dataset=parsed.dataset,
        architecture=architecture_from(parsed, vocabulary, SIZES[parsed.size].width),
        epochs=parsed.epochs,
        batch=parsed.batch,
        learning_rate=parsed.learning_rate,
        projection_rate=parsed.projection_rate,
        weight_decay=parsed.weight_decay,
        dropout=parsed.dropout,
        regularizer=parsed.regularizer,
        lambda_reg=parsed.lambda_reg,
        selection="none" if parsed.layers == "dense" else parsed.selection,
        threshold=parsed.threshold,
        parameters=parsed.parameters,
        table_parameters=parsed.table_parameters,
        cut_epoch=parsed.cut_epoch or max(1, parsed.epochs // 2),
        converged=parsed.when_converged,
        seed=parsed.seed,
    )


def architecture_from(parsed: argparse.Namespace, vocabulary: int, width: int) -> Architecture:
    """The model that a command line asks for.

    Args:
        parsed: Options of `add_shared_options`.
        vocabulary: How many words there are.
        width: Of the embeddings; a rank that is not given is as large, which is the full rank.
    """
    table = None if parsed.layers == "dense" else parsed.embedding_rank or width
    projections = parsed.projection_rank or width
    return Architecture(
        parsed.size,
        parsed.layers,
        vocabulary,
        table,
        projections if parsed.layers == "tt" else None,
    )
