"""The options of a run on the command line."""

import argparse
from pathlib import Path

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
    add = parser.add_argument
    add("--dataset", choices=DATASETS, required=True)
    add("--data-dir", required=True, help="the folder with the data set's three text files")
    add("--folder", type=Path, default=Path(folder), help="where it is kept")
    add("--size", choices=SIZES, default="small")
    add("--layers", choices=LAYERS, default="tt", help="what table and projections are made of")
    add("--epochs", type=positive, default=6)
    add("--batch", type=positive, default=16, help="windows a step")
    add("--learning-rate", type=float, default=1.5e-3, help="the peak of the schedule")
    add(
        "--projection-rate",
        type=float,
        default=0.25,
        help="the share of the learning rate that projections get",
    )
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
    add("--projection-rank", type=positive, default=160, help="what projections begin with")
    add("--regularizer", choices=REGULARIZERS, default="group-lasso", help="what presses on ranks")
    add("--lambda-reg", type=float, default=0.01, help="its strength")
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
        "--table-parameters",
        type=positive,
        help="how many of them in the table, if the budget is to be parted",
    )
    add(
        "--cut-epoch",
        type=positive,
        help="after how many epochs to cut at the latest; half of them if not given",
    )
    add("--when-converged", action="store_true", help="cut as soon as the ranks are at rest")
    return parser


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
