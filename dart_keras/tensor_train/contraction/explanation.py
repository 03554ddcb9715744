"""Saying in words and figures what a plan does, beside what a dense layer would do."""

from typing import TYPE_CHECKING

from dart_keras.tensor_train.contraction.cost import Cost

if TYPE_CHECKING:
    from dart_keras.tensor_train.contraction.plan import ContractionPlan

_HEADINGS = ("", "multiply-adds", "bytes moved", "largest array", "transposes", "microseconds")


def explanation(plan: "ContractionPlan") -> str:
    """The text of `ContractionPlan.explain`."""
    network = plan.network
    rows, columns = network.dense_shape
    dense = plan.dense()
    lines = [_HEADINGS, _line("forward", plan.forward), _line("  dense layer", dense[0])]
    if plan.training:
        lines += [_line("backward", plan.backward), _line("  dense layer", dense[1])]
    inputs, outputs = ("x".join(map(str, m)) for m in (network.input_modes, network.output_modes))
    return "\n".join(
        [
            f"{network.rows} rows times a matrix {rows} x {columns}, modes {inputs} / {outputs}, "
            f"ranks {network.ranks}: {plan.name}, estimated for {plan.machine.name}",
            *_aligned(lines),
            *_steps(plan),
        ]
    )


def _line(title: str, cost: Cost) -> tuple[str, ...]:
    counts = (cost.multiply_adds, cost.bytes_moved, cost.largest_intermediate, cost.transposes)
    return (title, *(f"{count:,}" for count in counts), f"{cost.microseconds:,.1f}")


def _aligned(lines: list[tuple[str, ...]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return [
        "  ".join(
            [
                line[0].ljust(widths[0]),
                *(c.rjust(w) for c, w in zip(line[1:], widths[1:], strict=True)),
            ]
        )
        for line in lines
    ]


def _steps(plan: "ContractionPlan") -> list[str]:
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
