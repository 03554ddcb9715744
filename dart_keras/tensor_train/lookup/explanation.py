"""Saying in words and figures how rows are looked up."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dart_keras.tensor_train.lookup.plan import Factor, LookupPlan


def explanation(plan: "LookupPlan") -> str:
    """The text of `LookupPlan.explain`."""
    inputs, outputs = ("x".join(map(str, m)) for m in (plan.input_modes, plan.output_modes))
    costs = [("forward", plan.forward)] + [("backward", plan.backward)] * plan.training
    lines = [
        f"{plan.count} ids, modes {inputs} / {outputs}, ranks {plan.ranks}, "
        f"estimated for {plan.machine.name}",
        f"{'':8}  {'multiply-adds':>15}  {'bytes moved':>15}  {'microseconds':>13}",
    ]
    lines += [
        f"{title:8}  {cost.multiply_adds:15,}  {cost.bytes_moved:15,}  {cost.microseconds:13,.1f}"
        for title, cost in costs
    ]
    if plan.is_distinct:
        lines.append(f"equal ids are worked out once, about {plan.rows} are expected to differ")
    lines += [_described(factor, k > 0) for k, factor in enumerate(plan.factors)]
    if plan.ends_with_move:
        lines.append("columns are brought into the order of the modes")
    return "\n".join(lines)


def _described(factor: "Factor", is_multiplied: bool) -> str:
    names = " ".join(f"G{k + 1}" for k in range(factor.first, factor.last + 1))
    merged = f"{names} merged" if factor.first < factor.last else names
    slices = f"{factor.n} slices {factor.rank} x {factor.m} x {factor.next_rank}"
    if factor.parted and factor.n == 1:
        way = "one product for all ids"
    elif factor.parted:
        way = "ids parted by their digit, one product for each part"
    else:
        way = "picked for each id" + (", one product for each id" if is_multiplied else "")
    return f"{merged}: {slices}, {way}"
