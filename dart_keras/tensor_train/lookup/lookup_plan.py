"""Plans to look up rows of a TT matrix.

A row is a product of slices, one of each core. There are three ways to save work. Digits have fewer
values than there are ids, so merging neighbouring cores first computes the products of their slices
once for all ids. Ids with the same digit can be multiplied together, by one large product of
matrices instead of many small ones. Equal ids can be found first and computed once.
"""

import itertools
import math
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np

from dart_keras.devices import CostModel, Device
from dart_keras.tensor_train.contraction.cost import Cost, Planned, matrix_product_cost, move, total
from dart_keras.utils.table import Table, Tabular

# Grid points of an integral; enough for a relative error below 0.01.
GRID = 512


@lru_cache(maxsize=1024)
def expected_distinct(count: int, vocabulary: int) -> int:
    """Return the expected number of distinct ids, the mean for two kinds of batches.

    In one kind all ids are equally likely, as in shuffled categories. In the other the k-th most
    frequent id is 1 / k times as likely as the most frequent one, as the words of a text (Zipf's
    law).

    Args:
        count: Number of ids.
        vocabulary: Number of possible ids.

    Returns:
        An integer from 1 to the smaller of both arguments.

    Example:
        >>> expected_distinct(4096, 30_522), expected_distinct(4096, 100)
        (2823, 100)
    """
    # An integral over the ranks k by frequency.
    ranks_by_frequency = np.geomspace(0.5, vocabulary + 0.5, GRID)
    harmonic = np.log(vocabulary) + np.euler_gamma
    found = [
        np.trapezoid(-np.expm1(-count * share), ranks_by_frequency)
        for share in (np.full(GRID, 1 / vocabulary), 1 / (harmonic * ranks_by_frequency))
    ]
    return max(1, min(count, vocabulary, round(float(np.mean(found)))))


# Elements per microsecond on a CPU, measured: rows gathered from a table, rows added into a table
# (on one thread), rows grouped by a digit or restored to their order.
GATHERING = 6_000.0
SCATTERING = 1_200.0
GROUPING = 2_000.0
# Ids per microsecond that are compared with each other.
COMPARING = 40.0

# Elements of intermediate results in a block of ids when computing gradients.
BLOCK_ELEMENTS = 2**21
# Each block needs operations of its own.
MAX_BLOCKS = 8


@dataclass(frozen=True)
class Factor:
    """Neighbouring cores, merged into one.

    Attributes:
        first: Index of the first core.
        last: Index of the last core.
        n: Product of their input modes.
        m: Product of their output modes.
        rank: Rank on the left.
        next_rank: Rank on the right.
        grouped: Whether ids are grouped by their digit and each group is multiplied by one slice,
            instead of gathering a slice for every id.
    """

    first: int
    last: int
    n: int
    m: int
    rank: int
    next_rank: int
    grouped: bool = False

    @property
    def slice_size(self) -> int:
        """Number of elements of the slice for one value of the digit."""
        return self.rank * self.m * self.next_rank

    def mirrored(self) -> "Factor":
        """Return the factor with its ranks swapped; it keeps the indices of its cores."""
        return Factor(self.first, self.last, self.n, self.m, self.next_rank, self.rank)


@dataclass(frozen=True, repr=False)
class LookupPlan(Planned, Tabular):
    """How to look up rows of a TT matrix, and its costs. It prints itself as a table.

    Attributes:
        input_modes: Modes n_1...n_d of the rows of the matrix.
        output_modes: Modes m_1...m_d of its columns.
        ranks: All d + 1 ranks.
        count: Number of ids.
        factors: The merged cores, in the order of their multiplication.
        is_mirrored: Whether that order is from the last core to the first.
        is_distinct: Whether equal ids are found first and computed once.
        training: Whether the gradients are included.
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
        """Cost of computing the factors' tables from the cores."""
        return total(self._merging(factor) for factor in self.factors)

    @cached_property
    def rows(self) -> int:
        """Expected number of rows to compute."""
        vocabulary = math.prod(self.input_modes)
        return expected_distinct(self.count, vocabulary) if self.is_distinct else self.count

    @cached_property
    def forward(self) -> Cost:
        """Cost of the rows."""
        steps = [self._gather(self.factors[0])]
        steps += [self._forward(factor, width) for factor, width in self._products()]
        if self.is_distinct:
            comparing = self._model.operator + self.count / COMPARING
            steps.append(Cost(microseconds=comparing))
            steps.append(_moved(self._model, self.count * self._width, GATHERING))
        return self.merging + total(steps) + self._last_move()

    @cached_property
    def backward(self) -> Cost:
        """Cost of the gradients of the cores, given that of the rows.

        Only the ids are kept from the forward pass. Everything else is computed again.
        """
        steps = [self._gather(self.factors[0]), self._scatter(self.factors[0])]
        steps += [self._forward(factor, width) for factor, width in self._products()[:-1]]
        steps += [self._backward(factor, width) for factor, width in self._products()]
        if self.is_distinct:
            steps.append(_moved(self._model, self.count * self._width, SCATTERING))
        return self.merging + self.merging + total(steps) + self._last_move()

    @cached_property
    def blocks(self) -> int:
        """Number of blocks of ids for the gradients; more blocks need less memory."""
        if len(self.factors) == 1:
            return 1
        elements = 2 * self.factors[0].slice_size
        for factor, width in self._products():
            if factor.grouped:
                elements += width * (2 * factor.rank + factor.m * factor.next_rank)
            else:
                elements += 2 * factor.slice_size
        return min(math.ceil(self.rows * elements / BLOCK_ELEMENTS), MAX_BLOCKS)

    @property
    def ends_with_move(self) -> bool:
        """Whether the columns must be brought into the order of the modes."""
        return self.is_mirrored and sum(factor.m > 1 for factor in self.factors) > 1

    def as_table(self) -> Table:
        """Return the costs, and the steps as notes."""
        inputs, outputs = ("x".join(map(str, m)) for m in (self.input_modes, self.output_modes))
        costs = [("forward", self.forward)] + [("backward", self.backward)] * self.training
        notes = [_description(factor, k > 0) for k, factor in enumerate(self.factors)]
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
        """Return the printed table: costs and steps."""
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
        """Return the factors after the first, each with the number of columns before it."""
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

    def _group(self, factor: Factor, elements: int) -> Cost:
        if factor.n == 1:
            return Cost()
        return _moved(self._model, self.rows * elements, GROUPING)

    def _stack(self, factor: Factor, rows: int, inner: int, columns: int) -> Cost:
        """Return the cost of products of matrices for all ids, each of `rows` rows."""
        if not factor.grouped:
            return matrix_product_cost(self._model, rows, inner, columns, self.rows)
        each = math.ceil(self.rows / factor.n)
        return total([matrix_product_cost(self._model, each * rows, inner, columns)] * factor.n)

    def _forward(self, factor: Factor, width: int) -> Cost:
        product = self._stack(factor, width, factor.rank, factor.m * factor.next_rank)
        if not factor.grouped:
            return self._gather(factor) + product
        before = self._group(factor, width * factor.rank)
        return before + product + self._group(factor, width * factor.m * factor.next_rank)

    def _backward(self, factor: Factor, width: int) -> Cost:
        columns = factor.m * factor.next_rank
        state = self._stack(factor, width, columns, factor.rank)
        if not factor.grouped:
            slices = self._stack(factor, factor.rank, width, columns)
            return self._gather(factor) + state + slices + self._scatter(factor)
        each = math.ceil(self.rows / factor.n)
        slices = matrix_product_cost(self._model, factor.rank, each * width, columns)
        grouping = self._group(factor, 2 * width * factor.rank) + self._group(
            factor, width * columns
        )
        return grouping + state + total([slices] * factor.n)


def _moved(model: CostModel, elements: int, speed: float) -> Cost:
    return Cost(0, 2 * elements, elements, 0, model.operator + elements / speed)


def _description(factor: Factor, multiplied: bool) -> str:
    names = " ".join(f"G{k + 1}" for k in range(factor.first, factor.last + 1))
    merged = f"{names} merged" if factor.first < factor.last else names
    slices = f"{factor.n} slices {factor.rank} x {factor.m} x {factor.next_rank}"
    if factor.grouped and factor.n == 1:
        how = "one product for all ids"
    elif factor.grouped:
        how = "ids grouped by their digit, one product for each group"
    else:
        how = "gathered for each id" + (", one product for each id" if multiplied else "")
    return f"{merged}: {slices}, {how}"
