import keras
import numpy as np
import pytest
import tensorflow as tf

from dart_keras.private_apis import running_fit

X = np.ones((12, 3), "float32")
ARRAYS = {"x": X, "y": X, "batch_size": 4}


class Rows(keras.utils.PyDataset):
    def __len__(self):
        return 3

    def __getitem__(self, index):
        return X[:4], X[:4]


SEEN = []


class Watching(keras.layers.Layer):
    """Keeps what fit was running when it was called."""

    def call(self, x):
        SEEN.append(running_fit())
        return x


@pytest.fixture
def model():
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(3), Watching()])
    model.compile("sgd", "mse")
    SEEN.clear()
    return model


@pytest.mark.parametrize(
    "data",
    [
        ARRAYS,
        {"x": tf.data.Dataset.from_tensor_slices((X, X)).batch(4).map(lambda x, y: (x, y))},
    ],
    ids=["arrays", "tf.data"],
)
def test_a_layer_knows_the_fit_that_calls_it(model, data):
    callback = keras.callbacks.TerminateOnNaN()
    model.fit(**data, verbose=0, callbacks=[callback])
    seen = SEEN[-1]
    assert seen.model is model
    assert seen.batch_size == 4
    assert callback in seen.callbacks
    assert seen.caller.f_code.co_filename == __file__


def test_nothing_but_fit_is_one(model):
    model.predict(X, verbose=0)
    model(X)
    assert set(SEEN) == {None}


def test_the_size_of_batches_may_be_unknown(model):
    ragged = tf.data.Dataset.from_generator(
        lambda: iter([(X, X)]), output_signature=(tf.TensorSpec((None, 3)),) * 2
    )
    for data in (ragged, Rows()):
        model.fit(data, verbose=0)
        assert SEEN[-1].batch_size is None
