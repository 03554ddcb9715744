"""Making the layers of the small model, each fitted to where it will work."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import keras

from dart_keras.compression.calibration.hooks import route
from dart_keras.compression.calibration.layer_statistics import Observer
from dart_keras.compression.compressible import Form, Part
from dart_keras.layers.folded_batch_norm import FoldedBatchNormalization
from dart_keras.model_surgery.clone import copy_model
from dart_keras.model_surgery.replace import replace_layers
from dart_keras.utils.progress import progress


@dataclass(frozen=True)
class Fitted:
    """A part in its new form.

    Args:
        form: The form that was asked for.
        layer: The new layer, `None` where the part stays as it is. For the dense form one with
            other numbers, that corrects errors of layers before it.
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
        observer: What calibration batches show of the parts; without it, weights are all that is
            known.

    Attributes:
        losses: For each part what its forms do to the model's end: the form's error times the
            part's weight, as `Observer` has it, and 1 without one.
        forms: For each part the forms that it can take, the dense one last.
    """

    def __init__(
        self, model: keras.Model, parts: Sequence[Part], observer: Observer | None = None
    ) -> None:
        self.model = model
        self.parts = parts
        self.observer = observer
        weights = [1.0] * len(parts)
        self._order = list(range(len(parts)))
        self._evidence: list[Any] = [None] * len(parts)
        if observer is not None:
            weights, self._order, self._evidence = (
                observer.weights,
                observer.order,
                observer.evidence,
            )
        self.forms = [
            [*part.forms(known), part.dense]
            for part, known in progress(
                zip(parts, self._evidence, strict=True), "decomposing layers", len(parts)
            )
        ]
        self.losses = [
            [weight * form.error for form in part]
            for part, weight in zip(self.forms, weights, strict=True)
        ]

    def fit(self, forms: Sequence[Form], correct: bool = True) -> list[Fitted]:
        """Make the layers, one after another, so that each sees the errors of those before it.

        Args:
            forms: For each part one of its forms.
            correct: Whether layers that stay whole are to correct errors of those before them.

        Returns:
            For each part what has become of it.
        """
        fitted = [Fitted(form, None, 0.0) for form in forms]
        observer = self.observer
        if observer is not None:
            student, copies = copy_model(self.model)
            runs, originals = observer.runs_of(student), observer.runs()
        # For as long as both models are the same, what was observed in the original holds.
        same = True
        for k in progress(self._order, "fitting layers"):
            part, form, known = self.parts[k], forms[k], self._evidence[k]
            if form.is_exact and (same or not correct or not part.can_correct(form)):
                known = None
            elif observer is not None and not same:
                known = observer.evidence_in(k, runs, copies, originals)
            same = same and form.is_exact
            if form.kind == "dense" and known is None:
                continue
            layer, error = part.build(form, known)
            fitted[k] = Fitted(form, layer, error)
            if observer is not None:
                self._install(part, layer, copies)
        return fitted

    def decompose(self, forms: Sequence[Form]) -> list[Fitted]:
        """Make the layers as near to their weights as their forms allow, whatever they will see.

        Args:
            forms: For each part one of its forms.

        Returns:
            For each part what has become of it.
        """
        return [
            Fitted(form, None, 0.0) if form.kind == "dense" else Fitted(form, *part.build(form))
            for part, form in zip(self.parts, forms, strict=True)
        ]

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

    def end_errors(self, fitted: Sequence[Fitted], observer: Observer) -> list[float]:
        """The relative squared error at the end with the parts replaced up to each of them."""
        student, copies = copy_model(self.model)
        errors, error = [0.0] * len(fitted), 0.0
        runs = observer.runs_of(student)
        for k in progress(self._order, "errors at the end"):
            if (layer := fitted[k].layer) is not None:
                # Before the layer is in: it may work in the operation that is next.
                runs.forward_to(k)
                self._install(self.parts[k], layer, copies)
                error = observer.error_of(runs.outputs)
            errors[k] = error
        return errors

    @staticmethod
    def _install(part: Part, layer: keras.Layer, copies: dict[int, keras.Layer]) -> None:
        route(copies[id(part.layer)], layer)
        if part.norm is not None:
            route(copies[id(part.norm)], None)
