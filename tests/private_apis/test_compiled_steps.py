import gc

import keras
import numpy as np
import pytest

from dart_keras.private_apis import forget_compiled_functions, note_compiling_function

if keras.backend.backend() == "torch":
    pytest.skip("PyTorch compiles functions again by itself", allow_module_level=True)

X = np.ones((4, 3), "float32")


class Noting(keras.layers.Layer):
    def build(self, input_shape):
        self.scale = self.add_weight(shape=(), initializer="ones", name="scale")
        self.built = True

    def call(self, inputs):
        note_compiling_function(self, self.scale)
        return self.scale * inputs


def built():
    layer = Noting()
    model = keras.Sequential([keras.Input((3,)), layer])
    model.compile("sgd", "mse")
    return model, layer


def compiled(model):
    if keras.backend.backend() == "jax":
        import jax

        step = jax.jit(lambda values, x: model.stateless_call(values, [], x)[0])
        return lambda x: step([v.value for v in model.trainable_variables], x)
    import tensorflow as tf

    return tf.function(lambda x: model(x))


def test_a_function_of_ones_own_is_noted_until_it_is_forgotten():
    model, layer = built()
    step = compiled(model)
    step(X)
    assert forget_compiled_functions(layer)
    assert not forget_compiled_functions(layer)
    step(X)  # compiled before
    assert not forget_compiled_functions(layer)


def test_what_keras_compiles_and_what_is_not_compiled_is_not_noted():
    model, layer = built()
    model(X)
    model.fit(X, X, verbose=0)
    model.evaluate(X, X, verbose=0)
    model.predict(X, verbose=0)
    assert not forget_compiled_functions(layer)


def test_a_function_inside_of_a_step_of_keras_is_not_noted():
    class Own(keras.Sequential):
        def call(self, inputs, training=None, mask=None):
            if keras.backend.backend() == "tensorflow":
                import tensorflow as tf

                return tf.function(super().call)(inputs)
            return super().call(inputs)

    layer = Noting()
    model = Own([keras.Input((3,)), layer])
    model.compile("sgd", "mse")
    model.fit(X, X, verbose=0)
    assert not forget_compiled_functions(layer)


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="JAX does not tell")
def test_a_function_that_is_gone_is_not_noted():
    model, layer = built()
    step = compiled(model)
    step(X)
    del step
    gc.collect()
    assert not forget_compiled_functions(layer)
