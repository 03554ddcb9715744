"""A way to look up rows of a matrix that is held as a tensor train.

A row is a product of slices, one of each core, so that every id is worked out by itself at first
sight. But there are fewer values of a digit than ids: neighbouring cores may be merged first, which
works out the products of their slices once for all ids; and ids that share a digit can be
multiplied together, by one product of large matrices in the place of many of small ones. Ids that
are equal may also be found first, and worked out once.
"""

import itertools
import math
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np

from dart_keras.devices import CostModel, Device
from dart_keras.tensor_train.contraction.cost import Cost, Planned, matrix_product_cost, move, total
from dart_keras.utils.table import Table, Tabular

# Enough for an error of less than a hundredth.
GRID = 512


@lru_cache(maxsize=1024)
def expected_distinct(count: int, vocabulary: int) -> int:
    """How many different ids to expect: the mean of what two kinds of batches would have.

    In one kind all ids are alike, as in shuffled categories. In the other the k-th most frequent
    one is drawn 1 / k times as often as the most frequent one, as the words of a text are (Zipf's
    law).

    Args:
        count: How many ids there are.
        vocabulary: How many different ones there can be.

    Returns:
        A number from 1 to the smaller one of both arguments.

    Example:
        >>> expected_distinct(4096, 30_522), expected_distinct(4096, 100)
        (2823, 100)
    """
    # An integral over the places k in the order of frequency.
    places = np.geomspace(0.5, vocabulary + 0.5, GRID)
    harmonic = np.log(vocabulary) + np.euler_gamma
    found = [
        np.trapezoid(-np.expm1(-count * share), places)
        for share in (np.full(GRID, 1 / vocabulary), 1 / (harmonic * places))
    ]
    return max(1, min(count, vocabulary, round(float(np.mean(found)))))


# Numbers a microsecond on a CPU, measured: rows picked from a table, rows added into a table (on
# one thread), rows parted by a digit or put together again.
GATHERING = 6_000.0
SCATTERING = 1_200.0
PARTING = 2_000.0
# Ids a microsecond that are compared with each other.
COMPARING = 40.0

# How many numbers the gradients may be worked out with at a time.
NUMBERS_AT_A_TIME = 2**21
# Each block takes operations of its own.
MOST_BLOCKS = 8


@dataclass(frozen=True)
class Factor:
    """Neighbouring cores, merged to one.

    Attributes:
        first: Index of the first of the cores.
        last: Index of the last of the cores.
        n: Product of their input modes.
        m: Product of their output modes.
        rank: The rank on the left.
        next_rank: The rank on the right.
        parted: Whether ids are parted by their digit, and each part multiplied by one slice, in the
            place of a slice being gathered for every id.
    """

    first: int
    last: int
    n: int
    m: int
    rank: int
    next_rank: int
    parted: bool = False

    @property
    def slice_size(self) -> int:
        """Numbers in the slice for one value of the digit."""
        return self.rank * self.m * self.next_rank

    def mirrored(self) -> "Factor":
        """The factor read from its other end; it keeps the indices of its cores."""
        return Factor(self.first, self.last, self.n, self.m, self.next_rank, self.rank)


@dataclass(frozen=True, repr=False)
class LookupPlan(Planned, Tabular):
    """How to look up rows of a TT matrix, and what that costs. It prints itself as a table.

    Attributes:
        input_modes: Modes n_1...n_d of the train.
        output_modes: Modes m_1...m_d of the train.
        ranks: All d + 1 ranks.
        count: How many ids it was made for.
        factors: The merged cores in the order in which they are multiplied.
        is_mirrored: Whether that order is from the last core to the first.
        is_distinct: Whether equal ids are found first, and worked out once.
        training: Whether the gradients count, too.
        device: The device whose time is estimated.
    """

    input_modes: tuple[int, ...]
    output_modes: tuple[int, ...]
    ranks: tuple[int, ...]
    count: int
    factors: tuple[Factor, ...]
    is_mirrored: bool
    is_distinct: bool
    training: bool
    device: Device

    @cached_property
    def merging(self) -> Cost:
        """What making the factors' tables out of the cores costs."""
        return total(self._merging(factor) for factor in self.factors)

    @cached_property
    def rows(self) -> int:
        """How many rows are worked out, as far as can be expected."""
        vocabulary = math.prod(self.input_modes)
        return expected_distinct(self.count, vocabulary) if self.is_distinct else self.count

    @cached_property
    def forward(self) -> Cost:
        """What the rows cost."""
        steps = [self._gather(self.factors[0])]
        steps += [self._forward(factor, width) for factor, width in self._products()]
        if self.is_distinct:
            comparing = self._model.operator + self.count / COMPARING
            steps.append(Cost(microseconds=comparing))
            steps.append(_moved(self._model, self.count * self._width, GATHERING))
        return self.merging + total(steps) + self._last_move()

    @cached_property
    def backward(self) -> Cost:
        """What the gradients of the cores cost, given that of the rows.

        Only the ids are kept from the forward pass. What else is needed is worked out again.
        """
        steps = [self._gather(self.factors[0]), self._scatter(self.factors[0])]
        steps += [self._forward(factor, width) for factor, width in self._products()[:-1]]
        steps += [self._backward(factor, width) for factor, width in self._products()]
        if self.is_distinct:
            steps.append(_moved(self._model, self.count * self._width, SCATTERING))
        return self.merging + self.merging + total(steps) + self._last_move()

    @cached_property
    def blocks(self) -> int:
        """In how many blocks of ids the gradients are worked out, so that little memory is used."""
        if len(self.factors) == 1:
            return 1
        numbers = 2 * self.factors[0].slice_size
        for factor, width in self._products():
            if factor.parted:
                numbers += width * (2 * factor.rank + factor.m * factor.next_rank)
            else:
                numbers += 2 * factor.slice_size
        return min(math.ceil(self.rows * numbers / NUMBERS_AT_A_TIME), MOST_BLOCKS)

    @property
    def ends_with_move(self) -> bool:
        """Whether the columns of the rows must be brought into the order of the train."""
        return self.is_mirrored and sum(factor.m > 1 for factor in self.factors) > 1

    def as_table(self) -> Table:
        """Return the costs, and the steps below them."""
        inputs, outputs = ("x".join(map(str, m)) for m in (self.input_modes, self.output_modes))
        costs = [("forward", self.forward)] + [("backward", self.backward)] * self.training
        notes = [_described(factor, k > 0) for k, factor in enumerate(self.factors)]
        if self.is_distinct:
            notes.insert(
                0, f"equal ids are computed once, about {self.rows} are expected to differ"
            )
        if self.ends_with_move:
            notes.append("columns are brought into the order of the modes")
        return Table(
            ("", "multiply-adds", "bytes moved", "microseconds"),
            "lrrr",
            [
                (
                    name,
                    f"{cost.multiply_adds:,}",
                    f"{cost.bytes_moved:,}",
                    f"{cost.microseconds:,.1f}",
                )
                for name, cost in costs
            ],
            title=f"{self.count} ids, modes {inputs} / {outputs}, ranks {self.ranks}, "
            f"estimated for {self.device.name}",
            notes=notes,
        )

    def explain(self) -> str:
        """Return what is printed: the costs, and the steps."""
        return str(self)

    @property
    def _model(self) -> CostModel:
        return self.device.costs

    @property
    def _width(self) -> int:
        return math.prod(self.output_modes)

    def _last_move(self) -> Cost:
        return move(self._model, self.rows * self._width) if self.ends_with_move else Cost()

    def _products(self) -> list[tuple[Factor, int]]:
        """The factors after the first, with the number of columns that the rows have by then."""
        widths = itertools.accumulate((factor.m for factor in self.factors), lambda a, b: a * b)
        return list(zip(self.factors[1:], widths, strict=False))

    def _merging(self, factor: Factor) -> Cost:
        costs = []
        n, m = self.input_modes[factor.first], self.output_modes[factor.first]
        for k in range(factor.first + 1, factor.last + 1):
            rows, columns = self.ranks[factor.first] * n * m, self.input_modes[k]
            columns *= self.output_modes[k] * self.ranks[k + 1]
            costs += [
                matrix_product_cost(self._model, rows, self.ranks[k], columns),
                move(self._model, rows * columns),
            ]
            n, m = n * self.input_modes[k], m * self.output_modes[k]
        return total(costs)

    def _gather(self, factor: Factor) -> Cost:
        return _moved(self._model, self.rows * factor.slice_size, GATHERING)

    def _scatter(self, factor: Factor) -> Cost:
        return _moved(self._model, self.rows * factor.slice_size, SCATTERING)

    def _part(self, factor: Factor, numbers: int) -> Cost:
        if factor.n == 1:
            return Cost()
        return _moved(self._model, self.rows * numbers, PARTING)

    def _stack(self, factor: Factor, rows: int, inner: int, columns: int) -> Cost:
        """Products of matrices for all ids, each of so many rows."""
        if not factor.parted:
            return matrix_product_cost(self._model, rows, inner, columns, self.rows)
        each = math.ceil(self.rows / factor.n)
        return total([matrix_product_cost(self._model, each * rows, inner, columns)] * factor.n)

    def _forward(self, factor: Factor, width: int) -> Cost:
        product = self._stack(factor, width, factor.rank, factor.m * factor.next_rank)
        if not factor.parted:
            return self._gather(factor) + product
        before = self._part(factor, width * factor.rank)
        return before + product + self._part(factor, width * factor.m * factor.next_rank)

    def _backward(self, factor: Factor, width: int) -> Cost:
        columns = factor.m * factor.next_rank
        state = self._stack(factor, width, columns, factor.rank)
        if not factor.parted:
            slices = self._stack(factor, factor.rank, width, columns)
            return self._gather(factor) + state + slices + self._scatter(factor)
        each = math.ceil(self.rows / factor.n)
        slices = matrix_product_cost(self._model, factor.rank, each * width, columns)
        parting = self._part(factor, 2 * width * factor.rank) + self._part(factor, width * columns)
        return parting + state + total([slices] * factor.n)


def _moved(model: CostModel, numbers: int, speed: float) -> Cost:
    return Cost(0, 2 * numbers, numbers, 0, model.operator + numbers / speed)


def _described(factor: Factor, is_multiplied: bool) -> str:
    names = " ".join(f"G{k + 1}" for k in range(factor.first, factor.last + 1))
    merged = f"{names} merged" if factor.first < factor.last else names
    slices = f"{factor.n} slices {factor.rank} x {factor.m} x {factor.next_rank}"
    if factor.parted and factor.n == 1:
        way = "one product for all ids"
    elif factor.parted:
        way = "ids grouped by their digit, one product for each group"
    else:
        way = "picked for each id" + (", one product for each id" if is_multiplied else "")
    return f"{merged}: {slices}, {way}"
