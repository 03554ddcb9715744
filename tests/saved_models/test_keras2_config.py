import pytest

from dart_keras.saved_models.keras2_config import keras3_config


def layer(kind, **arguments):
    return {"class_name": kind, "config": {"name": "one", **arguments}}


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (layer("DepthwiseConv2D", groups=1, strides=[1, 1]), {"strides": [1, 1]}),
        (layer("Conv2D", groups=2), {"groups": 2}),
        (layer("LSTM", time_major=False, units=4), {"units": 4}),
        (layer("BatchNormalization", axis=[3]), {"axis": 3}),
        (layer("BatchNormalization", axis=-1), {"axis": -1}),
        (
            layer("Dense", dtype={"class_name": "Policy", "config": {"name": "mixed_float16"}}),
            {"dtype": "mixed_float16"},
        ),
    ],
    ids=str,
)
def test_arguments_that_keras_3_does_not_take_are_left_out(old, new):
    before = repr(old)
    for nested in (old, layer("Sequential", layers=[old])):
        found = keras3_config(nested, safe_mode=True)
        found = found["config"]["layers"][0] if nested is not old else found
        assert found == layer(old["class_name"], **new)
    assert repr(old) == before


def test_the_first_layer_of_old_files_has_the_shape_of_the_inputs():
    first = layer("Dense", batch_input_shape=[None, 4], units=2)
    found = keras3_config(layer("Sequential", layers=[first]), safe_mode=True)
    inputs, dense = found["config"]["layers"]
    assert inputs["config"] == {"batch_shape": [None, 4], "name": "one_input"}
    assert dense == layer("Dense", units=2)


@pytest.mark.parametrize(
    ("old", "message"),
    [
        (layer("GRU", time_major=True), "GRU 'one' with time_major=True"),
        (layer("DepthwiseConv2D", groups=3), "DepthwiseConv2D 'one' with groups=3"),
        (layer("BatchNormalization", axis=[1, 3]), r"with axis=\[1, 3\]"),
        (layer("TFOpLambda", function="reverse"), "TFOpLambda 'one' for reverse"),
        (layer("Lambda", function=["code", None, None]), "`Lambda` layer 'one'.*safe_mode=False"),
    ],
    ids=str,
)
def test_what_would_change_the_model_is_refused(old, message):
    with pytest.raises(ValueError, match=f"Expected layers .* Received: .*{message}"):
        keras3_config(layer("Sequential", layers=[old]), safe_mode=True)
