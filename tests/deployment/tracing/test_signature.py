from dataclasses import replace

import keras
import numpy as np
import pytest

from dart_keras.deployment.tracing.signature import model_signature
from tests.deployment import models


class TwoArguments(models.Subclassed):
    def call(self, left, right):
        return self.out(keras.ops.concatenate([self.hidden(left), right], -1))


class TwoArgumentsBuilt(TwoArguments):
    def build(self, left_shape, right_shape):
        self.hidden.build(left_shape)
        self.out.build((None, 8 + right_shape[-1]))


def test_functional_models_say_it_all():
    signature = model_signature(models.two_in_three_out())
    assert [spec.name for spec in signature.inputs] == ["z_first", "a_second"]
    assert [spec.shape for spec in signature.inputs] == [(5,), (7,)]
    outputs = signature.call([np.zeros((2, 5), "float32"), np.zeros((2, 7), "float32")])
    assert [output.shape for output in outputs] == [(2, 3), (2, 2), (2, 4)]


@pytest.mark.parametrize("dtype", ["int32", "int64", "uint8"])
def test_integers_are_int32(dtype):
    inputs = keras.Input((2,), dtype=dtype)
    model = keras.Model(inputs, keras.ops.cast(inputs, "float32"))
    assert model_signature(model).inputs[0].dtype == "int32"


def test_ids_below_the_smallest_table_are_safe():
    assert model_signature(models.embedding()).id_bound == 200
    assert model_signature(models.tt_embedding()).id_bound == 200


def test_nested_inputs_of_subclassed_models():
    model = models.SubclassedOnDict()
    model({"b": np.zeros((2, 6), "float32"), "a": np.zeros((2, 3), "float32")})
    signature = model_signature(model)
    assert [(spec.name, spec.shape) for spec in signature.inputs] == [("a", (3,)), ("b", (6,))]
    assert [spec.dtype for spec in signature.inputs] == [None, None]
    resolved = signature.resolved([np.zeros((1, 3), "int64"), np.zeros((1, 6))])
    assert [spec.dtype for spec in resolved.inputs] == ["int32", "float32"]
    assert [spec.dtype for spec in signature.resolved(None).inputs] == ["float32", "float32"]


def test_several_arguments_need_a_build_that_names_them():
    left, right = np.ones((2, 6), "float32"), np.ones((2, 3), "float32")
    model = TwoArguments()
    model(left, right)
    with pytest.raises(ValueError, match=r"one list, tuple or dict.*\['left', 'right'\]"):
        model_signature(model)
    model = TwoArgumentsBuilt()
    expected = model(left, right)
    signature = model_signature(model)
    assert [spec.name for spec in signature.inputs] == ["left", "right"]
    np.testing.assert_array_equal(signature.call([left, right])[0], expected)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("a model", "keras.Model. Received: 'a model'"),
        (keras.Sequential([keras.layers.Dense(2)]), "a built model: .*Received"),
        (models.Subclassed(), "a built model: .*Received"),
        (
            keras.Sequential([keras.Input((None, 3)), keras.layers.Dense(2)]),
            r"fixed shape.*\(None, None, 3\)",
        ),
        (
            keras.Sequential([keras.Input((3,), dtype="bool"), keras.layers.Dense(2)]),
            "dtype 'bool'",
        ),
    ],
)
def test_models_that_cannot_be_read(model, message):
    with pytest.raises(ValueError, match=message):
        model_signature(model)


def test_random_rows_fit_the_inputs():
    signature = model_signature(models.tt_embedding())
    (ids,) = signature.random_rows()
    assert (ids.shape, ids.dtype) == ((32, 6), "int32")
    assert 0 <= ids.min() <= ids.max() < signature.id_bound
    (few,) = replace(signature, id_bound=5).random_rows()
    assert set(np.unique(few)) == set(range(5))
    first, second = model_signature(models.two_in_three_out()).random_rows(rows=3)
    assert (first.shape, second.shape, first.dtype) == ((3, 5), (3, 7), "float32")


def test_a_file_takes_no_strings():
    model = models.SubclassedOnDict()
    model({"b": np.zeros((2, 6), "float32"), "a": np.zeros((2, 3), "float32")})
    arrays = [np.full((1, 3), "text"), np.zeros((1, 6))]
    with pytest.raises(ValueError, match=r"numbers for input 'a'\. Received: dtype <U4"):
        model_signature(model).resolved(arrays)


def test_ids_that_a_subclassed_model_takes_are_not_wrapped():
    model = models.Subclassed()
    model(np.zeros((1, 20), "int64"))
    signature = model_signature(model)
    assert signature.resolved([np.ones((2, 20), "int64")]).inputs[0].dtype == "int32"
    with pytest.raises(ValueError, match=f"integers of 32 bits.*to {2**32 + 1}"):
        signature.resolved([np.full((2, 20), 2**32 + 1)])
