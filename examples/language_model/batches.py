"""Windows of text as `tf.data` batches, which can start anywhere in a run of epochs."""

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

# Purposes of an epoch's seeds: the order of its windows and their offset in the text.
_ORDER, _OFFSET = 0, 1
# Batches whose rows are sorted by length together.
_SORTED_BATCHES = 16


class Position:
    """Position in a run of the next batch. A data set reads it when an epoch begins.

    Args:
        epoch: The epoch.
        step: Number of its batches that have been used.
    """

    def __init__(self, epoch: int = 0, step: int = 0) -> None:
        self.epoch = tf.Variable(epoch, dtype="int64", trainable=False)
        self.step = tf.Variable(step, dtype="int64", trainable=False)

    def move(self, epoch: int, step: int) -> None:
        self.epoch.assign(epoch)
        self.step.assign(step)


def training_batches(
    ids: np.ndarray, length: int, batch: int, position: Position, seed: int
) -> tuple[Any, int]:
    """Return windows in an order and from an offset that change with every epoch.

    Both depend only on the seed and the epoch. After an interruption, an epoch therefore continues
    with the batches that are still missing.

    Args:
        ids: The text, int32 of shape (words,).
        length: Words per window.
        batch: Windows per step.
        position: Where each pass through the data set begins.
        seed: An integer.

    Returns:
        A `tf.data.Dataset` of (words, next words), both int32 of shape (batch, length), and the
        number of steps per epoch.

    Raises:
        ValueError: If the text is too short for one batch.
    """
    windows = (len(ids) - length) // length
    steps = windows // batch
    if steps < 1:
        raise ValueError(
            f"Expected at least {(batch + 1) * length:,} words for a batch of {batch} windows of "
            f"{length} words. Received: {len(ids):,} words"
        )
    text = tf.constant(ids)

    def pick(chosen: Any) -> tuple[Any, Any]:
        offset = tf.random.stateless_uniform(
            [], _seeds(seed, _OFFSET, position), 0, length, "int32"
        )
        rows = tf.gather(text, (offset + length * chosen)[:, None] + tf.range(length + 1))
        return rows[:, :-1], rows[:, 1:]

    return shuffled_batches(pick, windows, batch, position, seed), steps


def shuffled_batches(
    pick: Callable[[Any], Any],
    rows: int,
    batch: int,
    position: Position,
    seed: int,
    lengths: np.ndarray | None = None,
) -> Any:
    """Return batches of rows in an order that changes with every epoch.

    Args:
        pick: From row indices, an int32 tensor of shape (batch,), to a batch.
        rows: Number of rows; those that do not fill a batch are left out.
        batch: Rows per step.
        position: Where each pass through the data set begins.
        seed: An integer.
        lengths: Lengths of the rows, integers of shape (rows,). If they are given, rows of about
            the same length get into a batch, so that little of it is padding.

    Returns:
        A `tf.data.Dataset`. A pass that begins within an epoch has as many batches as the others,
        because `fit` takes the length of its first epoch for the length of all. After the epoch's
        last batch come its first ones again, which must not be used.
    """
    steps = rows // batch

    def epoch(_: Any) -> Any:
        order = tf.random.experimental.stateless_shuffle(
            tf.range(rows), _seeds(seed, _ORDER, position)
        )
        if lengths is not None:
            order = _grouped(order, tf.constant(lengths, "int32"), batch)
            batches = tf.reshape(order[: steps * batch], [steps, batch])
            batches = tf.random.experimental.stateless_shuffle(
                batches, _seeds(seed, _ORDER, position)
            )
            order = tf.reshape(batches, [-1])

        def pick_step(step: Any) -> Any:
            step = (position.step + step) % steps
            return pick(tf.ensure_shape(order[step * batch : (step + 1) * batch], [batch]))

        return tf.data.Dataset.range(steps).map(pick_step)

    passes = tf.data.Dataset.from_tensors(0).flat_map(epoch)
    return passes.apply(tf.data.experimental.assert_cardinality(steps)).prefetch(2)


def _grouped(order: Any, lengths: Any, batch: int) -> Any:
    """Sort each run of a few batches by the lengths of its rows."""
    run = tf.range(tf.size(order)) // (_SORTED_BATCHES * batch)
    key = run * (tf.reduce_max(lengths) + 1) + tf.gather(lengths, order)
    return tf.gather(order, tf.argsort(key, stable=True))


def _seeds(seed: int, purpose: int, position: Position) -> Any:
    return tf.stack([tf.constant(2 * seed + purpose, "int64"), position.epoch])


def evaluation_batches(ids: np.ndarray, length: int, batch: int) -> Any:
    """Return windows in order, each word once; an incomplete last window is left out.

    Raises:
        ValueError: If the text is too short for one window.
    """
    windows = (len(ids) - 1) // length
    if windows < 1:
        raise ValueError(
            f"Expected at least {length + 1} words for a window of {length} words. "
            f"Received: {len(ids)} words"
        )
    inputs = ids[: windows * length].reshape(windows, length)
    labels = ids[1 : windows * length + 1].reshape(windows, length)
    return tf.data.Dataset.from_tensor_slices((inputs, labels)).batch(batch).prefetch(2)
