"""The callbacks of one training, of which Keras does not tell each other."""

import inspect

import keras


def callbacks_beside(callback: keras.callbacks.Callback) -> list[keras.callbacks.Callback]:
    """Return all callbacks of the training that is calling a method of one, in their order.

    `fit` calls them through a `CallbackList`, which is found among the callers.

    Args:
        callback: The callback that asks.

    Returns:
        The callbacks, with the one that asks; none if no `CallbackList` is calling.
    """
    frame = inspect.currentframe()
    while frame is not None:
        caller = frame.f_locals.get("self")
        if isinstance(caller, keras.callbacks.CallbackList):
            found = list(caller.callbacks)
            if any(each is callback for each in found):
                return found
        frame = frame.f_back
    return []
