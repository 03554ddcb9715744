import keras
import numpy as np

from dart_keras.private_apis import callbacks_beside

X = np.ones((2, 3), "float32")


class Asking(keras.callbacks.Callback):
    def on_train_begin(self, logs=None):
        self.beside = callbacks_beside(self)


def make_model():
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(3)])
    model.compile("sgd", "mse")
    return model


def test_a_callback_learns_of_all_callbacks_of_its_fit_in_their_order():
    first, asking, last = keras.callbacks.TerminateOnNaN(), Asking(), keras.callbacks.History()
    make_model().fit(X, X, verbose=0, callbacks=[first, [asking, last]])
    assert asking.beside == [first, asking, last]
    make_model().fit(X, X, verbose=0, callbacks=[asking])
    assert asking.beside[0] is asking
    assert [type(each) for each in asking.beside[1:]] == [keras.callbacks.History]


def test_also_in_a_loop_of_its_own():
    asking = Asking()
    keras.callbacks.CallbackList([asking], model=make_model()).on_train_begin()
    assert asking.beside == [asking]


def test_a_list_without_the_callback_does_not_count():
    inner = Asking()
    outer = keras.callbacks.LambdaCallback(on_train_begin=lambda logs: inner.on_train_begin())
    make_model().fit(X, X, verbose=0, callbacks=[outer])
    assert inner.beside == []
