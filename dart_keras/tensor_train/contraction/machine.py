"""How fast the machines are that contractions are planned for."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Machine:
    """A rough model of the time that operations take.

    It ranks plans; it is no forecast. A product of matrices takes time for its arithmetic, which is
    slower where a side of a matrix is short, and for its traffic with memory.

    Args:
        name: What it is called.
        operator: Microseconds that any operation takes, however small.
        stack: Microseconds that a product of stacks of matrices takes beyond this.
        move: Microseconds that moving the axes of an array takes beyond this.
        arithmetic: Multiply-adds a microsecond in a product of large matrices.
        short_rows: Number of rows of the left matrix at which a product runs at half that speed.
        short_inner: The same for the length of the sums.
        short_columns: The same for the columns of the right matrix.
        memory: Numbers a microsecond that are read or written in order.
        transposing: Numbers a microsecond whose axes are moved.
        constant_cores: Whether cores are constants, so that merging and transposing them is done
            before the machine starts.
        stacks: Whether products of stacks of matrices run well.
    """

    name: str
    operator: float
    stack: float
    move: float
    arithmetic: float
    short_rows: float
    short_inner: float
    short_columns: float
    memory: float
    transposing: float
    constant_cores: bool = False
    stacks: bool = True

    def product(self, rows: Any, inner: Any, columns: Any, count: Any = 1) -> Any:
        """Microseconds for `count` products of matrices (rows, inner) and (inner, columns).

        The sizes may be arrays, for many products at once.
        """
        arithmetic = (rows + self.short_rows) * (inner + self.short_inner)
        arithmetic = arithmetic * (columns + self.short_columns) / self.arithmetic
        traffic = (rows * inner + inner * columns + rows * columns) / self.memory
        return self.operator + count * (arithmetic + traffic)

    def transpose(self, numbers: Any) -> Any:
        """Microseconds for moving the axes of an array of so many numbers."""
        return self.operator + self.move + numbers / self.transposing


MACHINES = {
    machine.name: machine
    for machine in (
        # Fitted by benchmarks/calibration.py.
        Machine("cpu", 10.0, 30.0, 23.0, 125_000.0, 6.0, 10.0, 8.0, 72_000.0, 3_100.0),
        Machine(
            # LiteRT on one thread of an x86 processor, int8 and float32 files.
            *("raspberry-pi", 0.1, 0.0, 0.0, 300_000.0, 2.0, 16.0, 8.0, 200_000.0, 10_000.0),
            constant_cores=True,
            stacks=False,
        ),
        Machine(
            # The reference kernels of TensorFlow Lite Micro on the same processor.
            *("microcontroller", 0.1, 0.0, 0.0, 2_000.0, 0.1, 3.0, 0.1, 10_000.0, 2_800.0),
            constant_cores=True,
            stacks=False,
        ),
    )
}


def machine_named(name: str) -> Machine:
    """The machine of that name.

    Raises:
        ValueError: If there is none.
    """
    if name not in MACHINES:
        raise ValueError(
            f"Expected `machine` to be one of {tuple(MACHINES)}. Received: machine={name!r}"
        )
    return MACHINES[name]
