import gc

import keras


def callbacks_beside(callback: keras.callbacks.Callback) -> list[keras.callbacks.Callback]:
    """Return the other callbacks of the `fit` that a callback takes part in.

    Keras does not tell a callback of the others; they are found in the lists that hold it.
    """
    found = {
        id(other): other
        for holder in gc.get_referrers(callback)
        if isinstance(holder, list)
        for other in holder
        if isinstance(other, keras.callbacks.Callback) and other is not callback
    }
    return [other for other in found.values() if other.model is callback.model]
