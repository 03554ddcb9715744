"""A training run: model, optimizer, truncation and resuming."""

import warnings
from pathlib import Path
from typing import Any

import keras
import keras_hub
import numpy as np
import tensorflow as tf
from keras import ops

from examples.language_model.batches import Position, shuffled_batches
from examples.language_model.optimizer import make_optimizer
from examples.language_model.settings import Settings
from examples.language_model.training import Batches, Outcome, compiles_with_xla, fit
from examples.language_model.vocabulary import Vocabulary
from examples.translation.corpus import Corpus, Pairs
from examples.translation.model import build_model
from examples.translation.packing import Rows, pack
from examples.translation.settings import SIZES
from examples.translation.subwords import PADDING, Subwords

_LABEL_SMOOTHING = 0.1


def train(
    settings: Settings,
    corpus: Corpus,
    subwords: Subwords,
    folder: Path,
    checkpoint_steps: int = 200,
    verbose: Any = 2,
) -> Outcome:
    """Train, or resume the run in the folder.

    Args:
        settings: Settings of the run.
        corpus: The sentences.
        subwords: The subwords.
        folder: Folder for checkpoints, TensorBoard files and the plot.
        checkpoint_steps: Steps between checkpoints; there is one after every epoch, too.
        verbose: As for `fit`.

    Raises:
        ValueError: If the folder has a run with other settings, or a file that is no checkpoint; if
            the corpus is too small for one batch.
    """
    length = SIZES[settings.architecture.size].length
    keras.utils.set_random_seed(settings.seed)
    batches = make_batches(
        pack_pairs(corpus.train, subwords, length),
        pack_pairs(corpus.valid, subwords, length),
        settings.batch,
        settings.seed,
    )
    model = build_model(settings.architecture, settings.dropout, settings.rank_regularizer())
    model.compile(
        make_optimizer(settings, batches.steps, model),
        SmoothedCrossentropy(_LABEL_SMOOTHING),
        metrics=[
            keras_hub.metrics.Perplexity(from_logits=True, mask_token_id=PADDING, name="perplexity")
        ],
        jit_compile=compiles_with_xla(settings),
    )
    return fit(
        model,
        settings,
        batches,
        Vocabulary(subwords.pieces),
        folder,
        checkpoint_steps,
        strategy=None,
        verbose=verbose,
        subwords=subwords.to_text(),
    )


def pack_pairs(pairs: Pairs, subwords: Subwords, length: int) -> Rows:
    """Encode and pack pairs; warn of pairs that are too long and left out."""
    encoded = list(zip(subwords.encode(pairs.sources), subwords.encode(pairs.targets), strict=True))
    # Each sentence also has a start or an end.
    short = [pair for pair in encoded if max(map(len, pair)) < length]
    if len(short) < len(encoded):
        warnings.warn(
            f"{len(encoded) - len(short)} of {len(encoded):,} pairs are left out, because a "
            f"sentence has more than {length - 1} subwords.",
            stacklevel=2,
        )
    return pack(short, length)


def make_batches(train: Rows, valid: Rows, batch: int, seed: int) -> Batches:
    """Return data sets of ((source, target), labels).

    Args:
        train: Training rows, in another order in every epoch.
        valid: Validation rows, each once; rows of padding fill the last batch.
        batch: Rows per step.
        seed: Random seed of the orders.

    Raises:
        ValueError: If there are too few rows for one batch.
    """
    if len(train) < batch:
        raise ValueError(
            f"Expected at least one batch of {batch} rows of {train.source.shape[1]} subwords. "
            f"Received: {len(train)} rows"
        )
    position = Position()
    source, target, labels = (
        tf.constant(ids) for ids in (train.source, train.target, train.labels)
    )

    def pick(chosen: Any) -> Any:
        inputs = tf.gather(source, chosen), tf.gather(target, chosen)
        return inputs, tf.gather(labels, chosen)

    missing = -len(valid) % batch
    source_valid, target_valid, labels_valid = (
        np.pad(ids, ((0, missing), (0, 0)), constant_values=PADDING)
        for ids in (valid.source, valid.target, valid.labels)
    )
    validation = tf.data.Dataset.from_tensor_slices(((source_valid, target_valid), labels_valid))
    return Batches(
        shuffled_batches(pick, len(train), batch, position, seed),
        len(train) // batch,
        position,
        validation.batch(batch, drop_remainder=True).prefetch(2),
    )


class SmoothedCrossentropy(keras.losses.Loss):
    """Mean cross-entropy with label smoothing, without padding.

    A share of each label is spread over all words (Szegedy et al. 2016, section 7). Keras supports
    this only for labels as one-hot vectors.

    Args:
        smoothing: The share.
    """

    def __init__(self, smoothing: float) -> None:
        super().__init__("smoothed_crossentropy", reduction=None)
        self.smoothing = smoothing

    def call(self, labels: Any, logits: Any) -> Any:
        exact = keras.losses.sparse_categorical_crossentropy(labels, logits, from_logits=True)
        uniform = ops.logsumexp(logits, axis=-1) - ops.mean(logits, axis=-1)
        losses = (1 - self.smoothing) * exact + self.smoothing * uniform
        counts = ops.cast(ops.not_equal(labels, PADDING), losses.dtype)
        return ops.sum(losses * counts) / ops.maximum(ops.sum(counts), 1)

    def get_config(self) -> dict[str, Any]:
        return {"smoothing": self.smoothing}
