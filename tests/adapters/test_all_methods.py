"""What every method of fine-tuning must do, on each kind of layer."""

import keras
import numpy as np
import pytest

from dart_keras import adapters
from tests.adapters.method_cases import METHODS, NOT_FOR_TABLES, NOT_MERGED

ROWS = 24
RNG = np.random.default_rng(1)


def dense_model():
    stack = [keras.layers.Dense(24, "relu", name="hidden"), keras.layers.Dense(3, name="logits")]
    return keras.Sequential([keras.Input((16,)), *stack]), RNG.normal(size=(ROWS, 16))


def attention_model():
    x = keras.Input((6, 16))
    hidden = keras.layers.MultiHeadAttention(2, 8, name="hidden")(x, x)
    pooled = keras.layers.GlobalAveragePooling1D()(hidden)
    model = keras.Model(x, keras.layers.Dense(3, name="logits")(pooled))
    return model, RNG.normal(size=(ROWS, 6, 16))


def table_model():
    ids = keras.Input((5,), dtype="int32")
    embedded = keras.layers.Embedding(30, 16, name="hidden")(ids)
    pooled = keras.layers.GlobalAveragePooling1D()(embedded)
    model = keras.Model(ids, keras.layers.Dense(3, name="logits")(pooled))
    return model, RNG.integers(30, size=(ROWS, 5))


def convolution_model():
    x = keras.Input((5, 6, 4))
    convolution = keras.layers.Conv2D(8, 3, 2, "same", activation="relu", name="hidden")
    pooled = keras.layers.GlobalAveragePooling2D()(convolution(x))
    model = keras.Model(x, keras.layers.Dense(3, name="logits")(pooled))
    return model, RNG.normal(size=(ROWS, 5, 6, 4))


MODELS = {
    "dense": dense_model,
    "attention": attention_model,
    "table": table_model,
    "convolution": convolution_model,
}
CASES = [
    pytest.param((method, kind), id=f"{method}-{kind}")
    for method in METHODS
    for kind in MODELS
    if not (kind == "table" and method in NOT_FOR_TABLES)
]


def predictions(model, x):
    return keras.ops.convert_to_numpy(model(keras.ops.convert_to_tensor(x), training=False))


class Case:
    """A pretrained model, and the adapted one before and after its training."""

    def __init__(self, method, kind):
        keras.utils.set_random_seed(1)
        self.method = method
        self.base, x = MODELS[kind]()
        self.x = x.astype("int32" if kind == "table" else "float32")
        self.pretrained = predictions(self.base, self.x)
        self.adapted = adapters.adapt(self.base, METHODS[method], r"hidden(/.*)?", ["logits"])
        self.untrained = predictions(self.adapted, self.x)
        variables = self.adapted.trainable_variables
        start = [keras.ops.convert_to_numpy(v).copy() for v in variables]
        self.losses = train(self.adapted, self.x)
        self.trained = predictions(self.adapted, self.x)
        self.unchanged = [
            v.path
            for v, before in zip(variables, start, strict=True)
            if np.array_equal(keras.ops.convert_to_numpy(v), before)
        ]


def train(adapted, x):
    y = np.arange(len(x)) % 3
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    # A few steps take less time than tracing a function.
    adapted.compile(keras.optimizers.Adam(0.02), loss, run_eagerly=True)
    return adapted.fit(x, y, epochs=5, batch_size=ROWS, verbose=0).history["loss"]


# One training for all tests of a case.
@pytest.fixture(scope="module")
def case(request):
    return Case(*request.param)


each_case = pytest.mark.parametrize("case", CASES, indirect=True)


@each_case
def test_changes_nothing_at_first(case):
    np.testing.assert_allclose(case.untrained, case.pretrained, rtol=1e-5, atol=1e-6)


@each_case
def test_trains_all_of_the_adapters_and_nothing_else(case):
    assert case.losses[-1] < case.losses[0]
    assert case.unchanged == []
    assert np.array_equal(predictions(case.base, case.x), case.pretrained)


@each_case
def test_a_keras_file_has_the_adapters(case, tmp_path):
    case.adapted.save(tmp_path / "adapted.keras")
    loaded = keras.models.load_model(tmp_path / "adapted.keras")
    np.testing.assert_allclose(predictions(loaded, case.x), case.trained, atol=1e-6)
    assert len(loaded.trainable_variables) == len(case.adapted.trainable_variables)


@each_case
def test_an_adapter_file_has_the_adapters(case, tmp_path):
    adapters.save(case.adapted, tmp_path / "some.adapter")
    loaded = adapters.load(case.base, tmp_path / "some.adapter")
    np.testing.assert_allclose(predictions(loaded, case.x), case.trained, atol=1e-6)
    assert len(loaded.trainable_variables) == len(case.adapted.trainable_variables)


@each_case
def test_merged_does_the_same(case):
    if case.method in NOT_MERGED:
        with pytest.raises(ValueError, match="cannot be merged"):
            adapters.merge(case.adapted)
        return
    merged = adapters.merge(case.adapted)
    np.testing.assert_allclose(predictions(merged, case.x), case.trained, rtol=1e-5, atol=1e-5)
    assert "dart_keras" not in str(merged.get_config())
