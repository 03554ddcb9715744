import keras
import numpy as np
import pytest

from dart_keras.layers import TTDense, TTEmbedding
from dart_keras.layers.planning import CONTRACTIONS, count_rows, device_planning
from dart_keras.tensor_train.contraction import UNKNOWN_ROWS


@pytest.fixture(autouse=True)
def empty_home(monkeypatch, tmp_path):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))


def built(dim=64, units=64, **options):
    layer = TTDense(units, **options)
    layer.build((None, dim))
    return layer


def test_rows_are_counted_over_all_axes_but_the_last():
    assert count_rows((4, 5)) == 20
    assert count_rows((None, 5)) == 5 * UNKNOWN_ROWS
    assert count_rows((None, None, 5)) == 5 * UNKNOWN_ROWS
    assert count_rows((object(), 5)) == 5 * UNKNOWN_ROWS  # A symbol, as when JAX exports.


@pytest.mark.parametrize("contraction", CONTRACTIONS)
def test_all_contractions_give_the_same_output_and_gradients(contraction):
    options = {"ranks": 3, "input_modes": (4, 4, 4), "output_modes": (4, 4, 4)}
    reference = built(**options)
    layer = built(**options, contraction=contraction)
    layer.set_weights(reference.get_weights())
    x = np.random.default_rng(0).normal(size=(5, 2, 64)).astype("float32")
    np.testing.assert_allclose(layer(x), np.asarray(x) @ reference.to_dense(), atol=1e-4)
    model = keras.Sequential([layer])
    model.compile("sgd", "mse")
    equivalent = keras.Sequential([reference])
    equivalent.compile("sgd", "mse")
    for either in (model, equivalent):
        either.fit(x, np.ones_like(x), epochs=2, verbose=0)
    for weight, expected in zip(layer.weights, reference.weights, strict=True):
        np.testing.assert_allclose(weight, expected, atol=1e-5)


@pytest.mark.parametrize("contraction", ["chain", None, 3])
def test_unknown_contraction_is_refused(contraction):
    with pytest.raises(ValueError, match=r"'left_to_right'.*Received: contraction="):
        TTDense(4, contraction=contraction)


def test_contraction_is_saved_with_the_layer():
    layer = built(contraction="rebuild")
    assert TTDense.from_config(layer.get_config()).contraction == "rebuild"


def test_truncation_changes_the_plan():
    layer = built(1024, 1024, ranks=64)
    assert layer.contraction_plan(rows=512, training=True).name == "rebuild"
    layer.truncate(1)
    plan = layer.contraction_plan(rows=512, training=True)
    assert plan.name != "rebuild"
    assert plan.network.ranks == layer.ranks
    x = np.ones((512, 1024), "float32")
    np.testing.assert_allclose(layer(x, training=True), x @ layer.to_dense(), atol=1e-3)


def test_unbuilt_layer_has_no_plan():
    with pytest.raises(ValueError, match="Expected a built layer"):
        TTDense(4).contraction_plan()


def test_device_planning_chooses_the_plan():
    layer = built(64, 64, ranks=2, contraction="left_to_right")
    seen = []

    def last(asking, plans):
        seen.append((asking, plans))
        return plans[-1]

    x = np.random.default_rng(0).normal(size=(1, 64)).astype("float32")
    with device_planning("microcontroller", last):
        np.testing.assert_allclose(layer(x), x @ layer.to_dense(), atol=1e-4)
    [(asking, plans)] = seen
    assert asking is layer
    assert plans[0].device.name == "microcontroller"
    assert not any(any(plan.batched) for plan in plans)


def test_plan_for_projecting_to_the_vocabulary():
    layer = TTEmbedding(64, 16, ranks=2)
    layer.build()
    seen = []
    x = np.random.default_rng(0).normal(size=(3, 16)).astype("float32")
    with device_planning("raspberry-pi", lambda asking, plans: seen.append(plans) or plans[0]):
        logits = layer(x, reverse=True)
    np.testing.assert_allclose(logits, x @ layer.to_dense().T, atol=1e-5)
    assert seen[0][0].network.input_modes == layer.output_modes
