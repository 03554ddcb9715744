"""What calibration batches show of a model's compressible layers."""

import contextlib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from dart_keras.calibration_data import rows_in
from dart_keras.compression.calibration.counted_outputs import CountedOutputs
from dart_keras.compression.calibration.gauss_newton import gauss_newton_matrices
from dart_keras.compression.calibration.hooks import forward_hooks
from dart_keras.compression.calibration.inference import infer
from dart_keras.compression.calibration.layer_calls import LayerCalls, as_array, count_calls
from dart_keras.compression.calibration.output_loss import end_error
from dart_keras.compression.calibration.partial_runs import Runs, Spans, spans_of
from dart_keras.compression.calibration.product_counts import ProductCounts, count_products
from dart_keras.compression.calibration.sequence_padding import VisibleRows
from dart_keras.compression.compressible import Candidate, CompressibleLayer, Factorization
from dart_keras.model_surgery.clone import copy_model
from dart_keras.utils.progress import progress

# Rows of a layer, and of the model's inputs, that tell the output error well enough for a report.
_FEW_LAYER_ROWS, _FEW_ROWS = 2**12, 128


@dataclass(frozen=True, eq=False)
class CalibrationStatistics:
    """What a model's compressible layers do with calibration batches.

    `calibration_statistics` makes it.

    Attributes:
        batches: The batches.
        evidence: For each layer what is known of it, `None` where it is not called.
        order: The layers' places in the order in which they are called.
        weights: For each layer, how much of the relative squared error at the model's end a
            relative squared error of 1 at its outputs makes, to first order; 1 where this is not
            known.
        rows: For each layer, how many rows its matrix is multiplied by for one row of the model's
            inputs.
        products: Multiply-adds of the whole model.
    """

    batches: Sequence[Any]
    evidence: Sequence[Any]
    order: Sequence[int]
    weights: Sequence[float]
    rows: Sequence[float]
    products: ProductCounts
    _compressibles: Sequence[CompressibleLayer]
    _reference: keras.Model
    _copies: dict[int, keras.Layer]
    _spans: Spans
    _calls: LayerCalls

    def runs_of(self, student: keras.Model, few: bool = False) -> Runs:
        """Return runs of another copy of the model on the batches, or on a few of them."""
        return Runs(student, self.batches[: self._few if few else None], self._spans)

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
                visible = self._calls.visible[place]
                _add(compressible, evidence, inputs, outputs, self._calls.steps[k], visible)
                rows += 1
        return evidence if rows else None

    def error_of(self, outputs: Callable[[int], Any], few: bool = False) -> float:
        """Return the relative squared error of outputs.

        Args:
            outputs: A function of a batch's place.
            few: Whether only a few batches count.
        """
        places = range(self._few if few else len(self.batches))
        counted = self._calls.counted
        expected = (counted(self._calls.outputs(place)) for place in places)
        received = (counted(outputs(place)) for place in places)
        visible = [self._calls.visible[place] for place in places]
        return end_error(expected, received, visible, counted.weights)

    @property
    def _few(self) -> int:
        """How many batches have enough rows together to measure a model output error."""
        rows = np.cumsum([rows_in(batch) for batch in self.batches])
        # A row of a sequence makes many of outputs, one of a picture one.
        outputs = self._calls.counted(self._calls.outputs(0))
        made = max((y.shape[0] * math.prod(y.shape[1:-1]) for y in outputs), default=rows[0])
        least = max(_FEW_ROWS * rows[0] / made, _FEW_LAYER_ROWS / max([1.0, *self.rows]))
        return min(int(np.searchsorted(rows, least)) + 1, len(self.batches))

    def error_of_model(self, student: keras.Model) -> float:
        """Return the relative squared error of the outputs of another model."""
        return self.error_of(lambda place: infer(student, self.batches[place]))

    def multiply_adds(self, k: int, factorization: Factorization) -> float:
        """Return the multiply-adds of a layer in a factorization for one row of the model's inputs.

        Args:
            k: The layer's place.
            factorization: One that the layer can take.
        """
        compressible = self._compressibles[k]
        counted = self.products.of_layers[id(compressible.layer)]
        return compressible.multiply_adds(factorization, self.rows[k], counted)

    def _calls_in(
        self, k: int, place: int, runs: Runs, copies: dict[int, keras.Layer]
    ) -> list[tuple[Any, Any]]:
        """Return a layer's inputs and outputs in a batch, for all of its calls or the first few."""
        calls: list[tuple[Any, Any]] = []
        most = self._calls.in_a_batch.get(k)

        def take(_: int, inputs: Any, outputs: Any) -> None:
            calls.append((inputs, outputs))
            if len(calls) == most:
                raise _Enough

        with forward_hooks(copies, [self._compressibles[k]], take), contextlib.suppress(_Enough):
            runs.through(k, place)
        return calls


def calibration_statistics(
    model: keras.Model,
    compressibles: Sequence[CompressibleLayer],
    batches: Sequence[Any],
    found: Sequence[Candidate],
    counted: CountedOutputs | None = None,
    places: Sequence[np.ndarray] | None = None,
) -> CalibrationStatistics:
    """Return what calibration batches show of a model, which is run on them several times.

    Args:
        model: A built model. It is left as it is.
        compressibles: Compressible layers of it.
        batches: Calibration batches, one or more.
        found: The layers of the model that have weights.
        counted: Which outputs count; `None` for all alike.
        places: As of `CalibrationBatches`.
    """
    reference, copies = copy_model(model)
    counted = counted or CountedOutputs(model)
    calls = count_calls(reference, copies, compressibles, batches, counted, places)
    rows = calls.rows
    spans = spans_of(reference, copies, compressibles, batches[0])
    if spans.keys() < {k for k, count in enumerate(rows) if count}:
        spans = {}  # the first batch does not show where all of them are
    # Runs go forward only, and some layers begin before others whose outputs are told earlier.
    order = sorted(
        [*calls.order, *(k for k in range(len(rows)) if k not in calls.order)],
        key=lambda k: spans.get(k, (0, 0))[0],
    )
    variances = calls.output_statistics.variances()
    numbers = sum(each.kernel.shape[1] * n for each, n in zip(compressibles, rows, strict=True))
    made = counted(calls.outputs(0))
    numbers += sum(math.prod(y.shape) for y in made) / rows_in(batches[0])
    sensitivities = gauss_newton_matrices(
        reference, copies, compressibles, batches, calls.visible, counted, variances, numbers
    )
    evidence = _collect(reference, copies, compressibles, batches, sensitivities, calls)
    evidence = [known if count else None for known, count in zip(evidence, rows, strict=True)]
    weights = [
        1.0 if known is None else each.variance(seen, known) * count
        for each, seen, known, count in zip(
            compressibles, evidence, sensitivities, calls.visible_rows, strict=True
        )
    ]
    return CalibrationStatistics(
        batches,
        evidence,
        order,
        weights,
        rows,
        count_products(reference, copies, found, batches),
        compressibles,
        reference,
        copies,
        spans,
        calls,
    )


def _collect(
    model: keras.Model,
    copies: dict[int, keras.Layer],
    compressibles: Sequence[CompressibleLayer],
    batches: Sequence[Any],
    sensitivities: Sequence[np.ndarray | None],
    calls: LayerCalls,
) -> list[Any]:
    """Return what the layers see in the original model."""
    evidence = [
        each.evidence(known) for each, known in zip(compressibles, sensitivities, strict=True)
    ]

    present: list[VisibleRows] = []

    def take(k: int, inputs: Any, outputs: Any) -> None:
        _add(compressibles[k], evidence[k], inputs, outputs, calls.steps[k], present[-1])

    with forward_hooks(copies, compressibles, take):
        for place, batch in enumerate(progress(batches, "calibrating")):
            present.append(calls.visible[place])
            infer(model, batch)
    return evidence


def _add(
    compressible: CompressibleLayer,
    evidence: Any,
    inputs: Any,
    outputs: Any,
    step: int,
    rows: VisibleRows,
) -> None:
    made = as_array(outputs)
    visible = rows.of(inputs, len(compressible.output_rows(made)))
    compressible.add(evidence, as_array(inputs), made, step, visible)


class _Enough(BaseException):
    """Ends a model's run early; Keras takes hold of what is an `Exception`."""
