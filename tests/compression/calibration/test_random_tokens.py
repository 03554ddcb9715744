import keras
import keras_hub
import numpy as np
import pytest
from keras import layers

from dart_keras.budgets import MultiplyAdds, Parameters
from dart_keras.compression import compress
from dart_keras.compression.calibration.random_tokens import random_tokens


def encoder():
    return keras_hub.models.BertBackbone(40, 1, 2, 16, 24, dropout=0, max_sequence_length=16)


def test_ids_masks_and_segments_of_a_backbone():
    found = random_tokens(encoder())
    assert {name: x.shape for name, x in found.items()} == dict.fromkeys(found, (512, 16))
    assert [found["token_ids"].min(), found["token_ids"].max()] == [0, 39]
    assert found["padding_mask"].all()
    assert not found["segment_ids"].any()


def test_inputs_of_a_nested_model_in_a_list():
    backbone = encoder()
    model = keras.Model(backbone.inputs, backbone(backbone.input)["pooled_output"])
    found = random_tokens(model)
    assert [x.shape for x in found] == [(512, 16)] * 3
    names = [tensor.name for tensor in model.inputs]
    assert found[names.index("token_ids")].max() == 39


def test_two_tables_of_one_input_and_a_fixed_length():
    ids = keras.Input((5,), dtype="int32", batch_size=8)
    x = layers.Embedding(30, 4)(ids) + layers.Embedding(20, 4)(ids)
    found = random_tokens(keras.Model(ids, layers.Dense(3)(x)))
    assert found.shape == (512, 5)
    assert found.max() == 19


def test_shorter_sequences_where_longer_ones_are_refused():
    backbone = keras_hub.models.BertBackbone(40, 1, 2, 16, 24, max_sequence_length=6)
    assert {x.shape for x in random_tokens(backbone).values()} == {(512, 4)}


def without_a_table():
    ids = keras.Input((5,), dtype="int32")
    return keras.Model(ids, layers.Dense(3)(keras.ops.cast(ids, "float32")))


def with_features():
    ids, x = keras.Input((5,), dtype="int32"), keras.Input((4,))
    pooled = layers.GlobalAveragePooling1D()(layers.Embedding(30, 4)(ids))
    return keras.Model([ids, x], layers.Dense(3)(pooled + x))


class Subclassed(keras.Model):
    def __init__(self):
        super().__init__()
        self.table = layers.Embedding(30, 4)

    def call(self, ids):
        return self.table(ids)


def subclassed():
    model = Subclassed()
    model(np.zeros((1, 3), "int32"))
    return model


def of_vectors():
    return keras.Sequential([keras.Input((4,)), layers.Dense(3)])


def not_finite():
    ids = keras.Input((5,), dtype="int32")
    x = layers.Embedding(30, 4, embeddings_initializer="zeros")(ids)
    return keras.Model(ids, layers.Dense(3)(1 / x))


OTHERS = [without_a_table, with_features, subclassed, of_vectors, not_finite]


@pytest.mark.parametrize("build", OTHERS)
def test_other_models_have_none(build):
    assert random_tokens(build()) is None


def test_without_data_layers_are_fitted_to_vectors_of_tokens():
    """A layer of full rank, of whose inputs the vectors in the table take four directions."""
    rng = np.random.default_rng(0)
    model = keras.Sequential(
        [
            keras.Input((6,), dtype="int32"),
            layers.Embedding(24, 32, name="table"),
            layers.Dense(64, "relu", name="wide"),
            layers.Dense(2, name="last"),
        ]
    )
    model.get_layer("table").set_weights([rng.normal(size=(24, 4)) @ rng.normal(size=(4, 32))])
    ids = rng.integers(0, 24, size=(64, 6))
    expected = model.predict(ids, verbose=0)
    budget = Parameters(model.count_params() - 1500)
    small, report = compress(model, budget, layers=["wide"])
    assert report.layers[1].ranks[1] >= 4
    np.testing.assert_allclose(small.predict(ids, verbose=0), expected, rtol=0.02, atol=0.02)
    assert "layers were fitted to random tokens" in str(report)
    # What random tokens lose is no promise.
    assert report.end_error is None
    assert report.agreement is None
    assert all(row.end_error is None for row in report.layers)
    # And products can be counted.
    assert compress(model, MultiplyAdds(report.multiply_adds_before))[1].multiply_adds_after
