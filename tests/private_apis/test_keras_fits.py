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


def test_it_knows_what_it_trains_on_without_the_rows_for_validation(model):
    model.fit(X, 2 * X, validation_split=0.25, batch_size=4, verbose=0)
    seen = SEEN[0]
    np.testing.assert_array_equal(seen.x, X[:9])
    np.testing.assert_array_equal(seen.y, 2 * X[:9])
    np.testing.assert_array_equal(seen.validation["x"], X[9:])
    np.testing.assert_array_equal(seen.validation["y"], 2 * X[9:])


def test_data_that_yield_batches_are_x_alone(model):
    rows = Rows()
    model.fit(rows, verbose=0)
    assert SEEN[0].x is rows
    assert SEEN[0].y is None


@pytest.mark.parametrize("form", ["arrays", "weighted", "tf.data", "rows"])
def test_evaluate_with_its_arguments_is_the_validation_of_fit(form):
    data = {
        "arrays": (X, 3 * X),
        "weighted": (X, 3 * X, np.arange(12.0)),
        "tf.data": tf.data.Dataset.from_tensor_slices((X, 3 * X)).batch(5).repeat(),
        "rows": Rows(),
    }[form]
    steps = 3 if form == "tf.data" else None
    found = []

    class Look(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            validation = running_fit().validation
            found.append((self.model.evaluate(**validation, verbose=0), logs["val_loss"]))

    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(3)])
    model.compile("sgd", "mse")
    model.fit(
        X,
        X,
        epochs=2,
        verbose=0,
        validation_data=data,
        validation_steps=steps,
        validation_batch_size=5 if form in ("arrays", "weighted") else None,
        callbacks=[Look()],
    )
    for ours, of_fit in found:
        assert ours == pytest.approx(of_fit, rel=1e-5)


def test_a_fit_without_validation_data_has_none(model):
    model.fit(X, X, verbose=0)
    assert SEEN[0].validation is None
