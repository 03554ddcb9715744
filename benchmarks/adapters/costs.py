"""Measure what adapters cost: time and memory of a training step, inference, bytes of a file.

`python -m benchmarks.adapters.costs` adapts MiniLM-L6 with each contender. Times are taken in turn
in one process, so they are to be compared with each other; nothing else should run. The memory of a
step is that of a process of its own, without oneDNN, whose allocator keeps what it once had.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

# Set before TensorFlow is imported: silence its notices about processors and compilers.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from benchmarks.adapters.contenders import CONTENDERS
from benchmarks.step_memory import peak_increase
from benchmarks.tables import RESULTS, Results

COLUMNS = (
    *("contender", "parameters", "file_bytes", "step", "step_megabytes"),
    *("adapted", "merged", "merged_difference"),
)
# LoRA of rank 8 is what steps are compared with, the pretrained model what inference is.
REFERENCE = "LoRA, rank 8"
# A bottleneck is no kernel.
_NOT_MERGED = {"LoRETTAAdp"}
_LAYERS = ["query", "value"]
_ROWS = 16
_STEPS = 5


def main(argv: list[str] | None = None) -> int:
    parsed = _parse(argv)
    if parsed.memory:
        print(json.dumps(step_megabytes(parsed.memory, parsed.preset, parsed.tokens)))
        return 0
    results = Results("What adapters cost", COLUMNS, parsed.output)
    names = [REFERENCE, *(name for name in parsed.contenders if name != REFERENCE)]
    for cell in measure(names, parsed.preset, parsed.tokens, parsed.seconds):
        cell["step_megabytes"] = _memory_of(cell["contender"], parsed.preset, parsed.tokens)
        results.add(cell)
    results.finish(
        {"rows": _ROWS, "tokens": parsed.tokens, "step": f"share of that of {REFERENCE}"}
    )
    return 0


def measure(
    names: list[str], preset: str | None, tokens: int, seconds: float
) -> Iterator[dict[str, Any]]:
    """Yield the sizes and times of contenders, the first of which is compared with.

    Args:
        names: Keys of `CONTENDERS`.
        preset: As for `build_classifier`.
        tokens: Tokens of a row.
        seconds: About how long each is timed.
    """
    import numpy as np
    import tensorflow as tf

    from benchmarks.timing import interleaved
    from dart_keras import adapters
    from examples.fine_tuning.encoder import build_classifier

    base = build_classifier(preset, 2)
    x, y = _batch(base, tokens)
    adapted = {name: adapted_model(base, name) for name in names}

    def forward(model: Any) -> Any:
        compiled = tf.function(lambda x: model(x, training=False), autograph=False)
        return lambda: np.asarray(compiled(x))

    def step(model: Any) -> Any:
        return lambda: model.train_on_batch(x, y)

    steps = interleaved({name: step(model) for name, model in adapted.items()}, seconds)
    for name, model in adapted.items():
        plain = adapters.merge(model) if CONTENDERS[name].method not in _NOT_MERGED else None
        calls = {"base": forward(base), "adapted": forward(model)}
        if plain is not None:
            calls["merged"] = forward(plain)
        times = interleaved(calls, seconds)
        difference = None
        if plain is not None:
            difference = float(np.max(np.abs(calls["adapted"]() - calls["merged"]())))
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "only.adapter"
            adapters.save(model, file)
            size = file.stat().st_size
        yield {
            "contender": name,
            "parameters": sum(int(np.prod(v.shape)) for v in model.trainable_variables),
            "file_bytes": size,
            "step": _share(steps, name, names[0]),
            "step_milliseconds": steps[name].microseconds / 1000,
            "step_spread": steps[name].spread,
            **{key: _share(times, key, "base") for key in calls if key != "base"},
            "merged_difference": difference,
        }


def adapted_model(base: Any, name: str) -> Any:
    """Return a compiled model with the adapters of a contender and nothing else to train."""
    import keras

    from dart_keras import adapters
    from examples.fine_tuning.train import settings_of

    contender = CONTENDERS[name]
    arguments = ["--task", "sst2", "--data-dir", "none", "--method", contender.method]
    settings = settings_of([*arguments, *map(str, contender.options)])
    model = adapters.adapt(base, settings.adapter_method(), _LAYERS)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(1e-3), loss, jit_compile=False)
    return model


def step_megabytes(name: str, preset: str | None, tokens: int) -> float:
    """Return by how much a training step raises the memory of this process, in megabytes.

    Args:
        name: A key of `CONTENDERS`.
        preset: As for `build_classifier`.
        tokens: Tokens of a row.
    """
    from examples.fine_tuning.encoder import build_classifier

    base = build_classifier(preset, 2)
    x, y = _batch(base, tokens)
    model = adapted_model(base, name)
    for _ in range(2):
        model.train_on_batch(x, y)
    peaks = [peak_increase(lambda: model.train_on_batch(x, y)) for _ in range(_STEPS)]
    return round(statistics.median(peaks) / 1e6, 1)


def _memory_of(name: str, preset: str | None, tokens: int) -> float:
    command = [
        sys.executable,
        "-m",
        "benchmarks.adapters.costs",
        "--memory",
        name,
        "--tokens",
        str(tokens),
    ]
    environment = {**os.environ, "TF_ENABLE_ONEDNN_OPTS": "0"}
    options = ["--preset", preset] if preset else []
    # Its errors are seen.
    done = subprocess.run(
        [*command, *options], stdout=subprocess.PIPE, text=True, check=True, env=environment
    )
    return float(done.stdout.splitlines()[-1])


def _batch(base: Any, tokens: int) -> tuple[dict[str, Any], Any]:
    import numpy as np

    rng = np.random.default_rng(0)
    shape = _ROWS, tokens
    vocabulary = base.get_layer("token_embedding").input_dim
    inputs = {
        "token_ids": rng.integers(vocabulary, size=shape),
        "segment_ids": np.zeros(shape),
        "padding_mask": np.ones(shape),
    }
    ids = {name: values.astype("int32") for name, values in inputs.items()}
    return ids, rng.integers(2, size=_ROWS).astype("int32")


def _share(times: Any, name: str, of: str) -> float:
    return round(times[name].microseconds / times[of].microseconds, 3)


def _parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="benchmarks.adapters.costs", description=__doc__)
    add = parser.add_argument
    known = [name for name in CONTENDERS if CONTENDERS[name].method not in {"full", "head"}]
    add("--contenders", nargs="+", choices=known, default=known)
    add("--preset", help="name or folder of a BERT of KerasHub; MiniLM-L6 if not given")
    add("--tokens", type=int, default=64, help="tokens of a row")
    add("--seconds", type=float, default=10.0, help="about how long each is timed")
    add("--output", type=Path, default=RESULTS / "adapter_costs.json", help="JSON file")
    add("--memory", choices=known, help="measure the memory of a step of one contender alone")
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main())
