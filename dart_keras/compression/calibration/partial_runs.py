"""Running a model again from where it has changed, not from its beginning."""

import copy
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from dart_keras.compression.calibration.hooks import forward_hooks
from dart_keras.compression.calibration.inference import infer, infer_checked
from dart_keras.compression.compressible import CompressibleLayer
from dart_keras.private_apis import GraphRun, can_be_stepped

# Of what is kept between the runs of all batches; the others are run from their beginning.
_MOST_BYTES = 2**30

# For each compressible layer the places of the operations that call it first and last.
Spans = dict[int, tuple[int, int]]


def spans_of(
    model: keras.Model,
    copies: dict[int, keras.Layer],
    compressibles: Sequence[CompressibleLayer],
    batch: Any,
) -> Spans:
    """Return where a model calls its compressible layers; nothing if it cannot run in steps.

    Args:
        model: A copy of the model that the layers are of.
        copies: By the `id` of a layer of the model its copy.
        compressibles: Compressible layers of the model.
        batch: Inputs that show whether steps give what the model gives.
    """
    if not can_be_stepped(model):
        return {}
    found: Spans = {}
    try:
        run = GraphRun(model, batch)

        def note(place: int, _: Any, outputs: Any) -> None:
            k = place % len(compressibles)
            found[k] = found.get(k, (run.place,))[0], run.place

        # Layers with a normalization begin at the layer and end at the normalization.
        every = [*compressibles, *map(_without_norm, compressibles)]
        with forward_hooks(copies, every, note), keras.StatelessScope():
            received = run.outputs()
    # Whatever is unusual about the model, it can be run as a whole.
    except Exception:
        return {}
    pairs = zip(keras.tree.flatten(received), keras.tree.flatten(infer(model, batch)), strict=True)
    same = all(np.array_equal(ops.convert_to_numpy(a), ops.convert_to_numpy(b)) for a, b in pairs)
    return found if same else {}


def _without_norm(compressible: CompressibleLayer) -> CompressibleLayer:
    plain = copy.copy(compressible)
    plain.norm = None
    return plain


class Runs:
    """A model's runs on some batches, each ready to go on from the same operation.

    Args:
        model: A built model.
        batches: Inputs.
        spans: Where its layers are called, as from `spans_of`. Layers that are not in it are looked
            for in runs of the whole model.
    """

    def __init__(self, model: keras.Model, batches: Sequence[Any], spans: Spans) -> None:
        self._model = model
        self._batches = batches
        self._spans = spans
        self._runs: list[GraphRun | None] = [
            GraphRun(model, batch) if spans else None for batch in batches
        ]

    def forward_to(self, k: int) -> None:
        """Go on to where a layer is first called. What is before must not change any more."""
        if k not in self._spans:
            return
        left = _MOST_BYTES
        for place, run in enumerate(self._runs):
            if run is not None:
                with keras.StatelessScope():
                    run.forward(self._spans[k][0])
                left -= run.size
                if left < 0:
                    self._runs[place] = None

    def through(self, k: int, place: int) -> None:
        """Run a batch to where a layer is last called, from where `forward_to` has left it."""
        run = self._runs[place]
        if run is None or k not in self._spans:
            infer(self._model, self._batches[place])
        else:
            with keras.StatelessScope():
                run.copy().forward(self._spans[k][1] + 1)

    def outputs(self, place: int) -> Any:
        """Return the model's outputs for a batch."""
        run = self._runs[place]
        if run is None:
            return infer(self._model, self._batches[place])
        with keras.StatelessScope():
            return run.copy().outputs()


class Outputs:
    """A model's outputs on some batches, kept for as long as there is room and else made again.

    Args:
        model: A built model.
        batches: Inputs, on all of which the model is run.
        begins: Called with the place of each batch before the model is run on it.

    Raises:
        ValueError: If the model does not take one of them.
    """

    def __init__(
        self, model: keras.Model, batches: Sequence[Any], begins: Callable[[int], Any]
    ) -> None:
        self._model = model
        self._batches = batches
        self._kept: list[Any] = []
        left = _MOST_BYTES
        for place, batch in enumerate(batches):
            begins(place)
            outputs = infer_checked(model, batch)
            left -= sum(ops.convert_to_numpy(y).nbytes for y in keras.tree.flatten(outputs))
            if left >= 0:
                self._kept.append(outputs)

    def __call__(self, place: int) -> Any:
        """Return the outputs for a batch."""
        if place < len(self._kept):
            return self._kept[place]
        return infer(self._model, self._batches[place])
