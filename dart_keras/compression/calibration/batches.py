"""Calibration data as batches that a model takes."""

import math
from collections.abc import Iterable, Iterator
from typing import Any

import keras
import numpy as np
from keras import ops

from dart_keras.calibration_data import input_specs, is_whole, made, read_blocks, rows_in
from dart_keras.compression.calibration.inference import infer_checked
from dart_keras.compression.calibration.sequence_padding import without_padding
from dart_keras.private_apis import input_structure

BATCH = 32

# Enough to see what a layer's inputs have in common; more only takes longer.
MOST_ROWS = 4096

# Of vectors, which a layer sees once each, while it sees many parts of a picture or a sequence, and
# which take less memory.
_VECTORS_IN_BATCH = 256
MOST_VECTORS = 2**14


class CalibrationBatches:
    """Calibration data, read once, as batches of tensors that a model takes.

    Batches have at most 256 vectors or 32 other rows. Those for a model of one batch size have
    that; rows that do not fill one are left out.

    Args:
        model: A built model.
        data: The data, in any form that `dart_keras.calibration_data` names. A model that is
            neither Sequential nor functional gets them in the structure given.
        every_row: Whether all rows are read, for `mixed`; of data that do not tell that they end,
            as many as `read_blocks` reads.

    Attributes:
        some: Batches of at most 16,384 vectors or 4096 other rows: evenly spaced ones of arrays,
            else the first. Where an input says which tokens are padding, without these as far as
            possible.
        places: For each of them the places that its rows had before; `None` if they are in order.

    Raises:
        ValueError: If the data are empty, not finite numbers or not what the model takes.

    Example:
        >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
        >>> [len(batch) for batch in CalibrationBatches(model, np.zeros((300, 4))).some]
        [256, 44]
    """

    def __init__(self, model: keras.Model, data: Any, every_row: bool = False) -> None:
        data = made(data)
        specs = input_specs(model)
        structure = input_structure(model) if getattr(model, "inputs", None) else None
        vectors = _takes_vectors(model)
        self._is_whole = is_whole(data, specs)
        self._bound = batch_size_of(model)
        self._size = self._bound or (_VECTORS_IN_BATCH if vectors else BATCH)
        self._most = MOST_VECTORS if vectors else MOST_ROWS

        def packed(block: Any) -> Any:
            if structure is not None:
                return keras.tree.pack_sequence_as(structure, block)
            return block if specs is None else block[0]

        read = read_blocks(
            data,
            specs,
            structure=structure,
            max_rows=None if every_row else self._most,
            rows_together=self._size,
        )
        blocks = map(packed, read)
        self._blocks = list(blocks) if every_row else []
        self.some, given = self._batches(self._blocks or blocks, self._most)
        if not self.some:
            least = "one row" if self._bound is None else f"{self._bound} rows at a time"
            raise ValueError(
                f"Expected `calibration_data` of {least} or more. Received: {given or 'none'}"
            )
        infer_checked(model, self.some[0])
        self._model = model
        short = without_padding(model, self.some)
        if short is not None:
            self.some = [batch for batch, _ in short]
        self.places = None if short is None else [chosen for _, chosen in short]

    def mixed(self, size: int) -> list[tuple[Any, np.ndarray]]:
        """Return all rows that were read in random batches, the same ones each time.

        Rows of sequences, of which an input says what is padding, are with others of about the same
        length.

        Args:
            size: Rows of a batch, unless the model is bound to a number.

        Returns:
            The batches, each with the places of its rows in the data.
        """
        batches = self._batches(self._blocks, math.inf)[0]
        size = self._bound or size
        if (short := without_padding(self._model, batches, size)) is not None:
            return short
        rows = keras.tree.map_structure(lambda *parts: np.concatenate(parts), *batches)
        order = np.random.default_rng(0).permutation(sum(map(rows_in, batches)))
        places = [order[start : start + size] for start in range(0, len(order), size)]
        return [(_rows_at(rows, chosen), chosen) for chosen in places]

    def _batches(self, blocks: Iterable[Any], most_rows: float) -> tuple[list[Any], int]:
        """Return batches of so many rows, and how many rows the blocks that were read have."""
        batches: list[Any] = []
        left, given = most_rows, 0
        for block in blocks:
            rows = rows_in(block)
            taken = int(min(rows, left))
            kept = np.arange(taken)
            if self._is_whole:
                kept = np.linspace(0, rows - 1, taken).astype(int)
            if self._bound is not None:
                kept = kept[: len(kept) // self._size * self._size]
            batches += _cut(block, kept, self._size)
            given += rows
            left -= taken
            if left <= 0:
                break
        return batches, given


def _cut(block: Any, rows: np.ndarray, size: int) -> Iterator[Any]:
    for start in range(0, len(rows), size):
        yield _rows_at(block, rows[start : start + size])


def _rows_at(block: Any, places: np.ndarray) -> Any:
    return keras.tree.map_structure(lambda x: ops.convert_to_tensor(x[places]), block)


def batch_size_of(model: keras.Model) -> int | None:
    """Return the number of rows that a model is bound to, `None` if it takes any."""
    inputs = keras.tree.flatten(getattr(model, "inputs", None) or [])
    return next((tensor.shape[0] for tensor in inputs if tensor.shape[0] is not None), None)


def _takes_vectors(model: keras.Model) -> bool:
    inputs = keras.tree.flatten(getattr(model, "inputs", None) or [])
    return bool(inputs) and all(
        len(tensor.shape) == 2 and keras.backend.is_float_dtype(tensor.dtype) for tensor in inputs
    )
