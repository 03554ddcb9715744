"""Making the layers of the small model, each fitted to where it will work."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from dart_keras.compression.calibration.hooks import redirect_call
from dart_keras.compression.calibration.layer_statistics import CalibrationStatistics
from dart_keras.compression.compressible import CompressibleLayer, Factorization
from dart_keras.model_surgery.batch_norm import placeholder_for
from dart_keras.model_surgery.clone import copy_model
from dart_keras.model_surgery.replace import replace_layers
from dart_keras.utils.progress import progress

# A factorization, and the relative squared error of the model's outputs with it alone.
MeasuredLoss = tuple[Factorization, float]

# Layers after which the model output error is measured: each takes a run of the model.
_MOST_MEASURED = 12

# Of a matrix, so that its loss is finite when nothing is left.
_LEAST_LEFT = 1e-9


@dataclass(frozen=True)
class Fitted:
    """A compressible layer in its new factorization.

    Attributes:
        factorization: The factorization that was asked for.
        layer: The new layer, `None` where it stays as it is. For the dense factorization one with
            other weights, that makes up for errors of layers before it.
        error: Its squared error, as in `Factorization`.
    """

    factorization: Factorization
    layer: keras.Layer | None
    error: float


class StudentBuilder:
    """What is known of a model's compressible layers, and how to make smaller ones of them.

    Args:
        model: A built model. It is left as it is.
        compressibles: Compressible layers of it.
        statistics: What calibration batches show of them; without, only the weights are known.
        measured: For each layer the factorizations to choose from and their losses, in place of all
            that it can take and of estimates.

    Attributes:
        losses: For each layer what its factorizations do to the model's outputs: what was measured,
            or the error of each times the layer's weight, as `CalibrationStatistics` has it.
            Without it, what a matrix loses relative to what is left of it.
        factorizations: For each layer the factorizations that it can take, the dense one last.
    """

    def __init__(
        self,
        model: keras.Model,
        compressibles: Sequence[CompressibleLayer],
        statistics: CalibrationStatistics | None = None,
        measured: Sequence[Sequence[MeasuredLoss]] | None = None,
    ) -> None:
        self.model = model
        self.compressibles = compressibles
        self.statistics = statistics
        weights: Sequence[float] = [1.0] * len(compressibles)
        self._order: Sequence[int] = list(range(len(compressibles)))
        self._evidence: Sequence[Any] = [None] * len(compressibles)
        if statistics is not None:
            weights, self._order, self._evidence = (
                statistics.weights,
                statistics.order,
                statistics.evidence,
            )
        self.factorizations = [
            [*each.factorizations(known), each.dense]
            for each, known in progress(
                zip(compressibles, self._evidence, strict=True),
                "decomposing layers",
                len(compressibles),
            )
        ]
        loss = _noise_to_signal if statistics is None else float
        self.losses = [
            [weight * loss(each.error) for each in options]
            for options, weight in zip(self.factorizations, weights, strict=True)
        ]
        if measured is not None:
            choices = [
                [*known, (options[-1], 0.0)]
                for known, options in zip(measured, self.factorizations, strict=True)
            ]
            self.factorizations = [[each for each, _ in options] for options in choices]
            self.losses = [[loss for _, loss in options] for options in choices]

    def fit(self, factorizations: Sequence[Factorization], refit: bool = True) -> list[Fitted]:
        """Make the layers, one after another, so that each sees the errors of those before it.

        Args:
            factorizations: For each layer one of its factorizations.
            refit: Whether layers that keep their size make up for errors of layers before them.

        Returns:
            For each layer what has become of it.
        """
        fitted = [Fitted(factorization, None, 0.0) for factorization in factorizations]
        statistics = self.statistics
        if statistics is not None:
            student, copies = copy_model(self.model)
            runs, originals = statistics.runs_of(student), statistics.runs()
        # For as long as both models are the same, what was observed in the original holds.
        same = True
        for k in progress(self._order, "fitting layers"):
            compressible, factorization = self.compressibles[k], factorizations[k]
            known = self._evidence[k]
            refits = refit and not same and compressible.can_refit(factorization)
            if factorization.is_exact and not refits:
                known = None
            elif statistics is not None and not same:
                known = statistics.evidence_in(k, runs, copies, originals)
            same = same and factorization.is_exact
            if factorization.kind == "dense" and known is None:
                continue
            layer, error = compressible.build(factorization, known)
            fitted[k] = Fitted(factorization, layer, error)
            if statistics is not None:
                self._install(compressible, layer, copies)
        return fitted

    def decompose(self, factorizations: Sequence[Factorization]) -> list[Fitted]:
        """Make the layers as near to their weights as their ranks allow, whatever they will see.

        Args:
            factorizations: For each layer one of its factorizations.

        Returns:
            For each layer what has become of it.
        """
        return [
            Fitted(wanted, None, 0.0)
            if wanted.kind == "dense"
            else Fitted(wanted, *compressible.build(wanted))
            for compressible, wanted in zip(self.compressibles, factorizations, strict=True)
        ]

    def assemble(self, fitted: Sequence[Fitted]) -> keras.Model:
        """Return the model with the fitted layers in it."""
        replacements: dict[int, keras.Layer] = {}
        for compressible, found in zip(self.compressibles, fitted, strict=True):
            if found.layer is not None:
                replacements[id(compressible.layer)] = found.layer
                if compressible.norm is not None:
                    replacements[id(compressible.norm)] = placeholder_for(compressible.norm)
        return replace_layers(self.model, lambda layer: replacements.get(id(layer)))

    def end_errors(
        self, fitted: Sequence[Fitted], statistics: CalibrationStatistics
    ) -> list[float | None]:
        """Return the squared model output error with the layers up to each of them replaced.

        Measured on some of the batches: the model is run from each layer to its end. Of many layers
        it is measured after some, evenly spaced, and the last one; it is `None` after others.
        """
        student, copies = copy_model(self.model)
        errors: list[float | None] = [None] * len(fitted)
        error: float | None = 0.0
        replaced = [k for k in self._order if fitted[k].layer is not None]
        spread = np.linspace(0, len(replaced) - 1, min(len(replaced), _MOST_MEASURED))
        measured = {replaced[round(place)] for place in spread}
        runs = statistics.runs_of(student, few=True)
        for k in progress(self._order, "measuring model output errors"):
            if (layer := fitted[k].layer) is not None:
                # Before the layer is in: it may work in the operation that is next.
                if k in measured:
                    runs.forward_to(k)
                self._install(self.compressibles[k], layer, copies)
                error = statistics.error_of(runs.outputs, few=True) if k in measured else None
            errors[k] = error
        return errors

    @staticmethod
    def _install(
        compressible: CompressibleLayer, layer: keras.Layer, copies: dict[int, keras.Layer]
    ) -> None:
        redirect_call(copies[id(compressible.layer)], layer)
        if compressible.norm is not None:
            redirect_call(copies[id(compressible.norm)], None)


def _noise_to_signal(error: float) -> float:
    """Return what is lost relative to what is left.

    The sum of relative errors is least where one matrix is all but deleted, as it cannot lose more
    than itself. This grows without bound.
    """
    return error / max(1 - error, _LEAST_LEFT)
