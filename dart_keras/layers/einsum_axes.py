"""Axes of an einsum whose kernel is one matrix."""

import re
import string
from dataclasses import dataclass

_EQUATION = re.compile(r"(|\.{3})([a-zA-Z]+)(|\.{3}),([a-zA-Z]+)->\1([a-zA-Z]+)\3")


@dataclass(frozen=True)
class EinsumAxes:
    """Axes of input, kernel and output, one character each; `.` stands for all elided axes.

    Attributes:
        input: Axes of the input, such as `"abc"`.
        kernel: Axes of the kernel, such as `"cde"`.
        output: Axes of the output, such as `"abde"`.
    """

    input: str
    kernel: str
    output: str

    @property
    def summed(self) -> str:
        """Rows of the kernel's matrix, in the order of the input, which avoids a transpose."""
        return "".join(axis for axis in self.input if axis in self.kernel)

    @property
    def new(self) -> str:
        """Columns of the kernel's matrix, in the order of the output."""
        return "".join(axis for axis in self.output if axis in self.kernel)

    @property
    def kept(self) -> str:
        """Axes of the input that are in the output."""
        return "".join(axis for axis in self.input if axis in self.output)

    @property
    def named(self) -> str:
        """Axes of the output without the batch and the elided ones."""
        return self.output[1:].replace(".", "")

    def expanded(self, count: int) -> "EinsumAxes":
        """Return the axes for an input with `count` axes, the elided ones as digits.

        Raises:
            ValueError: If an input with `count` axes does not match.
        """
        elided = count - len(self.input.replace(".", ""))
        # An ellipsis at the start includes at least the batch.
        if elided < self.input.startswith(".") or (elided and "." not in self.input):
            raise ValueError(
                f"Expected an input with the axes {self.input.replace('.', '...')!r}. "
                f"Received: one with {count} axes"
            )
        digits = string.digits[:elided]
        output = self.output.replace(".", digits)
        return EinsumAxes(self.input.replace(".", digits), self.kernel, output)


def einsum_axes(equation: str) -> EinsumAxes:
    """Parse an equation such as `"abc,cde->abde"` or `"...x,xy->...y"`.

    Args:
        equation: An einsum of an input and a kernel, with the batch first in input and output.

    Returns:
        The axes.

    Raises:
        ValueError: If the equation has another form, or the kernel is not one matrix for all rows.

    Example:
        >>> axes = einsum_axes("abcd,dce->abe")
        >>> axes.kept, axes.summed, axes.new
        ('ab', 'cd', 'e')
    """
    match = _EQUATION.fullmatch(equation) if isinstance(equation, str) else None
    left, inputs, right, kernel, outputs = match.groups() if match else [""] * 5
    axes = EinsumAxes(left[:1] + inputs + right[:1], kernel, left[:1] + outputs + right[:1])
    operands = (axes.input, axes.kernel, axes.output)
    every = "".join(operands)
    if shared := set(inputs) & set(kernel) & set(outputs):
        raise ValueError(
            "Expected `equation` with one matrix for all rows. Received: "
            f"equation={equation!r}, with another one for each {''.join(sorted(shared))!r}"
        )
    if (
        match is None
        or any(len(set(operand)) < len(operand) for operand in operands)
        or any(every.count(axis) != 2 for axis in every)
        or axes.input[0] != axes.output[0]
    ):
        raise ValueError(
            "Expected `equation` of the form 'ab,bc->ac', '...b,bc->...c' or 'ab...,bc->ac...', "
            "each axis in two of input, kernel and output, the batch first in input and output. "
            f"Received: equation={equation!r}"
        )
    return axes
