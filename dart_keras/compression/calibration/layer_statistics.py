"""What calibration batches show of a model's compressible layers."""

import contextlib
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from dart_keras.compression.calibration.hooks import listening
from dart_keras.compression.calibration.inference import infer
from dart_keras.compression.calibration.output_loss import (
    OutputStatistics,
    end_error,
    sensitivities,
)
from dart_keras.compression.calibration.partial_runs import Outputs, Runs, spans_of
from dart_keras.compression.compressible import CompressibleLayer
from dart_keras.model_surgery.clone import copy_model
from dart_keras.utils.progress import progress

# Rows of a layer's inputs that show well enough what they have in common: sequences and pictures
# make many of each row of the model's inputs.
_ENOUGH_ROWS = 2**15
_ROWS_PER_INPUT = 16


class Observer:
    """A copy of a model, and what its compressible layers do with calibration batches.

    Args:
        model: A built model. It is left as it is.
        compressibles: Compressible layers of it.
        batches: Calibration batches, one or more.
        others: Layers whose products are counted, too.

    Attributes:
        batches: The batches.
        evidence: For each layer what is known of it, `None` where it is not called.
        order: The layers' places in the order in which they are called.
        weights: For each layer, how much of the relative squared error at the model's end a
            relative squared error of 1 at its outputs makes, to first order; 1 where this is not
            known.
        rows: For each layer, how many rows its matrix is multiplied by for one row of the model's
            inputs.
        other_multiply_adds: Products by the matrices of the other layers for one row.
    """

    def __init__(
        self,
        model: keras.Model,
        compressibles: Sequence[CompressibleLayer],
        batches: Sequence[Any],
        others: Sequence[CompressibleLayer] = (),
    ) -> None:
        self._compressibles = compressibles
        self.batches = batches
        self._reference, self._copies = copy_model(model)
        self.rows: list[float] = []
        statistics = self._count([*compressibles, *others])
        rows, self.rows = self.rows, self.rows[: len(compressibles)]
        self.other_multiply_adds = sum(
            each.dense.multiply_adds * count
            for each, count in zip(others, rows[len(compressibles) :], strict=True)
        )
        self._spans = spans_of(self._reference, self._copies, compressibles, batches[0])
        if self._spans.keys() < {k for k, count in enumerate(self.rows) if count}:
            self._spans = {}  # the first batch does not show where all of them are
        # Runs go forward only, and some layers begin before others whose outputs are told earlier.
        self.order.sort(key=lambda k: self._spans.get(k, (0, 0))[0])
        variances = statistics.variances()
        found = sensitivities(self._reference, self._copies, compressibles, batches, variances)
        self.evidence = self._collect(found)
        self.weights = [
            1.0 if known is None else each.variance(seen, known) * count
            for each, seen, known, count in zip(
                compressibles, self.evidence, found, self.rows, strict=True
            )
        ]

    def runs_of(self, student: keras.Model) -> Runs:
        """Return runs of another copy of the model on the batches."""
        return Runs(student, self.batches, self._spans)

    def runs(self) -> Runs:
        """Return runs of the original model."""
        return self.runs_of(self._reference)

    def evidence_in(
        self, k: int, student: Runs, copies: dict[int, keras.Layer], originals: Runs
    ) -> Any:
        """Return what a layer sees in a student, and the outputs that it should produce.

        Args:
            k: The layer's place.
            student: Runs of a copy of the model in which layers before this one are others.
            copies: By the `id` of a layer of the model the student's.
            originals: As from `runs`, for all layers that are asked for in their order.
        """
        compressible = self._compressibles[k]
        # A layer that was never called gets no evidence here, either.
        evidence = None if self.evidence[k] is None else self.evidence[k].emptied()
        student.forward_to(k)
        originals.forward_to(k)
        rows = 0
        for place in range(len(self.batches)):
            expected = self._calls_in(k, place, originals, self._copies)
            seen = self._calls_in(k, place, student, copies)
            for (inputs, _), (_, outputs) in zip(seen, expected, strict=True):
                compressible.add(evidence, _array(inputs), _array(outputs), self._steps[k])
                rows += 1
        return evidence if rows else None

    def error_of(self, outputs: Callable[[int], Any]) -> float:
        """Return the relative squared error of outputs.

        Args:
            outputs: A function of a batch's place.
        """
        places = range(len(self.batches))
        return end_error(map(self._outputs, places), map(outputs, places))

    def error_of_model(self, student: keras.Model) -> float:
        """Return the relative squared error of the outputs of another model."""
        return self.error_of(lambda place: infer(student, self.batches[place]))

    def _count(self, every: Sequence[CompressibleLayer]) -> OutputStatistics:
        """Find out how often layers are called and for how many rows."""
        statistics = OutputStatistics()
        counts: dict[int, int] = {}
        calls: dict[int, int] = {}

        def count(place: int, _: Any, outputs: Any) -> None:
            rows = len(every[place].output_rows(_array(outputs)))
            counts[place] = counts.get(place, 0) + rows
            calls[place] = calls.get(place, 0) + 1

        with listening(self._copies, every, count):
            self._outputs = Outputs(self._reference, self.batches)
        for place in range(len(self.batches)):
            statistics.add(self._outputs(place))
        # Unless the model decides by the data how often a layer is called.
        self._calls = {
            k: n // len(self.batches) for k, n in calls.items() if not n % len(self.batches)
        }
        samples = sum(len(keras.tree.flatten(batch)[0]) for batch in self.batches)
        self.rows = [counts.get(place, 0) / samples for place in range(len(every))]
        places = range(len(self._compressibles))
        self.order = [k for k in counts if k in places] + [k for k in places if k not in counts]
        self._steps = [_step(each, counts.get(k, 0)) for k, each in enumerate(self._compressibles)]
        return statistics

    def _collect(self, sensitivities: Sequence[np.ndarray | None]) -> list[Any]:
        """Return what the layers see in the original model."""
        evidence = [
            each.evidence(known)
            for each, known in zip(self._compressibles, sensitivities, strict=True)
        ]

        def take(k: int, inputs: Any, outputs: Any) -> None:
            self._compressibles[k].add(evidence[k], _array(inputs), _array(outputs), self._steps[k])

        with listening(self._copies, self._compressibles, take):
            for batch in progress(self.batches, "calibrating"):
                infer(self._reference, batch)
        return [known if self.rows[k] else None for k, known in enumerate(evidence)]

    def _calls_in(
        self, k: int, place: int, runs: Runs, copies: dict[int, keras.Layer]
    ) -> list[tuple[Any, Any]]:
        """Return a layer's inputs and outputs in a batch, for all of its calls or the first few."""
        calls: list[tuple[Any, Any]] = []
        most = self._calls.get(k)

        def take(_: int, inputs: Any, outputs: Any) -> None:
            calls.append((inputs, outputs))
            if len(calls) == most:
                raise _Enough

        with listening(copies, [self._compressibles[k]], take), contextlib.suppress(_Enough):
            runs.through(k, place)
        return calls


class _Enough(BaseException):
    """Ends a model's run early; Keras takes hold of what is an `Exception`."""


def _step(compressible: CompressibleLayer, rows: int) -> int:
    """Of how many rows one is taken, so that there are enough of them and not many more."""
    return max(1, rows // max(_ENOUGH_ROWS, _ROWS_PER_INPUT * len(compressible.kernel)))


def _array(tensor: Any) -> np.ndarray:
    return np.asarray(ops.convert_to_numpy(tensor))
