"""Run the situations and print a table.

`python -m benchmarks.field` runs all of them, `--only data callbacks.all_ranks_one` those whose
names begin so. Results so far are in the file of `--output` at any time; with `--resume` they are
not run again. If a situation is not good, the command ends with exit code 1.
"""

import argparse
import json
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

from benchmarks.field.outcome import GOOD
from benchmarks.field.process import run_alone
from benchmarks.field.situation import load_all
from benchmarks.tables import RESULTS, Results

COLUMNS = ("outcome", "seconds", "situation", "said")
WIDTH = 120


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="benchmarks.field", description=__doc__)
    parser.add_argument("--only", nargs="+", default=[""], help="how the names begin")
    parser.add_argument("--jobs", type=int, default=2, help="situations at a time")
    parser.add_argument("--list", action="store_true", help="print the situations, run nothing")
    parser.add_argument("--resume", action="store_true", help="go on with what --output holds")
    parser.add_argument("--output", type=Path, help="JSON file for the results")
    arguments = parser.parse_args(argv)
    known = load_all()
    names = [name for name in sorted(known) if name.startswith(tuple(arguments.only))]
    if not names:
        parser.error(f"Expected --only to name situations. Received: {arguments.only}.")
    if arguments.list:
        for name in names:
            print(f"{name:40} {known[name].story}")
        return 0
    path = arguments.output
    if path is None and names == sorted(known):
        path = RESULTS / "field.json"
    earlier = []
    if arguments.resume and path is not None and path.exists():
        cells = json.loads(path.read_text())["cells"]
        earlier = [cell for cell in cells if cell["situation"] in names]
    results = Results("Situations that users were in", COLUMNS, path)
    for cell in earlier:
        results.add(cell, _shown(cell))
    done = {cell["situation"] for cell in earlier}
    with ThreadPoolExecutor(arguments.jobs) as pool:
        runs = [pool.submit(run_alone, name) for name in names if name not in done]
        try:
            for each in as_completed(runs):
                cell = each.result()
                cell["story"] = known[str(cell["situation"])].story
                results.add(cell, _shown(cell))
        except KeyboardInterrupt:
            pool.shutdown(cancel_futures=True)
            raise
    counts = Counter(cell["outcome"] for cell in results.cells)
    bad = sorted(c["situation"] for c in results.cells if c["outcome"] not in GOOD)
    results.finish({"situations": len(results.cells), **counts, "not good": bad})
    return 1 if bad else 0


def _shown(cell: dict[str, object]) -> dict[str, object]:
    said = " ".join(str(cell["said"]).split())
    return {"said": said if len(said) <= WIDTH else said[: WIDTH - 1] + "…"}


if __name__ == "__main__":
    sys.exit(main())
