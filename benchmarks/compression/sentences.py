"""Compress the sentence encoder MiniLM-L6, and judge it by the similarities of sentences.

`python -m benchmarks.compression.sentences --data-dir FOLDER` compresses to some shares of all
parameters with `compress` and with published methods, calibrated on 512 training sentences of
STS-B without their labels, and prints Spearman's correlation on its dev pairs. Each cell has a
process of its own; what is in the file of results already is not run again.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

# Set before TensorFlow is imported: silence its notices about processors and compilers.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np

from benchmarks.compression.published_methods import BASELINES, approximate
from benchmarks.tables import RESULTS, Results

SHARES = (0.8, 0.65, 0.5, 0.35)
OURS = {"compress": True, "compress, no data": False}
COLUMNS = ("method", "share", "parameters", "spearman", "cpu_seconds", "megabytes")
_SENTENCES, _TOKENS, _BATCH = 512, 64, 64


def main(argv: list[str] | None = None) -> int:
    parsed = _parse(argv)
    if parsed.cell:
        method, share = parsed.cell
        print(json.dumps(measure(method, float(share), parsed.data_dir)))
        return 0
    known = json.loads(parsed.output.read_text())["cells"] if parsed.output.exists() else []
    results = Results("MiniLM-L6 compressed", COLUMNS, parsed.output)
    for cell in known:
        results.add(cell)
    for share in parsed.shares:
        for method in parsed.methods:
            if not any((c["method"], c["share"]) == (method, share) for c in known):
                results.add(_in_process(method, share, parsed.data_dir))
    results.finish({"sentences": _SENTENCES, "pairs": "all of STS-B dev"})
    return 0


def _in_process(method: str, share: float, data_dir: Path) -> dict[str, Any]:
    cell = ["--cell", method, str(share), "--data-dir", str(data_dir)]
    command = [sys.executable, "-m", "benchmarks.compression.sentences", *cell]
    run = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(run.stdout.splitlines()[-1])


def measure(method: str, share: float, data_dir: Path, preset: str | None = None) -> dict[str, Any]:
    """Return the cell of a method.

    Args:
        method: A key of `OURS` or `BASELINES`, or "none" for the model as it is.
        share: The share of all parameters that is left.
        data_dir: Folder with `train.tsv` and `dev.tsv` of STS-B.
        preset: A BERT of KerasHub, MiniLM-L6 if not given.
    """
    import keras
    import keras_hub

    from dart_keras import budgets
    from dart_keras.compression import compress
    from examples.fine_tuning.encoder import encode, preset_or_default
    from examples.fine_tuning.rows import Rows
    from examples.fine_tuning.tasks import load_rows

    def tokens(sentences: Any) -> dict[str, np.ndarray]:
        rows = Rows((list(sentences),), np.zeros(len(sentences)))
        return encode(preset, rows, _TOKENS)

    dev = load_rows("stsb", data_dir, "dev")
    calibration = tokens(load_rows("stsb", data_dir, "train").sentences[0][:_SENTENCES])
    backbone = keras_hub.models.BertBackbone.from_preset(preset_or_default(preset))
    # Similarities are those of the token vectors, so nothing else is to be kept.
    model = keras.Model(backbone.inputs, backbone.output["sequence_output"])
    pairs = [tokens(each) for each in dev.sentences]
    before, started = _peak(), time.process_time()
    budget = int(share * model.count_params())
    if method in OURS:
        data = calibration if OURS[method] else None
        model = compress(model, budgets.Parameters(budget), data)[0]
        count = model.count_params()
    elif method == "none":
        count = model.count_params()
    else:
        count = approximate(model, method, budget, calibration)
    seconds, peak = time.process_time() - started, _peak() - before
    vectors = [sentence_vectors(model, each) for each in pairs]
    return {
        "method": method,
        "share": share,
        "parameters": count,
        "spearman": round(_spearman(np.sum(vectors[0] * vectors[1], axis=1), dev.labels), 4),
        "cpu_seconds": round(seconds, 1),
        "megabytes": round(peak),
    }


def sentence_vectors(model: Any, tokens: dict[str, np.ndarray]) -> np.ndarray:
    """Return the means of the token vectors of sentences, of length 1.

    Args:
        model: From tokens to token vectors.
        tokens: Its inputs.
    """
    lengths = tokens["padding_mask"].sum(axis=1)
    found: list[Any] = [None] * len(lengths)
    order = np.argsort(lengths)
    for start in range(0, len(order), _BATCH):
        chosen = order[start : start + _BATCH]
        part = {name: each[chosen, : lengths[chosen].max()] for name, each in tokens.items()}
        mask = part["padding_mask"][:, :, None]
        means = np.sum(np.asarray(model(part, training=False)) * mask, axis=1) / mask.sum(axis=1)
        for place, mean in zip(chosen, means, strict=True):
            found[place] = mean / np.linalg.norm(mean)
    return np.array(found)


def _spearman(x: np.ndarray, y: np.ndarray) -> float:
    from examples.fine_tuning.metrics import spearman

    return spearman(y, x[:, None])


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


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
