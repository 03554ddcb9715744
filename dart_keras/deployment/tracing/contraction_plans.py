from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from dart_keras.deployment.schemes import QuantizationScheme
from dart_keras.layers.planning import device_planning, fastest_of_its_size
from dart_keras.tensor_train.contraction import ContractionPlan

# A layer and a TT matrix that it multiplies by. An embedding has two: the table and its transpose.
Key = tuple[int, Any]


@dataclass(frozen=True)
class StoredPlan:
    """One way to multiply by a layer's TT matrix on the device.

    Attributes:
        layer: The layer's path.
        plan: The order of contraction, with some cores merged beforehand or none.
        stored: Bytes that its constants take in the file.
    """

    layer: str
    plan: ContractionPlan
    stored: int

    def saves(self, other: "StoredPlan") -> float:
        """Return the estimated microseconds that this option saves compared with another."""
        return other.plan.microseconds - self.plan.microseconds


@dataclass
class DevicePlans:
    """The orders of contraction of a model's layers on a device.

    Attributes:
        target: Name of the device whose time is estimated.
        scheme: How the weights are stored.
        chosen: The option of each TT matrix for which one was chosen. All others use the fastest
            option that holds at most as many elements as the cores themselves.
        options: The options of each TT matrix that was met so far.
    """

    target: str
    scheme: QuantizationScheme
    chosen: dict[Key, StoredPlan] = field(default_factory=dict)
    options: dict[Key, list[StoredPlan]] = field(default_factory=dict)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Let the layers that are called inside the context use these plans."""
        with device_planning(self.target, self._choose):
            yield

    def used(self) -> dict[Key, StoredPlan]:
        """Return the option of each TT matrix that was met."""
        return {
            key: self.chosen.get(key, _fastest_of_its_size(options))
            for key, options in self.options.items()
        }

    def enlarged(self, extra: int) -> "DevicePlans":
        """Return faster plans whose constants take at most so many more bytes.

        The bytes go, one change after another, to where each of them saves most estimated time.
        """
        used = self.used()
        while True:
            changes = [
                (option.saves(used[key]) / max(option.stored - used[key].stored, 1), key, option)
                for key, options in self.options.items()
                for option in options
                if option.saves(used[key]) > 0 and option.stored - used[key].stored <= extra
            ]
            if not changes:
                return DevicePlans(self.target, self.scheme, used)
            _, key, option = max(changes, key=lambda change: change[0])
            extra -= option.stored - used[key].stored
            used[key] = option

    def smallest(self) -> "DevicePlans":
        """Return the plans whose constants take the fewest bytes."""
        chosen = {
            key: min(options, key=lambda option: option.stored)
            for key, options in self.options.items()
        }
        return DevicePlans(self.target, self.scheme, chosen)

    def as_dicts(self) -> list[dict[str, Any]]:
        """Return what each layer uses, for a report in JSON."""
        return [
            {
                "layer": option.layer,
                "plan": option.plan.name,
                "weights": option.plan.weights,
                "multiply_adds": option.plan.multiply_adds,
                "estimated_microseconds": option.plan.microseconds,
            }
            for option in self.used().values()
        ]

    def _choose(self, layer: Any, plans: list[ContractionPlan]) -> ContractionPlan:
        key = (id(layer), plans[0].network)
        self.options[key] = [
            StoredPlan(layer.path, plan, stored_bytes(plan, self.scheme)) for plan in plans
        ]
        return self.used()[key].plan


def stored_bytes(plan: ContractionPlan, scheme: QuantizationScheme) -> int:
    """Return the bytes that a plan's constants take in a file, with a scale for each column.

    Args:
        plan: An order of contraction.
        scheme: How the weights are stored.
    """
    size = plan.network.size
    total = 0
    for product in plan.input_products:
        elements = size(product.right)
        total += elements * scheme.bytes_per_weight(elements)
        total += 4 * size(product.new) if scheme.bytes_per_weight(elements) == 1 else 0
    return total


def _fastest_of_its_size(options: list[StoredPlan]) -> StoredPlan:
    plan = fastest_of_its_size([option.plan for option in options])
    return next(option for option in options if option.plan is plan)
