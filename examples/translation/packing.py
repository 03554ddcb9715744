"""Pairs of sentences side by side in rows of one length, so that little of a batch is padding."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from examples.translation.subwords import END, PADDING, START


@dataclass(frozen=True)
class Rows:
    """Ids, int32 arrays (rows, length); what is left of a row is `PADDING`.

    Args:
        source: Sentences, each with `START` in front.
        target: Their translations, likewise: the k-th of a row is that of the row's k-th sentence.
        labels: What follows each id of `target`, `END` behind a sentence.
    """

    source: np.ndarray
    target: np.ndarray
    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.source)


def pack(pairs: Sequence[tuple[list[int], list[int]]], length: int) -> Rows:
    """Put pairs into rows, the longest first, each where the least room is left behind it.

    Args:
        pairs: Ids of sentences and of their translations, none longer than `length - 1`.
        length: Of the rows.
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
