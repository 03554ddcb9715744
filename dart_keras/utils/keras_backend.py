import keras


def require_tensorflow(feature: str) -> None:
    """Check that Keras runs on TensorFlow.

    Args:
        feature: What needs it, as the subject of a sentence.

    Raises:
        ValueError: If Keras runs on another backend.
    """
    if keras.backend.backend() != "tensorflow":
        raise ValueError(
            f"Expected Keras to run on TensorFlow: {feature} needs it. "
            f"Received: backend {keras.backend.backend()!r}. Install the package `tensorflow` and "
            "set the environment variable KERAS_BACKEND=tensorflow before Keras is imported"
        )
