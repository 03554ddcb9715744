import keras
import numpy as np

from dart_keras.keras_internals import set_mask


class Masked(keras.layers.Layer):
    """Masks from within its call, and by nothing else."""

    def call(self, inputs):
        outputs = keras.ops.expand_dims(keras.ops.cast(inputs, "float32"), -1)
        set_mask(outputs, keras.ops.not_equal(inputs, 0))
        return outputs

    def compute_mask(self, inputs, mask=None):
        return None


IDS = np.array([[3, 4, 0, 0], [5, 0, 0, 0]])


def test_later_layers_get_the_mask():
    mean = keras.layers.GlobalAveragePooling1D()(Masked()(IDS))
    np.testing.assert_allclose(mean, [[3.5], [5.0]])


def test_later_layers_of_a_model_get_the_mask():
    inputs = keras.Input((4,), dtype="int32")
    model = keras.Model(inputs, keras.layers.GlobalAveragePooling1D()(Masked()(inputs)))
    np.testing.assert_allclose(model.predict(IDS, verbose=0), [[3.5], [5.0]])


def test_it_is_the_mask_that_reversible_embedding_sets():
    twin = keras.layers.ReversibleEmbedding(6, 2, mask_zero=True)
    outputs = Masked()(IDS)
    np.testing.assert_array_equal(outputs._keras_mask, twin(IDS)._keras_mask)
