import keras


def flatten_layers(model: keras.Model) -> list[keras.Layer]:
    """All layers of a model at any depth, each once, those of custom layers included."""
    return model._flatten_layers(include_self=False)
