"""Compare methods of fine-tuning a pretrained encoder on sentence tasks.

`python -m benchmarks.adapters --data-dir FOLDER` tries each method's learning rates with the first
seed, then trains with the best of them for the other seeds. Each run is a process of
`examples.fine_tuning` in a folder of its own under `--work`, so an interrupted benchmark goes on
where it was. Results so far are in the file of `--output` at any time; what is there already is not
run again, so the benchmark can be done in pieces.
"""

import argparse
import json
import shlex
import statistics
import sys
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from benchmarks.adapters.contenders import CONTENDERS, TASKS
from benchmarks.adapters.runs import AdapterRun
from benchmarks.tables import RESULTS, Results

COLUMNS = (
    *("task", "contender", "rate", "seed", "trained_parameters", "file_bytes", "score"),
    *("seconds_per_step", "peak_megabytes"),
)


def main(argv: list[str] | None = None) -> int:
    parsed = _parse(argv)
    known = _known_cells(parsed)
    results = Results("Fine-tuning with adapters", COLUMNS, parsed.output)
    for cell in known:
        results.add(cell)
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


def _known_cells(parsed: argparse.Namespace) -> list[dict[str, Any]]:
    """Return the cells of the file of results, which are not to be made again.

    Raises:
        SystemExit: If some of a task are of other settings, with which they must not be compared.
    """
    if not parsed.output.exists():
        return []
    cells = json.loads(parsed.output.read_text())["cells"]
    asked = {"epochs": parsed.epochs, "options": parsed.options}
    for cell in cells:
        its = {name: cell[name] for name in asked}
        if cell["task"] in parsed.tasks and its != asked:
            raise SystemExit(
                f"Expected another `--output` for other settings. Received: {parsed.output}, with "
                f"{cell['task']} of {its}, and {asked}"
            )
    return cells


def _compare(parsed: argparse.Namespace, results: Results, task: str, contender: str) -> None:
    def run(rate: float, seed: int) -> AdapterRun:
        where = parsed.data_dir, parsed.work, parsed.epochs, tuple(parsed.options)
        return AdapterRun(task, contender, rate, seed, *where)

    def cell(run: AdapterRun) -> dict[str, Any]:
        for known in results.cells:
            if all(known[name] == value for name, value in run.key().items()):
                return known
        run.train()
        results.add(run.cell())
        return results.cells[-1]

    first, *others = parsed.seeds
    tried = [run(rate, first) for rate in CONTENDERS[contender].rates[: parsed.rates]]
    best = max(tried, key=lambda each: cell(each)["score"])
    for each in [best, *(run(best.rate, seed) for seed in others)]:
        found = cell(each)
        # A cell of an earlier benchmark may be all that is left of its run.
        if parsed.convert and found["int8"] is None and each.is_there():
            each.convert()
            found["int8"] = each.cell()["int8"]


def summary(cells: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """Return means and standard deviations over the seeds at the best rate.

    Args:
        cells: The cells of the results.

    Returns:
        By contender, the mean over the tasks, and by task the mean and the deviation over the
        seeds (`None` for one seed), and the mean of the int8 files if there are any.
    """
    by_contender: dict[str, dict[str, list[dict[str, Any]]]] = {}
    for cell in cells:
        by_contender.setdefault(cell["contender"], {}).setdefault(cell["task"], []).append(cell)
    found: dict[str, dict[str, Any]] = {}
    for contender, by_task in by_contender.items():
        rows = {task: _task_summary(its) for task, its in by_task.items()}
        mean = statistics.mean(row["mean"] for row in rows.values())
        found[contender] = {**rows, "mean": round(mean, 4)}
    return found


def _task_summary(cells: list[dict[str, Any]]) -> dict[str, Any]:
    # The rates were tried with one seed, which therefore has the most cells.
    [(first, _)] = Counter(each["seed"] for each in cells).most_common(1)
    best = max((each for each in cells if each["seed"] == first), key=lambda each: each["score"])
    chosen = [each for each in cells if each["rate"] == best["rate"]]
    scores = [each["score"] for each in chosen]
    int8 = [next(iter(each["int8"]["scores"].values())) for each in chosen if each["int8"]]
    return {
        "rate": best["rate"],
        "mean": round(statistics.mean(scores), 4),
        "deviation": round(statistics.stdev(scores), 4) if len(scores) > 1 else None,
        "seeds": len(scores),
        "int8": round(statistics.mean(int8), 4) if int8 else None,
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
