"""Plans to multiply by a TT matrix."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from dart_keras.devices import Device
from dart_keras.tensor_train.contraction.cost import (
    Cost,
    Planned,
    backward,
    forward,
    matrix_product_cost,
    move,
    moves,
    total,
)
from dart_keras.tensor_train.contraction.network import ROWS, Network
from dart_keras.tensor_train.contraction.product import Product
from dart_keras.utils.table import Table, Tabular

# Pairs of operands to multiply: 0 is the input, 1...d are the cores, and each product gets the next
# index.
ContractionPath = tuple[tuple[int, int], ...]


@dataclass(frozen=True, repr=False)
class ContractionPlan(Planned, Tabular):
    """An order in which to multiply by a TT matrix, and its costs. It prints itself as a table.

    Attributes:
        name: Kind of order, such as `"left_to_right"`.
        network: Modes, ranks and number of rows of the plan.
        path: Pairs of operands to multiply, in order.
        batched: For each pair, whether to multiply a stack of matrices instead of moving axes.
        device: The device whose time is estimated.
        training: Whether the gradients are included.
    """

    name: str
    network: Network
    path: ContractionPath
    batched: tuple[bool, ...]
    device: Device
    training: bool

    @cached_property
    def products(self) -> tuple[Product, ...]:
        """The steps of the plan."""
        axes = list(self.network.operands)
        products = []
        for (left, right), batched in zip(self.path, self.batched, strict=True):
            products.append(Product(self.network, axes[left], axes[right], batched))
            axes.append(products[-1].result)
        return tuple(products)

    @cached_property
    def forward(self) -> Cost:
        """Cost of the output."""
        return self._moves() + total(forward(p, self.device.costs) for p, _ in self._steps())

    @cached_property
    def backward(self) -> Cost:
        """Cost of the gradients of input and cores, given that of the output."""
        return self._moves() + total(backward(p, self.device.costs) for p, _ in self._steps())

    @cached_property
    def weights(self) -> int:
        """Number of parameters of the cores after merging."""
        return sum(self.network.size(product.right) for product in self.input_products)

    @cached_property
    def input_products(self) -> tuple[Product, ...]:
        """Products with the input or with earlier results; the others merge cores."""
        return tuple(p for p, (left, _) in self._all_steps() if self._is_grown(left))

    @cached_property
    def peak_elements(self) -> int:
        """Most elements that one operation reads and writes, without the cores."""
        size = self.network.size
        peaks = [2 * size(self.network.output)] if self._ends_with_move else []
        for product, _ in self._steps():
            peaks.append(size(product.left) + size(product.result))
            if product.left != product.left_order:
                peaks.append(2 * size(product.left))
        return max(peaks)

    def dense(self) -> tuple[Cost, Cost]:
        """Return the costs of a dense layer's output and of its gradients on this device."""
        rows, columns = self.network.dense_shape
        count, costs = self.network.rows, self.device.costs
        back = matrix_product_cost(costs, rows, count, columns)
        back += matrix_product_cost(costs, count, columns, rows)
        return matrix_product_cost(costs, count, rows, columns), back

    def as_table(self) -> Table:
        """Return the costs compared with a dense layer, and the steps as notes."""
        network = self.network
        rows, columns = network.dense_shape
        inputs, outputs = (
            "x".join(map(str, modes)) for modes in (network.input_modes, network.output_modes)
        )
        dense = self.dense()
        lines = [_line("forward", self.forward), _line("  dense layer", dense[0])]
        if self.training:
            lines += [_line("backward", self.backward), _line("  dense layer", dense[1])]
        return Table(
            _HEADER,
            "lrrrrr",
            lines,
            title=f"{network.rows} rows times a matrix {rows} x {columns}, modes {inputs} / "
            f"{outputs}, ranks {network.ranks}: {self.name}, estimated for {self.device.name}",
            notes=_steps(self),
        )

    def explain(self) -> str:
        """Return the printed table: costs compared with a dense layer, and steps."""
        return str(self)

    @property
    def makes_whole_rows(self) -> bool:
        """Whether the last product computes whole rows in the right order."""
        return not self._ends_with_move and self.products[-1].before == (ROWS,)

    @property
    def _ends_with_move(self) -> bool:
        return self.products[-1].result != self.network.output

    def _is_grown(self, operand: int) -> bool:
        """Return whether an operand depends on the input."""
        cores = len(self.network.operands) - 1
        return operand == 0 or (
            operand > cores and self._is_grown(self.path[operand - cores - 1][0])
        )

    def _all_steps(self) -> Iterator[tuple[Product, tuple[int, int]]]:
        yield from zip(self.products, self.path, strict=True)

    def _steps(self) -> Iterator[tuple[Product, tuple[int, int]]]:
        """Yield the steps that run with the plan; merged constants are not included."""
        for product, pair in self._all_steps():
            if self._is_grown(pair[0]) or not self.device.runs_files:
                yield product, pair

    def _moves(self) -> Cost:
        costs, constant = self.device.costs, self.device.runs_files
        cost = total(moves(product, costs, constant) for product, _ in self._steps())
        if self._ends_with_move:
            cost += move(costs, self.network.size(self.network.output))
        return cost


_HEADER = ("", "multiply-adds", "bytes moved", "largest array", "transposes", "microseconds")


def _line(title: str, cost: Cost) -> tuple[str, ...]:
    counts = (cost.multiply_adds, cost.bytes_moved, cost.largest_intermediate, cost.transposes)
    return (title, *(f"{count:,}" for count in counts), f"{cost.microseconds:,.1f}")


def _steps(plan: ContractionPlan) -> list[str]:
    cores = len(plan.network.operands) - 1
    names = ["x", *(f"G{k}" for k in range(1, cores + 1))]
    lines = []
    for (left, right), product in zip(plan.path, plan.products, strict=True):
        names.append(f"T{len(names) - cores}")
        sides = [
            (left, product.left, product.left_order),
            (right, product.right, product.right_order),
        ]
        ways = [f"axes of {names[k]} moved" for k, axes, order in sides if axes != order]
        if product.batched:
            ways.append("as a stack of matrices")
        how = f" ({', '.join(ways)})" if ways else ""
        lines.append(
            f"{names[-1]}[{' '.join(product.result)}] = {names[left]}[{' '.join(product.left)}] * "
            f"{names[right]}[{' '.join(product.right)}]{how}"
        )
    return lines
