import keras

from dart_keras.calibration_data import InputSpec, identifier, input_specs


def test_the_inputs_of_a_model_in_their_order():
    inputs = {"b": keras.Input((2, None), name="one"), "a": keras.Input((3,), name="two")}
    x = keras.ops.sum(inputs["a"]) + keras.ops.sum(inputs["b"])
    assert input_specs(keras.Model(inputs, x)) == [
        InputSpec("two", (3,), None),
        InputSpec("one", (2, None), None),
    ]


def test_a_subclassed_model_does_not_say_its_inputs():
    class Plain(keras.Model):
        def call(self, inputs):
            return inputs

    model = Plain()
    assert input_specs(model) is None
    # Built, it knows how many axes a single input has.
    model(keras.ops.zeros((2, 3, 4)))
    assert input_specs(model) == [InputSpec("input", (None, None), None)]
    two = Plain()
    two([keras.ops.zeros((2, 3)), keras.ops.zeros((2, 3))])
    assert input_specs(two) is None


def test_an_identifier_has_no_other_characters():
    assert identifier("keras/input:0") == "keras_input_0"
