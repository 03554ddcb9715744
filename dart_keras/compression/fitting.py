"""Making the layers of the small model, each fitted to where it will work."""

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import keras

from dart_keras.compression.copying import copy_model
from dart_keras.compression.observing import Observer
from dart_keras.compression.parts import Form, Part
from dart_keras.compression.parts.batch_norm import FoldedBatchNormalization
from dart_keras.compression.progress import progress
from dart_keras.compression.recording import route
from dart_keras.compression.replacing import replace_layers


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
        self._order = list(range(len(parts)))
        self._evidence: list[Any] = [None] * len(parts)
        self._observer: Observer | None = None
        if batches:
            self._observer = Observer(model, parts, batches, others)
            self.weights, self.rows = self._observer.weights, self._observer.rows
            self.other_multiply_adds = self._observer.other_multiply_adds
            self._order, self._evidence = self._observer.order, self._observer.evidence
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

    def without_low_rank(self) -> "Fitter":
        """The same, parts with balanced trains taking no low-rank ones."""
        other = copy.copy(self)
        kept = [
            [
                k
                for k, form in enumerate(part)
                if form.kind != "low rank" or all(each.kind != "tensor train" for each in part)
            ]
            for part in self.forms
        ]
        other.forms = [[part[k] for k in ks] for part, ks in zip(self.forms, kept, strict=True)]
        other.losses = [[part[k] for k in ks] for part, ks in zip(self.losses, kept, strict=True)]
        return other

    def fit(self, forms: Sequence[Form]) -> list[Fitted]:
        """Make the layers, one after another, so that each sees the errors of those before it.

        Args:
            forms: For each part one of its forms.

        Returns:
            For each part what has become of it.
        """
        fitted = [Fitted(form, None, 0.0) for form in forms]
        observer = self._observer
        if observer is not None:
            student, copies = copy_model(self.model)
            runs, originals = observer.runs_of(student), observer.runs()
        changed = [k for k in self._order if forms[k].kind != "dense"]
        # For as long as both models are the same, what was observed in the original holds.
        same = True
        for k in progress(changed, "fitting layers"):
            part, known = self.parts[k], self._evidence[k]
            if not forms[k].is_exact:
                if observer is not None and not same:
                    known = observer.evidence_in(k, runs, copies, originals)
                same = False
            layer, error = part.build(forms[k], known)
            fitted[k] = Fitted(forms[k], layer, error)
            if observer is not None:
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
        return None if self._observer is None else self._observer.error_of_model(small)

    def end_errors(self, fitted: Sequence[Fitted]) -> list[float] | None:
        """The relative squared error at the end with the parts replaced up to each of them.

        `None` without calibration data.
        """
        if self._observer is None:
            return None
        student, copies = copy_model(self.model)
        errors, error = [0.0] * len(fitted), 0.0
        runs = self._observer.runs_of(student)
        for k in progress(self._order, "errors at the end"):
            if (layer := fitted[k].layer) is not None:
                # Before the layer is in: it may work in the operation that is next.
                runs.forward_to(k)
                self._install(self.parts[k], layer, copies)
                if not fitted[k].form.is_exact:
                    error = self._observer.error_of(runs.outputs)
            errors[k] = error
        return errors

    @staticmethod
    def _install(part: Part, layer: keras.Layer, copies: dict[int, keras.Layer]) -> None:
        route(copies[id(part.layer)], layer)
        if part.norm is not None:
            route(copies[id(part.norm)], None)
