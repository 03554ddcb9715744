from dart_keras.utils.keras_backend import require_tensorflow


def test_tensorflow_is_what_is_expected():
    # On other backends: tests/test_without_tensorflow.py.
    require_tensorflow("conversion")
