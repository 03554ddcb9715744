import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from dart_keras.deployment.tracing.representative_data import collect, random_rows
from dart_keras.deployment.tracing.signature import InputSpec

ONE = [InputSpec("x", (3, 2), "float32")]
TWO = [InputSpec("x", (3,), "float32"), InputSpec("ids", (2,), "int32")]
X = np.arange(30 * 6, dtype="float64").reshape(30, 3, 2)
PAIR = (np.ones((4, 3)), np.arange(8).reshape(4, 2))


@pytest.mark.parametrize(
    "make",
    [
        lambda: X,
        lambda: X.tolist(),
        lambda: list(X),
        lambda: (row for row in X),
        lambda: (X[i : i + 7] for i in range(0, 30, 7)),
        lambda: [X[:20], X[20:]],
        lambda: {"x": X},
        lambda: [{"x": row} for row in X],
        lambda: (X, np.zeros(30)),
        lambda: tf.constant(X),
        lambda: tf.data.Dataset.from_tensor_slices(X),
        lambda: tf.data.Dataset.from_tensor_slices((X, np.zeros(30))).batch(8),
    ],
)
def test_all_forms_of_the_same_rows_are_the_same(make):
    (got,) = collect(make(), ONE, name="data")
    np.testing.assert_array_equal(got, X)
    assert got.dtype == "float32"


@pytest.mark.parametrize(
    "make",
    [
        lambda: PAIR,
        lambda: list(PAIR),
        lambda: {"ids": PAIR[1], "x": PAIR[0]},
        lambda: zip(*PAIR, strict=True),
        lambda: (*PAIR, np.zeros(4)),
        lambda: (PAIR, np.zeros(4)),
        lambda: tf.data.Dataset.from_tensor_slices((PAIR, np.zeros(4))).batch(3),
        lambda: [{"x": PAIR[0], "ids": PAIR[1]}],
    ],
)
def test_several_inputs(make):
    first, second = collect(make(), TWO, name="data")
    np.testing.assert_array_equal(first, PAIR[0])
    np.testing.assert_array_equal(second, PAIR[1])
    assert second.dtype == "int32"


@given(st.integers(1, 30), st.integers(1, 40))
def test_no_more_rows_than_asked_for(rows, most):
    def batches():
        while True:
            yield X[:7]

    (got,) = collect(X[:rows], ONE, name="data", max_rows=most)
    assert len(got) == min(rows, most)
    np.testing.assert_array_equal(got[0], X[0])
    (got,) = collect(batches(), ONE, name="data", max_rows=most)
    assert len(got) == most


@pytest.mark.parametrize(
    ("data", "specs", "message"),
    [
        (X[:, :2], ONE, r"`data` for input 'x'.*\(rows, 3, 2\).*shape \(30, 2, 2\)"),
        ([], ONE, "at least one row"),
        (np.full((2, 3, 2), np.inf), ONE, "finite.*Received: 12 values"),
        (np.full((2, 3, 2), "a"), ONE, "numbers.*Received: dtype"),
        (3.0, ONE, "iterable.*Received: float"),
        ("text", ONE, "iterable.*Received: str"),
        ({"y": X}, ONE, r"\['x'\].*Received: the keys \['y'\]"),
        ((PAIR[0], PAIR[1][:2]), TWO, "same number of rows.*'x': 4, 'ids': 2"),
        ((PAIR[0], PAIR[1] + 0.5), TWO, "integers.*from 0.5"),
        ((PAIR[0], PAIR[1] + 2**40), TWO, "32 bits.*Received"),
        (PAIR[0], TWO, "2 inputs.*Received: ndarray"),
    ],
)
def test_errors_say_what_was_expected_and_received(data, specs, message):
    with pytest.raises(ValueError, match=f"(?s){message}"):
        collect(data, specs, name="data")


def test_an_open_dtype_is_left_to_the_data():
    spec = [InputSpec("x", (3, 2), None)]
    assert collect(X.astype("int64"), spec, name="data")[0].dtype == "int64"


def test_random_rows_fit_the_inputs():
    first, second = random_rows(TWO, id_bound=5)
    assert first.shape == (32, 3)
    assert first.dtype == "float32"
    assert second.dtype == "int32"
    assert set(np.unique(second)) == set(range(5))
