"""Sentiment of SST-2: a table of word embeddings, their mean, and a hidden layer.

It is trained on phrases and judged on whole sentences.
"""

from collections import Counter
from functools import partial
from pathlib import Path

import keras
import numpy as np

from benchmarks.no_knob.metrics import ACCURACY
from benchmarks.no_knob.problem import Data, Layers, Problem, Rows

# With padding, id 0, and unknown words, id 1.
_WORDS = 8192
_LENGTH = 32
_WIDTH = 128
_PHRASES = 16_384


def _load(folder: Path | None, seed: int) -> Data:
    phrases = _read(folder, "train.tsv", skip=1)
    counts = Counter(word for words, _ in phrases for word in words)
    # Ties are in alphabetical order.
    known = sorted(counts, key=lambda word: (-counts[word], word))[: _WORDS - 2]
    ids = {word: i for i, word in enumerate(known, start=2)}
    chosen = np.random.default_rng(0).permutation(len(phrases))[:_PHRASES]
    return Data(
        "SST-2: phrases to learn from, sentences to judge by",
        training=_rows([phrases[i] for i in chosen], ids),
        validation=_rows(_read(folder, "sentences/dev.tsv"), ids),
        test=_rows(_read(folder, "sentences/test.tsv"), ids),
    )


def _read(folder: Path | None, name: str, skip: int = 0) -> list[tuple[list[str], int]]:
    path = None if folder is None else folder / "sst2" / name
    if path is None or not path.is_file():
        raise FileNotFoundError(
            "Expected --data-dir with a folder `sst2`: `train.tsv` of GLUE's SST-2, with a header, "
            "and `sentences/dev.tsv` and `sentences/test.tsv`, lines of a sentence, a tab and 0 or "
            f"1. Received: {folder}"
        )
    lines = path.read_text(encoding="utf-8").splitlines()[skip:]
    pairs = (line.rsplit("\t", 1) for line in lines if line.strip())
    return [(sentence.split(), int(label)) for sentence, label in pairs]


def _rows(sentences: list[tuple[list[str], int]], ids: dict[str, int]) -> Rows:
    x = np.zeros((len(sentences), _LENGTH), "int32")
    for row, (words, _) in zip(x, sentences, strict=True):
        row[: len(words)] = [ids.get(word, 1) for word in words[:_LENGTH]]
    return Rows(x, np.array([label for _, label in sentences], "int32"))


def _build(layers: Layers) -> keras.Model:
    return keras.Sequential(
        [
            keras.Input((_LENGTH,), dtype="int32"),
            layers.make_embedding(_WORDS, _WIDTH, "table"),
            keras.layers.GlobalAveragePooling1D(),
            layers.make_dense(128, "hidden", "relu"),
            keras.layers.Dense(2, name="logits"),
        ]
    )


SENTENCES = Problem(
    name="text",
    title="SST-2, 8192 words of width 128",
    load=_load,
    build=_build,
    loss=partial(keras.losses.SparseCategoricalCrossentropy, from_logits=True),
    metric=ACCURACY,
    epochs=4,
    batch=128,
    dense_rate=1e-3,
    tt_rate=1e-2,
    initial_rank=16,
    target=7_000,
    strength=0.1,
    weight_decay=0.01,
)
