"""Command line options of a training run."""

import argparse
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from examples.language_model.architecture import LAYERS, SIZES, Architecture
from examples.language_model.command import positive
from examples.language_model.corpus import DATASETS
from examples.language_model.settings import REGULARIZERS, SELECTIONS, Settings


def run_parser(description: str | None, folder: str) -> argparse.ArgumentParser:
    """Return a parser with the options of a training run.

    Args:
        description: Description of the command.
        folder: Default folder for runs.
    """
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--dataset", choices=DATASETS, required=True)
    parser.add_argument("--weight-decay", type=float, default=0.01)
    data = "folder with the data set's three text files"
    add = add_shared_options(parser, data, folder, SIZES, LAYERS).add_argument
    add("--regularizer", choices=REGULARIZERS, default="group-lasso", help="rank regularizer")
    add("--selection", choices=SELECTIONS, default="threshold", help="how to choose the ranks")
    add(
        "--threshold",
        type=float,
        default=0.1,
        help="smallest singular value kept, as a share of the largest (threshold), "
        "or relative error allowed (error)",
    )
    add(
        "--table-parameters",
        type=positive,
        help="how many of --parameters go to the table; if not given, the allocation decides",
    )
    add("--when-converged", action="store_true", help="truncate once the ranks converge")
    return parser


def add_shared_options(
    parser: argparse.ArgumentParser,
    data: str,
    folder: str,
    sizes: Iterable[str],
    layers: Iterable[str],
) -> Any:
    """Add the options that language models and translation have in common.

    Args:
        parser: The parser. `set_defaults` can change the defaults.
        data: Description of the data folder.
        folder: Default folder for runs.
        sizes: Names of the model sizes.
        layers: Names of the kinds of layers.

    Returns:
        The group of rank options.
    """
    add = parser.add_argument
    add("--data-dir", required=True, help=data)
    add("--folder", type=Path, default=Path(folder), help="folder of the run")
    add("--size", choices=sizes, default="small")
    add("--layers", choices=layers, default="tt", help="layers of table and projections")
    add("--epochs", type=positive, default=4)
    add("--batch", type=positive, default=16, help="windows or rows per step")
    add("--learning-rate", type=float, default=3e-3, help="peak of the schedule")
    add(
        "--projection-rate",
        type=float,
        default=0.25,
        help="learning rate of projections, as a share of --learning-rate",
    )
    add("--dropout", type=float, default=0.0)
    add("--seed", type=int, default=0)
    ranks = parser.add_argument_group("ranks")
    add = ranks.add_argument
    add(
        "--embedding-rank",
        type=positive,
        help="initial rank of each band of the table; the full rank if not given",
    )
    add(
        "--projection-rank",
        type=positive,
        help="initial rank of projections; the full rank if not given",
    )
    add("--strength", type=float, default=1e-5, help="strength of the rank regularizer")
    add("--parameters", type=positive, help="total parameters of all TT layers (budget)")
    add(
        "--cut-epoch",
        type=positive,
        help="epochs after which to truncate at the latest; half of --epochs if not given",
    )
    return ranks


def settings_from(parsed: argparse.Namespace, vocabulary: int) -> Settings:
    """Return the settings that a command line asks for.

    Raises:
        ValueError: If the selection is a budget and there is none, or the table gets all of it, or
            it finds what is given.
    """
    if parsed.selection in ("budget", "size") and parsed.parameters is None:
        raise ValueError(
            f"Expected --parameters with --selection {parsed.selection}. Received: none"
        )
    given = {
        "--cut-epoch": parsed.cut_epoch,
        "--when-converged": parsed.when_converged,
        "--table-parameters": parsed.table_parameters,
    }
    if parsed.selection == "size" and any(given.values()):
        raise ValueError(
            "Expected --selection size without what it finds by itself, or --selection budget. "
            "Received: " + ", ".join(name for name, value in given.items() if value)
        )
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
        strength=parsed.strength,
        selection="none" if parsed.layers == "dense" else parsed.selection,
        threshold=parsed.threshold,
        parameters=parsed.parameters,
        table_parameters=parsed.table_parameters,
        cut_epoch=parsed.cut_epoch
        or max(1, parsed.epochs // (4 if parsed.selection == "size" else 2)),
        converged=parsed.when_converged,
        seed=parsed.seed,
    )


def architecture_from(parsed: argparse.Namespace, vocabulary: int, width: int) -> Architecture:
    """Return the architecture that a command line asks for.

    Args:
        parsed: Options of `add_shared_options`.
        vocabulary: Number of words.
        width: Width of the embeddings, which is the full rank and the default.
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
