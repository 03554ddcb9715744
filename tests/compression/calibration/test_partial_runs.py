import keras
import numpy as np
import pytest
from keras import layers

from dart_keras.compression.calibration import partial_runs
from dart_keras.compression.calibration.hooks import forward_hooks
from dart_keras.compression.calibration.inference import infer
from dart_keras.compression.calibration.partial_runs import Outputs, Runs, spans_of
from dart_keras.compression.compressible import find_compressible_layers
from dart_keras.model_surgery.clone import copy_model
from tests.compression import models


def stack(*each):
    return keras.Sequential([keras.Input((6,)), *each])


def prepared(model, batches):
    """A copy, and what `Runs` needs of it."""
    compressibles, _ = find_compressible_layers(model)
    copy, copies = copy_model(model)
    return copy, copies, compressibles, spans_of(copy, copies, compressibles, batches[0])


BATCHES = [np.random.default_rng(k).normal(size=(4, 6)).astype("float32") for k in range(3)]


def test_a_layer_is_observed_without_a_run_of_what_is_before_and_after_it():
    model = stack(*[layers.Dense(6, name=f"dense_{k}") for k in range(4)])
    copy, copies, compressibles, spans = prepared(model, BATCHES)
    assert spans == {k: (k, k) for k in range(4)}
    runs = Runs(copy, BATCHES, spans)
    called = []
    runs.forward_to(2)
    with forward_hooks(copies, compressibles, lambda k, *_: called.append(k)):
        for place in range(3):
            runs.through(2, place)
    assert called == [2, 2, 2]
    for place, batch in enumerate(BATCHES):
        np.testing.assert_array_equal(runs.outputs(place), model(batch))


@pytest.mark.parametrize(
    "name", [name for name in models.MODELS if name not in ("nothing_to_replace", "volumes")]
)
def test_runs_see_what_whole_runs_see(name):
    model, batch = models.build(name)
    copy, copies, compressibles, spans = prepared(model, [batch])
    runs = Runs(copy, [batch], spans)

    def seen_by(compressible, run):
        calls = []
        with forward_hooks(
            copies, [compressible], lambda _, x, y: calls.append((np.array(x), np.array(y)))
        ):
            run()
        return calls

    # The order in which the layers are called is the order in which they are asked for.
    for k in sorted(spans, key=lambda k: spans[k][0]):
        whole = seen_by(compressibles[k], lambda: infer(copy, batch))
        runs.forward_to(k)
        found = seen_by(compressibles[k], lambda k=k: runs.through(k, 0))
        assert len(found) == len(whole) > 0
        for pair, expected in zip(found, whole, strict=True):
            for a, b in zip(pair, expected, strict=True):
                np.testing.assert_array_equal(a, b)
    pairs = zip(
        keras.tree.flatten(runs.outputs(0)), keras.tree.flatten(infer(copy, batch)), strict=True
    )
    for a, b in pairs:
        np.testing.assert_array_equal(a, b)


def test_what_a_model_makes_by_other_ways_than_its_graph_is_found_out():
    class Own(keras.Model):
        def call(self, inputs, training=None, mask=None):
            return super().call(inputs) + 1

    x = keras.Input((6,))
    model = Own(x, layers.Dense(6)(x))
    copy, _, _, spans = prepared(model, BATCHES)
    assert spans == {}
    np.testing.assert_array_equal(Runs(copy, BATCHES, spans).outputs(0), model(BATCHES[0]))


def test_without_room_for_what_is_kept_runs_begin_again(monkeypatch):
    monkeypatch.setattr(partial_runs, "_MOST_BYTES", 4 * 6 * 4)
    model = stack(layers.Dense(6), layers.Dense(6))
    copy, _, _, spans = prepared(model, BATCHES)
    runs, kept = Runs(copy, BATCHES, spans), Outputs(copy, BATCHES, lambda place: None)
    runs.forward_to(1)
    for place, batch in enumerate(BATCHES):
        np.testing.assert_array_equal(runs.outputs(place), model(batch))
        np.testing.assert_array_equal(kept(place), model(batch))
