"""Rows in blocks: counting them, putting small ones together, and coming to an end."""

import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import keras
import numpy as np

# The arrays of some rows: one for each input, or in the structure given where inputs are not known.
Block = Any

# Of data that do not tell where they end, so many rows are all rows.
_MOST_ROWS = 2**16


def rows_in(block: Block) -> int:
    """Return how many rows a block has."""
    return len(keras.tree.flatten(block)[0])


def first_rows(blocks: Iterator[Block], max_rows: int) -> Iterator[Block]:
    """Yield blocks until they have so many rows, and ask for no more than these."""
    read = 0
    for block in blocks:
        yield block
        read += rows_in(block)
        if read >= max_rows:
            return


def until_end(blocks: Iterator[Block], name: str) -> Iterator[Block]:
    """Yield blocks that may have no end: 65,536 rows or little more, with a warning."""
    read = 0
    for block in blocks:
        if read >= _MOST_ROWS:
            warnings.warn(
                f"The data of `{name}` do not say where they end: the first {read:,} rows of them "
                "are used. Give arrays, or data that have a length, to use more; give fewer rows, "
                "for instance with `take`, to use less.",
                stacklevel=2,
            )
            return
        yield block
        read += rows_in(block)


def together(blocks: Iterator[Block], size: int) -> Iterator[Block]:
    """Yield the same rows in blocks of a multiple of some number of rows.

    The last block may have others, and so may those before a block whose rows have other shapes.
    """
    waiting: list[Block] = []
    count = 0
    for block in blocks:
        if waiting and _row_shapes(block) != _row_shapes(waiting[0]):
            yield _joined(waiting)
            waiting, count = [], 0
        waiting.append(block)
        count += rows_in(block)
        if count >= size:
            joined, whole = _joined(waiting), count // size * size
            yield keras.tree.map_structure(lambda x, whole=whole: x[:whole], joined)
            count -= whole
            rest = keras.tree.map_structure(lambda x, whole=whole: x[whole:], joined)
            waiting = [rest] if count else []
    if waiting:
        yield _joined(waiting)


def _row_shapes(block: Block) -> Any:
    return keras.tree.map_structure(lambda array: str(array.shape[1:]), block)


def _joined(blocks: Sequence[Block]) -> Block:
    if len(blocks) == 1:
        return blocks[0]
    return keras.tree.map_structure(lambda *arrays: np.concatenate(arrays), *blocks)
