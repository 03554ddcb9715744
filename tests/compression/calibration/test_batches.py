import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st
from keras import layers

from dart_keras.calibration_data import row_blocks
from dart_keras.compression.calibration import batches as module
from dart_keras.compression.calibration.batches import (
    MOST_ROWS,
    MOST_VECTORS,
    CalibrationBatches,
)
from tests.compression.composites import Subclassed
from tests.py_datasets import Batches

MODEL = keras.Sequential([keras.Input((3,)), layers.Dense(2)], name="small")


def numbered(rows):
    """Rows that can be told from each other."""
    return np.arange(rows, dtype="float32")[:, None] + np.zeros(3, "float32")


def calibration_batches(model, data, most=None):
    """Batches of at most so many rows."""
    if most is None:
        return CalibrationBatches(model, data).some
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "MOST_VECTORS", most)
        patch.setattr(module, "MOST_ROWS", most)
        return CalibrationBatches(model, data).some


def numbers(batches):
    assert all(0 < len(batch) <= 256 for batch in batches)
    return np.concatenate([np.asarray(batch)[:, 0] for batch in batches])


def mixed_numbers(batches):
    return np.concatenate([places for _, places in batches.mixed(100)])


@given(st.integers(1, 200), st.none() | st.integers(1, 100))
def test_arrays_give_evenly_spaced_rows(rows, most):
    taken = numbers(calibration_batches(MODEL, numbered(rows), most))
    assert len(taken) == min(rows, most or rows)
    assert taken[0] == 0
    if len(taken) > 1:
        assert taken[-1] == rows - 1
        steps = np.diff(taken)
        assert steps.min() >= 1
        assert np.ptp(steps) <= 1


def test_so_many_rows_are_used_at_most():
    taken = numbers(calibration_batches(MODEL, numbered(3 * MOST_VECTORS)))
    assert len(taken) == MOST_VECTORS
    assert taken[-1] == 3 * MOST_VECTORS - 1
    both = CalibrationBatches(MODEL, numbered(3 * MOST_VECTORS), every_row=True)
    np.testing.assert_array_equal(numbers(both.some), taken)
    assert sorted(mixed_numbers(both)) == [*range(3 * MOST_VECTORS)]


def test_mixed_batches_say_which_rows_they_have():
    for data in (numbered(300), [numbered(300)[:100], numbered(300)[100:]]):
        batches = CalibrationBatches(MODEL, data, every_row=True)
        found = batches.mixed(32)
        assert [len(batch) for batch, _ in found] == [32] * 9 + [12]
        for batch, places in found:
            np.testing.assert_array_equal(np.asarray(batch)[:, 0], places)
        np.testing.assert_array_equal(found[0][1], batches.mixed(32)[0][1])


def test_all_rows_of_an_iterable_are_read_if_they_are_asked_for():
    arrays = [numbered(MOST_VECTORS), numbered(5)]
    batches = CalibrationBatches(MODEL, arrays, every_row=True)
    assert len(numbers(batches.some)) == MOST_VECTORS
    assert len(mixed_numbers(batches)) == MOST_VECTORS + 5


def test_single_rows_make_full_batches():
    for data in (list(numbered(70)), numbered(70).tolist(), data_set([numbered(70)]).unbatch()):
        np.testing.assert_array_equal(numbers(calibration_batches(MODEL, data)), np.arange(70))
    assert [len(batch) for batch in calibration_batches(MODEL, iter(numbered(300)))] == [256, 44]


def test_small_batches_make_full_ones():
    ones = np.split(numbered(300), 300)
    for data in (ones, iter(ones), Batches(ones), data_set(ones)):
        assert [len(batch) for batch in calibration_batches(MODEL, data)] == [256, 44]
    model = keras.Sequential([keras.Input(batch_shape=(5, 3)), layers.Dense(2)])
    # No row of a batch is left out because the model takes fewer.
    batches = calibration_batches(model, np.split(numbered(30), [7, 14, 21, 28]))
    assert [len(batch) for batch in batches] == [5] * 6


@pytest.mark.parametrize(
    ("shape", "dtype", "size", "most"),
    [
        ((1,), "float32", 256, MOST_VECTORS),
        ((1, 1), "float32", 32, MOST_ROWS),
        ((1,), "int32", 32, MOST_ROWS),
    ],
    ids=["vectors", "sequences", "ids"],
)
def test_vectors_are_more_rows_in_larger_batches(shape, dtype, size, most):
    model = keras.Sequential([keras.Input(shape, dtype=dtype), layers.Identity()])
    batches = calibration_batches(model, np.zeros((MOST_VECTORS + 1, *shape)))
    assert {len(batch) for batch in batches} == {size}
    assert sum(map(len, batches)) == most


def data_set(arrays):
    def elements():
        yield from arrays

    return tf.data.Dataset.from_generator(
        elements, output_signature=tf.TensorSpec((None, 3), "float32")
    )


def pairs(arrays):
    return iter([(array, np.full(len(array), np.nan)) for array in arrays])


@pytest.mark.parametrize(
    "source",
    [
        iter,
        pairs,
        data_set,
        lambda arrays: data_set(arrays).map(lambda x: (x, tf.strings.as_string(x[:, 0]))),
        Batches,
        lambda arrays: Batches(list(pairs(arrays))),
    ],
    ids=["generator", "pairs", "tf.data", "tf.data of pairs", "PyDataset", "PyDataset of pairs"],
)
@pytest.mark.parametrize("sizes", [[5], [32, 32, 7], [70, 1, 0, 3, 90]])
def test_batches_give_their_first_rows_without_labels(source, sizes):
    arrays = np.split(numbered(sum(sizes)), np.cumsum(sizes)[:-1])
    for most in (None, 1, 40):
        taken = numbers(calibration_batches(MODEL, source(arrays), most))
        np.testing.assert_array_equal(taken, np.arange(min(sum(sizes), most or 10**6)))


def test_no_more_is_taken_from_a_generator_without_end_than_is_used():
    count = itertools.count()
    endless = (numbered(10) for _ in count)
    assert len(numbers(calibration_batches(MODEL, endless, 35))) == 35
    assert next(count) == 4


@pytest.mark.parametrize(
    "endless",
    [
        lambda: data_set([numbered(100)]).repeat(),
        lambda: EndlessBatches([numbered(100)]),
        lambda: itertools.repeat(numbered(100)),
        lambda: lambda: itertools.repeat(numbered(1)),
    ],
    ids=["tf.data", "PyDataset", "generator", "generator function"],
)
def test_data_without_end_come_to_one_with_a_warning(endless, monkeypatch):
    monkeypatch.setattr(row_blocks, "_MOST_ROWS", 250)
    batches = CalibrationBatches(MODEL, endless())
    assert len(numbers(batches.some)) == MOST_VECTORS
    with pytest.warns(UserWarning, match=r"do not say where they end: the first (250|300) rows"):
        batches = CalibrationBatches(MODEL, endless(), every_row=True)
    assert 250 <= len(mixed_numbers(batches)) <= 300


class EndlessBatches(Batches):
    num_batches = None

    def __getitem__(self, k):
        return self.batches[0]


def two_inputs(names=("a", "b")):
    a, b = keras.Input((3,), name="a"), keras.Input((2, 2), dtype="int32", name="b")
    x = layers.Dense(2)(a) + layers.Dense(2)(layers.Flatten()(b))
    return keras.Model({"a": a, "b": b} if names else [a, b], x)


@pytest.mark.parametrize("structure", [list, tuple, dict])
def test_several_inputs_belong_together_in_the_structure_of_the_model(structure):
    first, second = numbered(100), np.arange(400).reshape(100, 2, 2) // 4
    is_dict = structure is dict
    data = {"b": second, "a": first} if is_dict else structure([first, second])
    for takes_dict in (False, True):
        batches = calibration_batches(two_inputs(takes_dict), data, 50)
        for batch in batches:
            a, b = (batch["a"], batch["b"]) if takes_dict else batch
            np.testing.assert_array_equal(np.asarray(a)[:, 0], np.asarray(b)[:, 0, 0])
        assert sum(len(keras.tree.flatten(batch)[0]) for batch in batches) == 50


def test_inputs_of_pairs_may_have_a_structure():
    elements = ({"a": numbered(4), "b": np.zeros((4, 2, 2), int)}, np.zeros(4))
    [batch] = calibration_batches(two_inputs(), iter([elements]))
    assert {name: len(x) for name, x in batch.items()} == {"a": 4, "b": 4}


NAN, GOOD = np.where(numbered(4) == 2, np.nan, numbered(4)), numbered(4)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (numbered(0), "of one row or more. Received: none"),
        (iter([]), "of one row or more. Received: none"),
        (iter([numbered(0)]), "of one row or more. Received: none"),
        (Batches([]), "of one row or more. Received: none"),
        ([], "of one row or more. Received: none"),
        (GOOD[0, :2], r"shape \(rows, 3\), or \(3,\) for one row. Received: shape \(2,\)"),
        (GOOD[:, :2], r"shape \(rows, 3\), .* Received: shape \(4, 2\)"),
        (GOOD[None], r"Received: shape \(1, 4, 3\)"),
        (iter([GOOD, GOOD[:, 1:]]), r"Received: shape \(4, 2\)"),
        ({}, r"for each of the inputs .*Received: the keys \[\]"),
        ({"a": GOOD}, r"for each of the inputs .*Received: the keys \['a'\]"),
        (NAN, r"to be finite: .* Received: 3 values"),
        (iter([GOOD, -np.inf * GOOD[1:]]), "to be finite: .* Received"),
        (tf.cast(NAN, "bfloat16"), "to be finite: .* Received: 3 values"),
        (GOOD * 1j, "to hold numbers or strings. Received: dtype complex64"),
        (np.full((4, 3), None), "to hold numbers or strings. Received: dtype object"),
        (np.array([["a", "b", "c"]]), "that the model 'small' takes. Received: inputs of shape"),
        ("text", "Received: calibration_data='text'"),
        (7, "Received: calibration_data=7"),
    ],
)
def test_what_the_model_does_not_take_is_refused(data, message):
    with pytest.raises(ValueError, match=f"(?s)^Expected .*{message}"):
        calibration_batches(MODEL, data)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ([GOOD, np.zeros((3, 2, 2))], "same number of rows .*'a': 4, 'b': 3"),
        ([np.zeros((4, 2, 2)), GOOD], r"input 'a' .*Received: shape \(4, 2, 2\)"),
        (GOOD, "2 inputs.*Received: ndarray of length 4"),
    ],
)
def test_inputs_that_do_not_go_together_are_refused(data, message):
    with pytest.raises(ValueError, match=f"^Expected .*{message}"):
        calibration_batches(two_inputs(names=None), data)


def test_a_model_that_does_not_know_its_inputs_is_asked():
    model = Subclassed()
    model(np.zeros((1, 2, 8), "float32"))
    rows = np.repeat(numbered(4)[:, None, :1], 8, axis=2)
    assert len(numbers(calibration_batches(model, rows))) == 4
    for data in (list(rows), iter(rows), lambda: ([row[None]] for row in rows)):
        [batch] = calibration_batches(model, data)
        np.testing.assert_array_equal(batch, rows)
    with pytest.raises(ValueError, match=r"(?s)^Expected .*Received: .*\(None, 1, 5\).*it says"):
        calibration_batches(model, rows[..., :5])


def test_a_model_of_one_batch_size_gets_batches_of_it():
    model = keras.Sequential([keras.Input(batch_shape=(5, 3)), layers.Dense(2)])
    batches = calibration_batches(model, numbered(33))
    assert [len(batch) for batch in batches] == [5] * 6
    with pytest.raises(ValueError, match=r"^Expected .* of 5 rows at a time or more. Received: 4"):
        calibration_batches(model, numbered(4))


def test_texts_are_data_of_models_that_take_them():
    lookup = layers.StringLookup(vocabulary=["a", "b"])
    model = keras.Sequential([keras.Input((2,), dtype="string"), lookup, layers.Embedding(3, 4)])
    texts = [np.array([["a", "b"], ["b", "c"]], dtype) for dtype in (str, object)]
    for data in texts:
        [batch] = calibration_batches(model, data)
        assert batch.shape == (2, 2)
