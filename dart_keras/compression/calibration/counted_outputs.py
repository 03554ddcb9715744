"""Which of a model's outputs are to be kept, and how much each of them counts."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import numpy as np

from dart_keras.compression.calibration.output_loss import float_outputs
from dart_keras.utils.argument_checks import is_number
from dart_keras.utils.output_agreement import output_names

# A name, names, weights by name, or a function of the outputs.
OutputChoice = str | Sequence[str] | Mapping[str, float] | Callable[[Any], Any]


class CountedOutputs:
    """Picks the outputs that count out of all that a model gives.

    Args:
        model: A built model.
        outputs: A name of an output, several, weights above 0 by name, or a function that makes
            tensors of the model's outputs, from which gradients can be taken; `None` for all
            outputs of floats, which count alike.

    Attributes:
        weights: For each output that counts its weight; `None` if all count alike.

    Raises:
        TypeError: If `outputs` is none of these.
        ValueError: If it is empty, a weight is not above 0, or the outputs of the model, where its
            structure is known, have no such name.
    """

    def __init__(self, model: keras.Model, outputs: OutputChoice | None = None) -> None:
        self._model = model
        self._function: Callable[[Any], Any] | None = None
        self._names: list[str] | None = None
        self.weights: list[float] | None = None
        if callable(outputs):
            self._function = outputs
        elif isinstance(outputs, str):
            self._names = [outputs]
        elif isinstance(outputs, Mapping):
            self._names, self.weights = list(outputs), [*outputs.values()]
        elif isinstance(outputs, Sequence):
            self._names = list(outputs)
        elif outputs is not None:
            raise TypeError(
                "Expected `outputs` to be a name, names, weights by name or a function. "
                f"Received: outputs={outputs!r}"
            )
        if self._names == []:
            raise ValueError("Expected `outputs` to name at least one. Received: none")
        for weight in self.weights or ():
            if not is_number(weight) or not 0 < weight < float("inf"):
                raise ValueError(
                    f"Expected weights of `outputs` above 0. Received: outputs={outputs!r}"
                )
        known = getattr(model, "output", None) if getattr(model, "inputs", None) else None
        if self._names is not None and known is not None:
            self._named(known)

    def __call__(self, outputs: Any) -> list[Any]:
        """Return the tensors that count.

        Args:
            outputs: All outputs of the model for a batch, or of one made of it.

        Raises:
            ValueError: If there are none of the names, or they are no floats.
        """
        if self._names is not None:
            outputs = self._named(outputs)
        elif self._function is not None:
            outputs = self._function(outputs)
        found = float_outputs(outputs)
        asked = self._names is not None or self._function is not None
        flat = keras.tree.flatten(outputs)
        if asked and (not flat or len(found) < len(flat)):
            kinds = [str(y.dtype) for y in flat] or "none"
            raise ValueError(f"Expected `outputs` that are floats. Received: {kinds}")
        if self._function is not None and any(isinstance(y, np.ndarray) for y in flat):
            raise ValueError(
                "Expected `outputs` to be a function that computes with `keras.ops`, so that "
                "gradients can be taken. Received: one that returns arrays of NumPy"
            )
        return found

    def names(self, outputs: Any) -> list[str]:
        """Return what all that count are called, of some outputs."""
        if self._names is not None:
            return self._names
        if self._function is not None:
            count = len(keras.tree.flatten(self._function(outputs)))
            return [f"outputs_{k}" if count > 1 else "outputs" for k in range(count)]
        return list(_by_name(self._model, outputs))

    def share(self, k: int, count: int) -> float:
        """Return which share of all errors those of an output are.

        Args:
            k: The place of the output among those that count.
            count: How many these are.
        """
        return 1 / count if self.weights is None else self.weights[k] / sum(self.weights)

    def _named(self, outputs: Any) -> list[Any]:
        known = _by_name(self._model, outputs)
        if missing := [name for name in self._names or () if name not in known]:
            raise ValueError(
                f"Expected `outputs` of the model {self._model.name!r} to be some of "
                f"{list(known)}. Received: {missing}"
            )
        return [known[name] for name in self._names or ()]


def _by_name(model: keras.Model, outputs: Any) -> dict[str, Any]:
    if isinstance(outputs, dict) and not any(isinstance(y, dict | list) for y in outputs.values()):
        return dict(outputs)
    flat = keras.tree.flatten(outputs)
    return dict(zip(output_names(model, len(flat)), flat, strict=True))
