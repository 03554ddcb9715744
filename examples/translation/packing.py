"""Pack sentence pairs into rows of one length, so that batches need little padding."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from examples.translation.subwords import END, PADDING, START


@dataclass(frozen=True)
class Rows:
    """Ids, int32 arrays of shape (rows, length), padded with `PADDING`.

    Attributes:
        source: Sentences, each after a `START`.
        target: Their translations, in the same order within a row, each after a `START`.
        labels: The id after each id of `target`; `END` after a sentence.
    """

    source: np.ndarray
    target: np.ndarray
    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.source)


def pack(pairs: Sequence[tuple[list[int], list[int]]], length: int) -> Rows:
    """Pack pairs into rows: longest pairs first, each into the fullest row it fits in.

    Args:
        pairs: Ids of sentences and of their translations, none longer than `length - 1`.
        length: Length of the rows.
    """
    needs = [1 + max(len(source), len(target)) for source, target in pairs]
    rows: list[list[int]] = []
    by_room: dict[int, list[int]] = defaultdict(list)
    for i in sorted(range(len(needs)), key=lambda i: (-needs[i], i)):
        room = next((room for room in range(needs[i], length) if by_room[room]), length)
        if room == length:
            row = len(rows)
            rows.append([])
        else:
            row = by_room[room].pop()
        rows[row].append(i)
        by_room[room - needs[i]].append(row)
    return Rows(
        _fill((([START, *pairs[i][0]] for i in row) for row in rows), length),
        _fill((([START, *pairs[i][1]] for i in row) for row in rows), length),
        _fill((([*pairs[i][1], END] for i in row) for row in rows), length),
    )


def _fill(rows: Iterable[Iterable[list[int]]], length: int) -> np.ndarray:
    lines = [[i for sentence in row for i in sentence] for row in rows]
    filled = np.full((len(lines), length), PADDING, "int32")
    for place, line in zip(filled, lines, strict=True):
        place[: len(line)] = line
    return filled
