"""Compress the sentence encoder MiniLM-L6, and judge it by the similarities of sentences.

`python -m benchmarks.compression.sentences --data-dir FOLDER` compresses to some shares of all
parameters with `compress` and with published methods, calibrated on 512 training sentences of
STS-B without their labels, and prints Spearman's correlation on its dev pairs. Each cell has a
process of its own; what is in the file of results already is not run again.
"""

import argparse
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

# Set before TensorFlow is imported: silence its notices about processors and compilers.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from benchmarks.compression.cells import complete, peak_megabytes
from benchmarks.compression.published_methods import BASELINES, approximate
from benchmarks.compression.sentence_encoder import CALIBRATION_SENTENCES
from benchmarks.tables import RESULTS, Results

SHARES = (0.8, 0.65, 0.5, 0.35)
OURS = {"compress": True, "compress, no data": False}
COLUMNS = (
    *("method", "share", "parameters", "spearman", "cpu_seconds", "megabytes"),
    *("reported_error", "unseen_error"),
)


def main(argv: list[str] | None = None) -> int:
    parsed = _parse(argv)
    if parsed.cell:
        method, share = parsed.cell
        print(json.dumps(measure(method, float(share), parsed.data_dir)))
        return 0
    options = ["--data-dir", str(parsed.data_dir)]
    results = Results("MiniLM-L6 compressed", COLUMNS, parsed.output)
    complete("sentences", results, parsed, options)
    results.finish({"sentences": CALIBRATION_SENTENCES, "pairs": "all of STS-B dev"})
    return 0


def measure(method: str, share: float, data_dir: Path, preset: str | None = None) -> dict[str, Any]:
    """Return the cell of a method.

    Args:
        method: A key of `OURS` or `BASELINES`, or "none" for the model as it is.
        share: The share of all parameters that is left.
        data_dir: Folder with `train.tsv` and `dev.tsv` of STS-B.
        preset: A BERT of KerasHub, MiniLM-L6 if not given.
    """
    from benchmarks.compression.sentence_encoder import SentenceEncoder
    from dart_keras import budgets
    from dart_keras.compression import compress

    encoder = SentenceEncoder(data_dir, preset)
    model, calibration = encoder.model, encoder.calibration()
    before, started = peak_megabytes(), time.process_time()
    budget, reported = int(share * model.count_params()), None
    if method in OURS:
        data = calibration if OURS[method] else None
        model, report = compress(model, budgets.Parameters(budget), data)
        reported = report.end_error
        count = model.count_params()
    elif method == "none":
        count = model.count_params()
    else:
        count = approximate(model, method, budget, calibration)
    seconds, peak = time.process_time() - started, peak_megabytes() - before
    return {
        "method": method,
        "share": share,
        "parameters": count,
        "spearman": encoder.spearman(model),
        "cpu_seconds": round(seconds, 1),
        "megabytes": round(peak),
        "reported_error": reported and round(reported, 4),
        "unseen_error": reported and round(encoder.error(model), 4),
    }


def _parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="benchmarks.compression.sentences", description=__doc__)
    add = parser.add_argument
    add("--data-dir", type=Path, required=True, help="folder with train.tsv and dev.tsv of STS-B")
    add("--output", type=Path, default=RESULTS / "compression_sentences.json")
    add("--shares", nargs="+", type=float, default=SHARES)
    methods = [*OURS, *BASELINES]
    add("--methods", nargs="+", choices=[*methods, "none"], default=methods)
    add("--cell", nargs=2, metavar=("METHOD", "SHARE"), help=argparse.SUPPRESS)
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main())
