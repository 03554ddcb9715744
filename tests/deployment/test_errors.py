from dart_keras.deployment import ConversionError


def test_it_is_a_value_error_that_names_each_once():
    error = ConversionError("No.", operators=["B", "A", "B"], layers=["z", "a", "z"])
    assert isinstance(error, ValueError)
    assert str(error) == "No. Operator: A, B. Layer: z, a."
    assert error.reason == "No."
    assert str(ConversionError("No.")) == "No."
