"""Convert the sentence encoder MiniLM-L6, compressed and healed, for a Raspberry Pi.

`python -m benchmarks.compression.sentence_files --data-dir FOLDER` compresses it to half of its
parameters on 512 training sentences of STS-B, heals it for some minutes on all of them without
their labels, and converts it as it is, compressed and healed. It prints bytes, microseconds of one
sentence of 64 tokens on LiteRT, and Spearman's correlation on dev. Models and cells that are there
already are not made again.
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

import keras

import dart_keras as dk
from benchmarks.compression.sentence_encoder import LENGTH, SentenceEncoder
from benchmarks.tables import RESULTS, Results

MODELS = ("dense", "compressed", "healed")
QUANTIZATIONS = ("float32", "dynamic", "int8")
COLUMNS = (
    *("model", "quantization", "parameters", "seconds", "spearman"),
    *("file_bytes", "microseconds", "file_spearman"),
)
_SHARE = 0.5


def main(argv: list[str] | None = None) -> int:
    parsed = _parse(argv)
    known = json.loads(parsed.output.read_text())["cells"] if parsed.output.exists() else []
    results = Results("MiniLM-L6 on a Raspberry Pi", COLUMNS, parsed.output)
    for cell in known:
        results.add(cell)
    encoder = SentenceEncoder(parsed.data_dir, parsed.preset)
    for name in MODELS:
        model, seconds = _made(name, encoder, parsed)
        score = encoder.spearman(model)
        for quantization in parsed.quantizations:
            if not any((c["model"], c["quantization"]) == (name, quantization) for c in known):
                cell = {
                    "model": name,
                    "quantization": quantization,
                    "parameters": model.count_params(),
                    "seconds": seconds,
                    "spearman": score,
                }
                results.add({**cell, **_file(model, quantization, encoder)})
    results.finish({"share": _SHARE, "minutes of healing": parsed.minutes, "length": LENGTH})
    return 0


def _made(name: str, encoder: SentenceEncoder, parsed: Any) -> tuple[keras.Model, float]:
    """Return a model and the seconds that it took to make it, or to make it of the one before."""
    if name == "dense":
        return encoder.model, 0.0
    path, times = (parsed.work / f"{name}{ending}" for ending in (".keras", ".json"))
    if not times.exists():
        started = time.time()
        if name == "compressed":
            budget = dk.budgets.Parameters(int(_SHARE * encoder.model.count_params()))
            model = dk.compression.compress(encoder.model, budget, encoder.calibration())[0]
        else:
            model = _made("compressed", encoder, parsed)[0]
            data = encoder.every_sentence()
            dk.compression.recover(model, encoder.model, data, minutes=parsed.minutes)
        seconds = time.time() - started
        parsed.work.mkdir(parents=True, exist_ok=True)
        model.save(path)
        times.write_text(json.dumps(round(seconds, 1)))
    return dk.load_model(path), json.loads(times.read_text())


def _file(model: keras.Model, quantization: str, encoder: SentenceEncoder) -> dict[str, Any]:
    inputs = {
        name: keras.Input((LENGTH,), dtype="int32", name=name)
        for name in (tensor.name for tensor in model.inputs)
    }
    fixed = keras.Model(inputs, model(inputs))
    artifact = dk.deployment.convert(
        fixed,
        "raspberry-pi",
        quantization=quantization,
        calibration_data=encoder.calibration(),
    )
    return {
        "file_bytes": artifact.size,
        "microseconds": round(artifact.report["runtimes"]["litert"]["microseconds"]),
        "file_spearman": encoder.spearman(
            lambda tokens: artifact.predict(tokens, runtime="litert"), LENGTH
        ),
    }


def _parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="benchmarks.compression.sentence_files", description=__doc__
    )
    add = parser.add_argument
    add("--data-dir", type=Path, required=True, help="folder with train.tsv and dev.tsv of STS-B")
    add("--preset", help="a BERT of KerasHub, MiniLM-L6 if not given")
    add("--output", type=Path, default=RESULTS / "compression_sentence_files.json")
    add("--work", type=Path, default=Path("build/sentence_files"), help="folder of the models")
    add("--minutes", type=float, default=10.0, help="of healing")
    add("--quantizations", nargs="+", choices=QUANTIZATIONS, default=QUANTIZATIONS)
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main())
