import keras
import numpy as np
import pytest
from keras import layers

from dart_keras.compression.compressible import candidates, find_compressible_layers
from dart_keras.compression.compressible.conv2d import CompressibleConv2D
from dart_keras.compression.compressible.dense import CompressibleDense
from dart_keras.compression.compressible.embedding import CompressibleEmbedding
from tests.compression import models


class Doubled(layers.Dense):
    """A subclass that computes something else."""

    def call(self, inputs):
        return 2 * super().call(inputs)


class Named(layers.Dense):
    """A subclass that computes the same."""


def built(layer, *shape):
    layer.build((None, *shape))
    return layer


def quantized():
    layer = built(layers.Dense(4), 4)
    layer.quantize("int8")
    return layer


def with_lora():
    layer = built(layers.Dense(4), 4)
    layer.enable_lora(2)
    return layer


def only_layer(layer, *shape):
    dtype = "int32" if isinstance(layer, layers.Embedding) else None
    return keras.Sequential([keras.Input(shape, dtype=dtype), layer])


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (layers.Dense(4), (4,)),
        (Named(4), (4,)),
        (layers.EinsumDense("abc,cd->abd", (None, 3)), (2, 4)),
        (layers.Embedding(9, 4), (2,)),
        (layers.ReversibleEmbedding(9, 4), (2,)),
        (layers.Conv2D(4, 3), (8, 8, 3)),
    ],
)
def test_what_can_be_replaced(layer, shape):
    assert candidates(only_layer(layer, *shape)) == [(layer.name, layer, None)]


@pytest.mark.parametrize(
    ("layer", "shape", "reason"),
    [
        (Doubled(4), (4,), "of type Doubled"),
        (layers.PReLU(), (4,), "of type PReLU"),
        (layers.Conv1D(4, 3), (8, 3), "of type Conv1D"),
        (layers.DepthwiseConv2D(3), (8, 8, 3), "of type DepthwiseConv2D"),
        (layers.Conv2D(4, 3, groups=2), (8, 8, 4), "has groups=2 and data_format='channels_last'"),
        (layers.ReversibleEmbedding(9, 4, tie_weights=False), (2,), "with tied weights"),
        (layers.ReversibleEmbedding(9, 4, logit_soft_cap=3.0), (2,), "without `logit_soft_cap`"),
        (layers.EinsumDense("abc,bcd->abd", (2, 3)), (2, 4), "one matrix for all rows"),
        (with_lora(), (4,), "has LoRA weights"),
    ],
)
def test_what_cannot_be_replaced_says_why(layer, shape, reason):
    model = only_layer(layer, *shape)
    [(path, found, given_reason)] = candidates(model)
    assert (path, found) == (layer.name, layer)
    assert reason in given_reason
    with pytest.raises(ValueError, match=r"^Expected .*Received: model ") as error:
        find_compressible_layers(model)
    assert repr(given_reason) in str(error.value)


def test_models_that_keras_has_quantized_are_refused_as_a_whole():
    model = only_layer(quantized(), 4)
    [(_, _, reason)] = candidates(model)
    assert "quantized to 'int8'" in reason
    with pytest.raises(ValueError, match=r"^Expected .*Received: layers that Keras's `quantize`"):
        find_compressible_layers(model)


class Borrowing(layers.Layer):
    def __init__(self, lender):
        super().__init__()
        self.borrowed = [lender.kernel]

    def call(self, x):
        return x @ self.borrowed[0]


def test_layers_whose_weights_others_use_stay():
    wrapped, lender = layers.Dense(4, name="wrapped"), layers.Dense(4, name="lender")
    lender.build((None, 4))
    stack = [layers.SpectralNormalization(wrapped, name="wrapper"), lender, Borrowing(lender)]
    model = only_layer(keras.Sequential([keras.Input((4,)), *stack]), 4)
    reasons = {found.layer.name: found.reason for found in candidates(model)}
    assert reasons["wrapped"] == "'wrapper' uses its weights, too"
    assert reasons["lender"].endswith("uses its weights, too")


def test_layers_without_weights_are_no_candidates_and_shared_ones_are_one():
    model, _ = models.build("residual")
    kinds = {type(found.layer) for found in candidates(model)}
    assert kinds == {layers.Dense, layers.LayerNormalization}
    model, _ = models.build("shared_with_a_model_inside")
    assert [found.layer.name for found in candidates(model)] == ["shared"]


def chosen(model, layer_filter):
    return {found.path for found in candidates(model, layer_filter) if found.reason is None}


def test_layers_are_chosen_by_path_type_and_function():
    model, _ = models.build("encoders")
    every = chosen(model, None)
    inside = {path for path in every if path.startswith("encoder_1/")}
    assert {"embedding", "encoder_0/output", "encoder_1/attention/query"} < every
    assert chosen(model, "*") == every
    assert chosen(model, "encoder_1/*") == inside
    assert chosen(model, "encoder_?/attention/query") == {
        "encoder_0/attention/query",
        "encoder_1/attention/query",
    }
    # As a whole, and with regard to capitals.
    assert chosen(model, "attention") == chosen(model, "Embedding") == set()
    assert chosen(model, layers.Embedding) == {"embedding"}
    assert chosen(model, lambda layer: layer.name == "query") == {
        "encoder_0/attention/query",
        "encoder_1/attention/query",
    }
    assert chosen(model, ["encoder_1/*", layers.Embedding]) == inside | {"embedding"}
    assert chosen(model, (layers.Embedding, ("encoder_1/*",))) == inside | {"embedding"}
    assert chosen(model, []) == set()


def test_layers_not_chosen_say_so():
    model, _ = models.build("encoders")
    compressibles, found = find_compressible_layers(model, "encoder_1/*")
    assert {compressible.path for compressible in compressibles} == chosen(model, "encoder_1/*")
    reasons = {each.path: each.reason for each in found}
    assert reasons["embedding"] == "not chosen by `layers`"
    # What cannot be chosen has a reason of its own.
    assert [r for path, r in reasons.items() if "norm" in path] == [
        "of type LayerNormalization"
    ] * 2


def test_compressible_layers_are_of_the_kinds_of_their_layers():
    compressibles, _ = find_compressible_layers(models.build("convolutional")[0])
    assert [type(compressible) for compressible in compressibles] == [
        CompressibleConv2D,
        CompressibleDense,
    ]
    compressibles, _ = find_compressible_layers(models.build("masked_attention")[0])
    assert {type(compressible) for compressible in compressibles} == {
        CompressibleEmbedding,
        CompressibleDense,
    }
    compressibles, _ = find_compressible_layers(models.build("nested_three_deep")[0])
    assert [compressible.norm is not None for compressible in compressibles].count(True) == 1


@pytest.mark.parametrize("layer_filter", ["no such layer", [], lambda layer: False, layers.Conv2D])
def test_a_model_without_layers_to_replace_is_refused(layer_filter):
    model = only_layer(layers.Dense(4, name="dense"), 4)
    with pytest.raises(ValueError, match=r"^Expected .*{'dense': 'not chosen by `layers`'}"):
        find_compressible_layers(model, layer_filter)
    with pytest.raises(ValueError, match=r"Received: model 'm' with no layers that have weights"):
        find_compressible_layers(keras.Sequential([keras.Input((4,)), layers.ReLU()], name="m"))


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize(("place", "name"), [(0, "kernel"), (1, "bias"), (2, "gamma")])
def test_weights_that_are_not_finite_are_refused_where_they_matter(place, name, value):
    stack = [keras.Input((4,)), layers.Dense(4, name="bad"), layers.BatchNormalization()]
    model = keras.Sequential([*stack, layers.Dense(3, name="good")])
    weight = model.weights[place]
    assert weight.name == name
    weight.assign(np.where(np.arange(4) == 2, value, np.asarray(weight)))
    with pytest.raises(ValueError, match=f"finite weights.*Received: layer 'bad' with .*'{name}'$"):
        find_compressible_layers(model)
    [compressible], _ = find_compressible_layers(model, "good")
    assert compressible.path == "good"


@pytest.mark.parametrize("model", [None, "model", layers.Dense(3), keras.Sequential()])
def test_what_is_not_a_built_model_is_refused(model):
    with pytest.raises(ValueError, match=r"Expected a built Keras model\. Received"):
        candidates(model)


@pytest.mark.parametrize("layer_filter", [3, ["dense", 3], {"dense"}])
def test_filters_of_other_kinds_are_refused(layer_filter):
    model = only_layer(layers.Dense(4), 4)
    with pytest.raises(ValueError, match=r"Expected `layers` to be .*Received: layers="):
        candidates(model, layer_filter)
