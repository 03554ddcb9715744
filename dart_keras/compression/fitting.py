"""Making the layers of the small model, each fitted to where it will work."""

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from keras import ops

from dart_keras.compression.copying import copy_model
from dart_keras.compression.end_errors import (
    OutputStatistics,
    end_error,
    sensitivities,
)
from dart_keras.compression.inference import infer
from dart_keras.compression.parts import Form, Part
from dart_keras.compression.parts.batch_norm import FoldedBatchNormalization
from dart_keras.compression.progress import progress
from dart_keras.compression.recording import listening, route
from dart_keras.compression.replacing import replace_layers

# Rows of a layer's inputs that show well enough what they have in common: sequences and pictures
# make many of each row of the model's inputs.
_ENOUGH_ROWS = 2**15
_ROWS_PER_INPUT = 16


@dataclass(frozen=True)
class Fitted:
    """A part in its new form.

    Args:
        form: The form that was asked for.
        layer: The new layer, `None` where the part stays as it is.
        error: Its squared error, as in `Form`.
    """

    form: Form
    layer: keras.Layer | None
    error: float


class Fitter:
    """What is known of a model's parts, and how to make smaller layers of them.

    Args:
        model: A built model. It is left as it is.
        parts: Parts of it.
        batches: Calibration batches; without any, weights are all that is known.
        others: Parts that are to stay as they are.

    Attributes:
        weights: For each part, how much of the relative squared error at the model's end a relative
            squared error of 1 at its outputs makes, to first order; 1 where this is not known.
        losses: For each part what its forms do to the model's end, the weight times the error.
        forms: For each part the forms that it can take, the dense one last.
        rows: For each part, how many rows its matrix is multiplied by for one row of the model's
            inputs; `None` without calibration data.
        other_multiply_adds: Products by the matrices of the other parts for one row.
    """

    def __init__(
        self,
        model: keras.Model,
        parts: Sequence[Part],
        batches: Sequence[Any],
        others: Sequence[Part] = (),
    ) -> None:
        self.model = model
        self.parts = parts
        self.batches = batches
        self.weights = [1.0] * len(parts)
        self.rows: list[float] | None = None
        self.other_multiply_adds = 0.0
        self._steps = [1] * len(parts)
        self._order = list(range(len(parts)))
        self._evidence: list[Any] = [None] * len(parts)
        self._calls: dict[int, int] = {}
        if batches:
            self._reference, self._copies = copy_model(model)
            self._evidence = self._observe(others)
        self.forms = [
            [*part.forms(known), part.dense]
            for part, known in progress(
                zip(parts, self._evidence, strict=True), "decomposing layers", len(parts)
            )
        ]
        self.losses = [
            [weight * form.error for form in part]
            for part, weight in zip(self.forms, self.weights, strict=True)
        ]

    def fit(self, forms: Sequence[Form]) -> list[Fitted]:
        """Make the layers, one after another, so that each sees the errors of those before it.

        Args:
            forms: For each part one of its forms.

        Returns:
            For each part what has become of it.
        """
        fitted = [Fitted(form, None, 0.0) for form in forms]
        if self.batches:
            student, copies = copy_model(self.model)
        changed = [k for k in self._order if forms[k].kind != "dense"]
        # For as long as both models are the same, what was observed in the original holds.
        same = True
        for k in progress(changed, "fitting layers"):
            part, known = self.parts[k], self._evidence[k]
            if not forms[k].is_exact:
                if self.batches and not same:
                    known = self._evidence_in(k, student, copies)
                same = False
            layer, error = part.build(forms[k], known)
            fitted[k] = Fitted(forms[k], layer, error)
            if self.batches:
                self._install(part, layer, copies)
        return fitted

    def assemble(self, fitted: Sequence[Fitted]) -> keras.Model:
        """The model with the fitted layers in it."""
        replacements: dict[int, keras.Layer] = {}
        for part, found in zip(self.parts, fitted, strict=True):
            if found.layer is not None:
                replacements[id(part.layer)] = found.layer
                if part.norm is not None:
                    folded = FoldedBatchNormalization(dtype=part.norm.dtype_policy)
                    folded.build(None)
                    replacements[id(part.norm)] = folded
        return replace_layers(self.model, lambda layer: replacements.get(id(layer)))

    def end_error(self, small: keras.Model) -> float | None:
        """The relative squared error of a model's outputs; `None` without calibration data."""
        return end_error(self._reference, small, self.batches) if self.batches else None

    def end_errors(self, fitted: Sequence[Fitted]) -> list[float]:
        """The relative squared error at the end with the parts replaced up to each of them."""
        student, copies = copy_model(self.model)
        errors, error = [0.0] * len(fitted), 0.0
        for k in self._order:
            if (layer := fitted[k].layer) is not None:
                self._install(self.parts[k], layer, copies)
                if not fitted[k].form.is_exact:
                    error = end_error(self._reference, student, self.batches)
            errors[k] = error
        return errors

    def _observe(self, others: Sequence[Part]) -> list[Any]:
        """What the parts see in the original model."""
        statistics = OutputStatistics()
        every = [*self.parts, *others]
        counts: dict[int, int] = {}
        calls: dict[int, int] = {}

        def count(place: int, _: Any, outputs: Any) -> None:
            rows = len(every[place].output_rows(_array(outputs)))
            counts[place] = counts.get(place, 0) + rows
            calls[place] = calls.get(place, 0) + 1

        with listening(self._copies, every, count):
            for batch in self.batches:
                statistics.add(infer(self._reference, batch))
        # Unless the model decides by the data how often a layer is called.
        self._calls = {
            k: n // len(self.batches) for k, n in calls.items() if not n % len(self.batches)
        }
        samples = sum(len(keras.tree.flatten(batch)[0]) for batch in self.batches)
        rows = [counts.get(place, 0) / samples for place in range(len(every))]
        self.rows = rows[: len(self.parts)]
        self.other_multiply_adds = sum(
            part.dense.multiply_adds * r
            for part, r in zip(others, rows[len(self.parts) :], strict=True)
        )
        called = [place for place in counts if place < len(self.parts)]
        self._order = [*called, *(k for k in self._order if k not in counts)]
        found = sensitivities(
            self._reference, self._copies, self.parts, self.batches, statistics.variances()
        )
        evidence = [part.evidence(known) for part, known in zip(self.parts, found, strict=True)]

        self._steps = [_step(part, counts.get(k, 0)) for k, part in enumerate(self.parts)]

        def take(place: int, inputs: Any, outputs: Any) -> None:
            step = self._steps[place]
            self.parts[place].add(evidence[place], _array(inputs), _array(outputs), step)

        with listening(self._copies, self.parts, take):
            for batch in progress(self.batches, "calibrating"):
                infer(self._reference, batch)
        for k, part in enumerate(self.parts):
            if (known := found[k]) is not None:
                variance = part.variance(evidence[k], known)
                self.weights[k] = variance * rows[k]
        return [known if counts.get(k) else None for k, known in enumerate(evidence)]

    @staticmethod
    def _install(part: Part, layer: keras.Layer, copies: dict[int, keras.Layer]) -> None:
        route(copies[id(part.layer)], layer)
        if part.norm is not None:
            route(copies[id(part.norm)], None)

    def _evidence_in(self, k: int, student: keras.Model, copies: dict[int, keras.Layer]) -> Any:
        """What a part sees in the student, and is to make of it."""
        part = self.parts[k]
        # A part that was never called gets no evidence here, either.
        evidence = None if self._evidence[k] is None else self._evidence[k].emptied()
        rows = 0
        most = self._calls.get(k)
        for batch in self.batches:
            expected = _calls(self._reference, self._copies, part, batch, most)
            seen = _calls(student, copies, part, batch, most)
            for (inputs, _), (_, outputs) in zip(seen, expected, strict=True):
                part.add(evidence, _array(inputs), _array(outputs), self._steps[k])
                rows += 1
        return evidence if rows else None


def _step(part: Part, rows: int) -> int:
    """Of how many rows one is taken, so that there are enough of them and not many more."""
    return max(1, rows // max(_ENOUGH_ROWS, _ROWS_PER_INPUT * len(part.kernel)))


class _Enough(BaseException):
    """Ends a model's run early; Keras takes hold of what is an `Exception`."""


def _calls(
    model: keras.Model, copies: dict[int, keras.Layer], part: Part, batch: Any, most: int | None
) -> list[tuple[Any, Any]]:
    """What a part is given and makes of it, in all of its calls or so many."""
    calls: list[tuple[Any, Any]] = []

    def take(_: int, inputs: Any, outputs: Any) -> None:
        calls.append((inputs, outputs))
        if len(calls) == most:
            raise _Enough

    with listening(copies, [part], take), contextlib.suppress(_Enough):
        infer(model, batch)
    return calls


def _array(tensor: Any) -> np.ndarray:
    return np.asarray(ops.convert_to_numpy(tensor))
