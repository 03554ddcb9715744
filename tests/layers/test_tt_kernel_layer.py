"""Common behaviour of `TTDense` and `TTEinsumDense`."""

import itertools

import keras
import numpy as np
import pytest
from keras.src import testing

from dart_keras.layers import TTDense, TTEinsumDense


class TTKernelLayerTest(testing.TestCase):
    def check(self, layer, arguments, input_shape, expected_output_shape, **expected):
        self.run_layer_test(
            layer,
            init_kwargs=arguments,
            input_shape=input_shape,
            expected_output_shape=expected_output_shape,
            expected_num_trainable_weights=3,
            expected_num_non_trainable_weights=0,
            expected_num_seed_generators=0,
            supports_masking=layer is TTDense,
            **expected,
        )

    def test_keras_layer(self):
        dense = [
            (TTDense, {"units": 10, "contraction": contraction}, shape, (*shape[:-1], 10))
            for contraction, shape in itertools.product(
                ("auto", "left_to_right", "rebuild"), ((2, 12), (2, 3, 2, 12))
            )
        ]
        einsum = [
            (
                TTEinsumDense,
                {
                    "equation": equation,
                    "output_shape": sizes,
                    "bias_axes": equation[-1],
                    "contraction": contraction,
                },
                shape,
                output_shape,
            )
            for contraction, equation, shape, sizes, output_shape in (
                ("auto", "abc,cde->abde", (2, 3, 12), (None, 2, 5), (2, 3, 2, 5)),
                ("left_to_right", "abcd,cde->abe", (2, 3, 4, 3), (None, 10), (2, 3, 10)),
                ("rebuild", "...x,xy->...y", (2, 3, 12), 10, (2, 3, 10)),
            )
        ]
        shared = {
            "ranks": 3,
            "activation": "relu",
            "rank_regularizer": "l2",
            "bias_regularizer": "l2",
            "activity_regularizer": "l2",
            "bias_constraint": "max_norm",
        }
        for layer, arguments, *shapes in (*dense, *einsum):
            self.check(layer, arguments | shared, *shapes, expected_num_losses=4)

    def test_keras_layer_with_modes_and_no_bias(self):
        shared = {"ranks": (1, 2, 3, 1), "input_modes": (2, 3, 2), "output_modes": (3, 2, 2)}
        dense = {"units": 12, "use_bias": False}
        self.check(TTDense, dense | shared, (4, 12), (4, 12), expected_num_losses=0)
        einsum = {"equation": "abc,bd->adc", "output_shape": (12, None)}
        shared["output_modes"] = [3, 2, 2]
        self.check(TTEinsumDense, einsum | shared, (4, 12, 3), (4, 12, 3), expected_num_losses=0)


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16", "float16", "float64"])
@pytest.mark.parametrize(
    "make",
    [
        lambda **policy: TTDense(10, 3, contraction="left_to_right", **policy),
        lambda **policy: TTDense(10, 3, contraction="rebuild", **policy),
        lambda **policy: TTEinsumDense("abc,cde->abde", (None, 2, 5), 3, bias_axes="d", **policy),
    ],
    ids=["left_to_right", "rebuild", "einsum"],
)
def test_dtypes(policy, make):
    layer = make(dtype=policy)
    x = np.random.default_rng(0).normal(size=(4, 3, 12))
    outputs = layer(x)
    assert keras.backend.standardize_dtype(outputs.dtype) == layer.compute_dtype
    assert {v.dtype for v in layer.weights} == {layer.variable_dtype}
    assert layer.to_dense().dtype == layer.variable_dtype
    expected = (x @ layer.to_dense().astype("float64")).reshape(outputs.shape)
    tolerance = {"float64": 1e-12}.get(policy, 0.05)
    np.testing.assert_allclose(np.asarray(outputs, "float64"), expected, atol=tolerance)


BOTH = pytest.mark.parametrize(
    ("layer", "arguments"),
    [(TTDense, {"units": 8}), (TTEinsumDense, {"equation": "ab,bc->ac", "output_shape": 8})],
)


@BOTH
@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"contraction": "einsum"}, "Received: contraction='einsum'"),
        ({"input_modes": (2.0, 4)}, "positive integers. Received: input_modes"),
        ({"output_modes": (2, -4)}, "positive integers. Received: output_modes"),
        ({"input_modes": (2, 2), "output_modes": (8,)}, "same length"),
        ({"ranks": 0}, "positive integer .*Received: ranks=0"),
        ({"ranks": (2, 1.5)}, r"Received: ranks=\(2, 1.5\)"),
    ],
)
def test_invalid_arguments_are_refused_at_once(layer, arguments, wrong, message):
    with pytest.raises(ValueError, match=message):
        layer(**arguments, **wrong)


@BOTH
@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"input_modes": (2, 4)}, "dimension 12.*whose product is 8$"),
        ({"ranks": (2, 2)}, r"2 cores.*Received: ranks=\(2, 2\)$"),
    ],
)
def test_build_refuses_arguments_that_do_not_match_the_input(layer, arguments, wrong, message):
    with pytest.raises(ValueError, match=message):
        layer(**arguments, **wrong).build((None, 12))
