"""Compare ways to find ranks on several problems at equal size.

`python -m benchmarks.no_knob --data-dir FOLDER` runs all but Penn Treebank, which takes hours:
`--problems penn_treebank`. Results so far are in the file of `--output` at any time; what is there
is not run again. At the end it prints a table and a summary and draws a picture. If runs fail, they
are told and the command ends with exit code 1.
"""

import argparse
import json
import multiprocessing
import os
import sys
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from benchmarks import environment
from benchmarks.no_knob.cells import Unit, units_of
from benchmarks.no_knob.picture import draw
from benchmarks.no_knob.problems import ON_REQUEST, PROBLEMS
from benchmarks.no_knob.report import Report
from benchmarks.no_knob.ways import WAYS
from benchmarks.tables import PICTURES, RESULTS, Results

COLUMNS = ("problem", "way", "seed", "settings", "size", "metric", "validation_loss", "seconds")


def main(argv: list[str] | None = None) -> int:
    arguments = _parse(argv)
    units = units_of(
        arguments.problems,
        arguments.ways,
        arguments.seeds,
        arguments.epochs_scale,
        arguments.data_dir,
    )
    path, picture = arguments.output, arguments.output.with_suffix(".png")
    if path == RESULTS / "no_knob.json":
        picture = PICTURES / "no_knob.png"
    earlier = json.loads(path.read_text())["cells"] if path.exists() else []
    if arguments.again:
        earlier = [c for c in earlier if not any(_is_of(unit, c) for unit in units)]
    environment.prepare(arguments.threads)
    results = Results("Ways to find ranks, at equal size", COLUMNS, path, picture)
    results.content["environment"]["threads"] = arguments.threads
    results.cells.extend(earlier)
    left = [unit for unit in (unit.left(earlier) for unit in units) if unit is not None]
    failed = 0
    for unit, cells in _train(left, arguments.jobs, arguments.threads):
        if isinstance(cells, Exception):
            failed += 1
            name = f"{unit.problem}, {unit.way}, seed {unit.seed}"
            print(f"{name}: {type(cells).__name__}: {cells}", file=sys.stderr, flush=True)
            continue
        for cell in cells:
            results.add(cell, {"settings": " ".join(map(str, cell["settings"].values()))})
    report = Report(results.cells, PROBLEMS)
    print(report.table())
    results.finish(report.summary())
    if results.cells:
        draw(results.cells, PROBLEMS, picture)
    return 1 if failed else 0


def _parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="benchmarks.no_knob", description=__doc__)
    add = parser.add_argument
    problems = [name for name in PROBLEMS if name not in ON_REQUEST]
    add("--problems", nargs="+", choices=PROBLEMS, default=problems)
    add("--ways", nargs="+", choices=WAYS, default=list(WAYS))
    add("--seeds", nargs="+", type=int, default=[0, 1, 2])
    add("--epochs-scale", type=float, default=1.0, help="share of the epochs to train")
    add("--output", type=Path, default=RESULTS / "no_knob.json", help="JSON file for the results")
    add("--data-dir", type=Path, help="folder of data sets: tensorflow_datasets, sst2, ptb")
    add("--threads", type=int, default=environment.THREADS, help="threads of a run")
    add("--jobs", type=int, default=1, help="runs at a time")
    add("--again", action="store_true", help="run again what --output holds")
    return parser.parse_args(argv)


def _is_of(unit: Unit, cell: dict[str, Any]) -> bool:
    names = ("problem", "way", "seed")
    return all(getattr(unit, name) == cell[name] for name in names)


def _train(
    units: list[Unit], jobs: int, threads: int
) -> Iterator[tuple[Unit, list[dict[str, Any]] | Exception]]:
    """Yield each unit with its cells, or with what went wrong."""
    if jobs == 1:
        for unit in units:
            try:
                yield unit, unit.train()
            except Exception as error:
                # One run that fails is no reason to lose a night's others.
                yield unit, error
        return
    # TensorFlow does not work in forked processes.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, context, environment.prepare, (threads,)) as pool:
        runs: dict[Future[list[dict[str, Any]]], Unit] = {
            pool.submit(unit.train): unit for unit in units
        }
        try:
            for each in as_completed(runs):
                error = each.exception()
                yield runs[each], error if isinstance(error, Exception) else each.result()
        finally:
            pool.shutdown(cancel_futures=True)


if __name__ == "__main__":
    sys.exit(main())
