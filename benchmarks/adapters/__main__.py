"""Compare methods of fine-tuning a pretrained encoder on sentence tasks.

`python -m benchmarks.adapters --data-dir FOLDER` tries each method's learning rates with the first
seed, then trains with the best of them for the other seeds. Each run is a process of
`examples.fine_tuning` in a folder of its own under `--work`, so an interrupted benchmark goes on
where it was. Results so far are in the file of `--output` at any time.
"""

import argparse
import shlex
import statistics
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from benchmarks.adapters.contenders import CONTENDERS, TASKS
from benchmarks.adapters.runs import AdapterRun
from benchmarks.tables import RESULTS, Results

COLUMNS = (
    *("task", "contender", "rate", "seed", "trained_parameters", "file_bytes", "score"),
    *("seconds_per_step", "peak_megabytes", "int8 score"),
)


def main(argv: list[str] | None = None) -> int:
    parsed = _parse(argv)
    results = Results("Fine-tuning with adapters", COLUMNS, parsed.output)
    failed = 0
    for task in parsed.tasks:
        for contender in parsed.contenders:
            try:
                _compare(parsed, results, task, contender)
            except RuntimeError as error:
                # One method that fails is no reason to lose a night's others.
                failed += 1
                print(f"{task}, {contender}: {error}", file=sys.stderr, flush=True)
    results.finish(summary(results.cells))
    return 1 if failed else 0


def _compare(parsed: argparse.Namespace, results: Results, task: str, contender: str) -> None:
    def run(rate: float, seed: int) -> AdapterRun:
        where = parsed.data_dir, parsed.work, parsed.epochs, tuple(parsed.options)
        made = AdapterRun(task, contender, rate, seed, *where)
        made.train()
        return made

    first, *others = parsed.seeds
    tried = [run(rate, first) for rate in CONTENDERS[contender].rates[: parsed.rates]]
    best = max(tried, key=lambda each: each.cell()["score"])
    chosen = [best, *(run(best.rate, seed) for seed in others)]
    for each in chosen:
        if parsed.convert:
            each.convert()
    for each in [*chosen, *(each for each in tried if each is not best)]:
        cell = {**each.cell(), "is_best_rate": each in chosen}
        file = cell["int8"]
        score = None if file is None else next(iter(file["scores"].values()))
        results.add(cell, {"int8 score": score})


def summary(cells: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """Return mean and standard deviation over the seeds, by contender and task.

    Args:
        cells: The cells of the results.
    """
    found: dict[str, dict[str, list[float]]] = {}
    for cell in cells:
        if cell["is_best_rate"]:
            by_task = found.setdefault(cell["contender"], {})
            by_task.setdefault(cell["task"], []).append(cell["score"])
    return {
        contender: {
            **{
                task: [
                    round(statistics.mean(scores), 4),
                    round(statistics.stdev(scores), 4) if len(scores) > 1 else None,
                ]
                for task, scores in by_task.items()
            },
            "mean": round(statistics.mean(map(statistics.mean, by_task.values())), 4),
        }
        for contender, by_task in found.items()
    }


def _parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="benchmarks.adapters", description=__doc__)
    add = parser.add_argument
    add("--data-dir", type=Path, required=True, help="folder with sst2, glue/mrpc, glue/stsb")
    add("--work", type=Path, default=Path("build/adapters"), help="folder of the runs")
    add("--output", type=Path, default=RESULTS / "adapters.json", help="JSON file for the results")
    add("--tasks", nargs="+", choices=TASKS, default=list(TASKS))
    add("--contenders", nargs="+", choices=CONTENDERS, default=list(CONTENDERS))
    add("--seeds", nargs="+", type=int, default=[0, 1, 2])
    add("--rates", type=int, help="how many learning rates to try; all if not given")
    add("--epochs", type=int, default=3)
    add("--convert", action="store_true", help="measure merged int8 files as well")
    add(
        "--options",
        type=shlex.split,
        default=[],
        help="further options of examples.fine_tuning.train: --options='--length 64'",
    )
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main())
