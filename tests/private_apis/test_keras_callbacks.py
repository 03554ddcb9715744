import keras
import numpy as np

from dart_keras.private_apis import callbacks_beside

X = np.ones((4, 2), "float32")


class Looking(keras.callbacks.Callback):
    def on_epoch_begin(self, epoch, logs=None):
        self.found = callbacks_beside(self)


def fit(callbacks):
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2)])
    model.compile("sgd", "mse")
    model.fit(X, X, verbose=0, callbacks=callbacks)


def test_the_other_callbacks_of_the_same_fit_are_found():
    looking, other = Looking(), keras.callbacks.EarlyStopping(monitor="loss")
    fit([looking, other])
    assert sum(each is other for each in looking.found) == 1
    assert not any(each is looking for each in looking.found)


def test_a_callback_list_of_the_user_is_looked_into_too():
    looking, other = Looking(), keras.callbacks.EarlyStopping(monitor="loss")
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2)])
    model.compile("sgd", "mse")
    both = keras.callbacks.CallbackList([other, looking], add_history=True, model=model)
    model.fit(X, X, verbose=0, callbacks=both)
    assert any(each is other for each in looking.found)


def test_callbacks_of_another_model_are_not():
    looking, elsewhere = Looking(), keras.callbacks.EarlyStopping(monitor="loss")
    fit([elsewhere])
    together = [looking, elsewhere]  # a list of the user that no fit knows of
    fit([looking])
    assert together[1] is elsewhere
    assert not any(each is elsewhere for each in looking.found)
