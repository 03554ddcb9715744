"""Which models run a layer, so that a layer whose shape changes can tell them."""

import weakref

import keras
from keras.src.backend.common import global_state

_owners: "weakref.WeakKeyDictionary[keras.Layer, weakref.WeakSet[keras.Model]]" = (
    weakref.WeakKeyDictionary()
)


def add_owner(layer: keras.Layer, model: keras.Model) -> None:
    """Record that the model's compiled functions and optimizer hold variables of the layer."""
    _owners.setdefault(layer, weakref.WeakSet()).add(model)


def note_calling_model(layer: keras.Layer) -> None:
    """To be called from a layer's `call`: records the outermost model that is being called."""
    context = global_state.get_global_attribute("current_call_ctx")
    entry = getattr(context, "entry_layer", None)
    if isinstance(entry, keras.Model):
        add_owner(layer, entry)


def owners_of(layer: keras.Layer) -> list[keras.Model]:
    """The models recorded for the layer that still exist."""
    return list(_owners.get(layer, ()))
