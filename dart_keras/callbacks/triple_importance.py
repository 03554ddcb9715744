"""The importance of AdaLoRA's triples, and how many of them are kept at a step."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from keras import ops

from dart_keras.adapters.methods.ada_lora import AdaLoRAAdapter

# Of both moving averages.
_DECAY = 0.85


class TripleImportance:
    """Moving averages of the sensitivity of weights and of its deviation (arXiv:2303.10512).

    The sensitivity of a weight is the absolute value of its product with its gradient, to first
    order what the loss would change by without it. The importance of a weight is the product of
    both averages, that of a triple the sum of that of its number of the diagonal and of the means
    over its row and its column.

    Args:
        adapters: The adapters, built.
    """

    def __init__(self, adapters: Sequence[AdaLoRAAdapter]) -> None:
        self.variables = [each for x in adapters for each in (x.a, x.e, x.b)]
        self._sensitivity = [np.zeros(each.shape) for each in self.variables]
        self._deviation = [np.zeros(each.shape) for each in self.variables]

    def update(self, gradients: Sequence[Any]) -> None:
        """Take the gradients of one batch into account.

        Args:
            gradients: Tensors, one for each of `variables`.
        """
        for k, (variable, gradient) in enumerate(zip(self.variables, gradients, strict=True)):
            weight, slope = (
                ops.convert_to_numpy(x).astype("float64") for x in (variable, gradient)
            )
            now = np.abs(weight * slope)
            mean, deviation = self._sensitivity[k], self._deviation[k]
            mean += (1 - _DECAY) * (now - mean)
            deviation += (1 - _DECAY) * (np.abs(now - mean) - deviation)

    def get_state(self) -> dict[str, Any]:
        """Return the averages, as a JSON-serializable dict."""
        averages = {"sensitivity": self._sensitivity, "deviation": self._deviation}
        return {name: [each.tolist() for each in kept] for name, kept in averages.items()}

    def set_state(self, state: dict[str, Any]) -> None:
        """Go on from what `get_state` returned."""
        self._sensitivity = [np.array(each) for each in state["sensitivity"]]
        self._deviation = [np.array(each) for each in state["deviation"]]

    def of_triples(self) -> list[np.ndarray]:
        """Return for each adapter the importance of its triples."""
        scores = [x * y for x, y in zip(self._sensitivity, self._deviation, strict=True)]
        return [
            a.mean(axis=1) + e + b.mean(axis=0)
            for a, e, b in zip(scores[::3], scores[1::3], scores[2::3], strict=True)
        ]

    def most_important(self, budget: int) -> list[np.ndarray]:
        """Return for each adapter which of its triples to keep.

        Args:
            budget: How many triples of all adapters together.
        """
        importance = self.of_triples()
        order = np.argsort(-np.concatenate(importance), kind="stable")
        kept = np.zeros(len(order), bool)
        kept[order[:budget]] = True
        return np.split(kept, np.cumsum([len(each) for each in importance])[:-1])


def budget_at(step: float, begin: float, end: float, initial: int, target: int) -> int:
    """Return how many triples are kept at a step (arXiv:2303.10512).

    All until `begin`, the target from `end` on, between them along a cubic.

    Args:
        step: The step.
        begin: The step after which the budget falls.
        end: The step from which on it is the target.
        initial: How many triples there are.
        target: How many are left.

    Example:
        >>> [budget_at(step, 10, 30, 100, 20) for step in (5, 10, 20, 30, 40)]
        [100, 100, 30, 20, 20]
    """
    left = (end - min(max(step, begin), end)) / (end - begin)
    return int(target + (initial - target) * left**3)
