import keras
import numpy as np
import pytest
from keras import layers, ops

from dart_keras.budgets import Parameters
from dart_keras.compression import compress, sensitivity
from dart_keras.compression.calibration.counted_outputs import CountedOutputs

X = np.random.default_rng(0).normal(size=(256, 24)).astype("float32")


def two_heads():
    """Two outputs that have a layer in common, in a dict, and ids that are no floats."""
    keras.utils.set_random_seed(0)
    x = keras.Input((24,))
    common = layers.Dense(32, name="common")(x)
    heads = {name: layers.Dense(8, name=f"{name}_head")(common) for name in ("left", "right")}
    return keras.Model(x, {**heads, "ids": ops.argmax(heads["left"], axis=-1)})


def relative_errors(model, small):
    expected, received = (each.predict(X, verbose=0) for each in (model, small))
    return [
        float(np.mean((received[name] - expected[name]) ** 2) / np.var(expected[name]))
        for name in ("left", "right")
    ]


def compressed(outputs):
    model = two_heads()
    small, report = compress(model, Parameters(1000), X, layers=["common"], outputs=outputs)
    return relative_errors(model, small), report


@pytest.mark.filterwarnings("ignore:The compressed model does not do")
def test_what_counts_is_kept():
    alike, report = compressed(None)
    assert "name those that matter" in str(report)
    left, of_left = compressed("left")
    right, _ = compressed(["right"])
    by_function, _ = compressed(lambda outputs: outputs["left"] * 3)
    weighted, _ = compressed({"left": 100, "right": 0.01})
    assert left[0] < 0.5 * alike[0] < 0.5 * right[0]
    assert right[1] < 0.5 * alike[1] < 0.5 * left[1]
    for found in (by_function, weighted):
        np.testing.assert_allclose(found, left, rtol=0.5, atol=1e-3)
    # What is reported is of what counts.
    assert of_left.end_error**2 == pytest.approx(left[0], rel=0.05)
    assert [each["name"] for each in of_left.agreement.outputs] == ["left"]
    assert "name those that matter" not in str(of_left)


def test_a_part_of_an_output():
    """Labels that are not in use may be lost."""
    model = two_heads()
    table = sensitivity(model, X, layers=["left_head"], outputs=lambda y: y["left"][:, :2])
    assert min(row.end_error for row in table.rows if row.factorization.ranks[1] >= 2) < 1e-3


def test_names_of_a_list_are_those_of_the_model():
    x = keras.Input((24,))
    model = keras.Model(x, [layers.Dense(2, name="a")(x), layers.Dense(3, name="b")(x)])
    assert [tuple(y.shape) for y in CountedOutputs(model, "b")(model(X))] == [(256, 3)]
    assert CountedOutputs(model).names(model(X)) == ["a", "b"]


@pytest.mark.parametrize(
    ("outputs", "error", "message"),
    [
        ("middle", ValueError, r"to be some of \['left', 'right', 'ids'\]"),
        ([], ValueError, "at least one"),
        ({"left": 0}, ValueError, "above 0"),
        ({"left": float("nan")}, ValueError, "above 0"),
        (3, TypeError, "a name, names, weights by name or a function"),
        ("ids", ValueError, "that are floats"),
        (lambda outputs: outputs["ids"], ValueError, "that are floats"),
        (lambda outputs: [], ValueError, "Received: none"),
        (lambda outputs: np.asarray(outputs["left"]), ValueError, "arrays of NumPy"),
    ],
    ids=["unknown", "none", "zero", "nan", "number", "ids", "function of ids", "nothing", "arrays"],
)
def test_bad_outputs_are_refused(outputs, error, message):
    with pytest.raises(error, match=message):
        compress(two_heads(), Parameters(1000), X, outputs=outputs)


def test_outputs_without_data_to_keep_them_on_are_refused():
    with pytest.raises(ValueError, match="calibration_data=None"):
        compress(two_heads(), Parameters(1000), outputs="left")
