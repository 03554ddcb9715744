from typing import Any

from keras.src import backend


def set_mask(tensor: Any, mask: Any) -> None:
    """Attach a mask to a tensor, as `keras.layers.ReversibleEmbedding` does from within `call`."""
    backend.set_keras_mask(tensor, mask)
