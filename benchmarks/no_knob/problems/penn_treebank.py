"""Penn Treebank, with the model and the optimizer of `examples/language_model`, size `small`."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path

import keras
import numpy as np

import dart_keras as dk
from benchmarks.no_knob.metrics import PERPLEXITY
from benchmarks.no_knob.problem import Data, Layers, Problem, Rows
from examples.language_model.architecture import SIZES, Architecture
from examples.language_model.corpus import load_corpus
from examples.language_model.model import build_model
from examples.language_model.optimizer import make_optimizer
from examples.language_model.settings import Settings

_SIZE = "small"
_WORDS = 10_000


def _load(folder: Path | None, seed: int) -> Data:
    if folder is None:
        raise FileNotFoundError("Expected --data-dir with a folder `ptb`. Received: none")
    corpus = load_corpus("ptb", folder / "ptb")
    return Data("Penn Treebank", *map(_windows, (corpus.train, corpus.valid, corpus.test)))


def _windows(ids: np.ndarray) -> Rows:
    length = SIZES[_SIZE].length
    end = (len(ids) - 1) // length * length
    return Rows(ids[:end].reshape(-1, length), ids[1 : end + 1].reshape(-1, length))


def _architecture(layers: Layers) -> Architecture:
    # Without ranks the example begins with full ones, with identity cores.
    table = projection = SIZES[_SIZE].width if layers.ranks is None else layers.ranks
    if isinstance(layers.ranks, Mapping):
        # The example has one initial rank for all bands, which is clipped, and one for projections.
        table = max(rank for name, rank in layers.ranks.items() if name.startswith("table"))
        projection = min(rank for name, rank in layers.ranks.items() if name.startswith("block"))
    return Architecture(_SIZE, "dense" if layers.dense else "tt", _WORDS, table, projection)


def _build(layers: Layers) -> keras.Model:
    return build_model(_architecture(layers), rank_regularizer=layers.rank_regularizer)


def _optimizer(
    problem: Problem, model: keras.Model, rate: float, epochs: int, steps: int
) -> keras.optimizers.Optimizer:
    settings = Settings(
        dataset="ptb",
        # What the optimizer looks at is the model.
        architecture=_architecture(Layers()),
        epochs=epochs,
        batch=problem.batch,
        learning_rate=rate,
        projection_rate=0.25,
        weight_decay=problem.weight_decay,
        dropout=0.0,
        regularizer="group-lasso",
        strength=0.0,
        selection="none",
        threshold=0.0,
        parameters=None,
        table_parameters=None,
        cut_epoch=max(1, epochs // 3),
        converged=False,
        seed=0,
    )
    return make_optimizer(settings, steps, model)


SMALL = Problem(
    name="penn_treebank",
    title="Penn Treebank, small transformer",
    load=_load,
    build=_build,
    loss=partial(keras.losses.SparseCategoricalCrossentropy, from_logits=True),
    metric=PERPLEXITY,
    epochs=4,
    batch=16,
    dense_rate=3e-3,
    tt_rate=3e-3,
    initial_rank=512,
    # The table is ten times smaller than a dense one if it gets 512,000 of them.
    target=1_400_000,
    strength=0.03,
    weight_decay=0.01,
    optimizer=_optimizer,
    regularizer=dk.regularizers.GroupLasso,
    jit=True,
    keep_best=True,
)
