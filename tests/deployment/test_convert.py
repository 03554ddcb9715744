import keras
import numpy as np
import pytest

from dart_keras.deployment import ConversionError, convert
from tests.deployment import models

SETTINGS = [
    (target, scheme)
    for target in ("raspberry-pi", "microcontroller")
    for scheme in ("float32", "dynamic", "int8", "int16x8")
    if (target, scheme) != ("microcontroller", "dynamic")
]
LEAST_DECIBELS = {"float32": 100, "dynamic": 25, "int8": 20, "int16x8": 25}


@pytest.mark.parametrize(("target", "quantization"), SETTINGS)
@pytest.mark.parametrize(
    ("build", "rows"),
    [
        (models.dense, models.ROWS),
        (models.tt_dense, models.ROWS),
        (models.tt_dense_on_sequences, models.RNG.normal(size=(64, 3, 20))),
    ],
)
def test_every_scheme_is_close_to_keras_on_every_runtime(build, rows, target, quantization):
    model = build()
    artifact = convert(model, target, quantization=quantization, calibration_data=rows)
    assert artifact.report["compared_rows"] == 64
    assert set(artifact.report["runtimes"]) == (
        {"litert", "litert-builtin"}
        if target == "raspberry-pi"
        else {"litert", "tflm", "litert-builtin"}
    )
    expected = model.predict(rows, verbose=0)
    for runtime, results in artifact.report["runtimes"].items():
        assert results["microseconds"] > 0
        error = artifact.predict(rows, runtime) - expected
        decibels = 10 * np.log10(np.mean(expected**2) / np.mean(error**2))
        assert decibels > LEAST_DECIBELS[quantization]
        # Floats may agree to the last bit with Keras called row by row.
        if quantization in ("int8", "int16x8"):
            assert results["outputs"][0]["sqnr_db"] == pytest.approx(decibels, abs=1)


@pytest.mark.parametrize(("target", "quantization"), SETTINGS)
def test_tt_embedding_runs_with_int32_ids(target, quantization):
    model = models.tt_embedding()
    artifact = convert(model, target, quantization=quantization, calibration_data=models.IDS)
    assert artifact.inputs[0].dtype == "int32"
    assert artifact.inputs[0].scale is None
    expected = model.predict(models.IDS, verbose=0)
    for runtime in artifact.report["runtimes"]:
        error = artifact.predict(models.IDS, runtime) - expected
        assert np.mean(error**2) < np.mean(expected**2) / 100


def test_integers_inside_and_at_the_interface():
    arguments = {"quantization": "int8", "calibration_data": models.ROWS}
    assert convert(models.dense(), **arguments).inputs[0].dtype == "int8"
    assert convert(models.dense(), **arguments).outputs[0].dtype == "int8"
    wide = convert(models.dense(), **(arguments | {"quantization": "int16x8"}))
    assert (wide.inputs[0].dtype, wide.outputs[0].dtype) == ("int16", "int16")
    assert set(wide.report["weight_bytes"]) <= {"int8", "int64"}


def test_dynamic_quantizes_large_matrices_only():
    large = keras.Sequential([keras.Input((64,)), keras.layers.Dense(64)])
    assert convert(large, quantization="dynamic").report["weight_bytes"] == {"int8": 64 * 64}
    small = convert(models.dense(), quantization="dynamic")
    assert small.report["weight_bytes"] == {"float32": 4 * (20 * 16 + 16 * 4)}


def test_a_tt_layer_stays_a_tt_layer():
    from dart_keras.layers import TTDense

    layer = TTDense(256, ranks=2, use_bias=False, contraction="rebuild")
    model = keras.Sequential([keras.Input((256,)), layer])
    artifact = convert(model)
    assert layer.contraction == "rebuild"
    assert artifact.report["weight_bytes"]["float32"] == 4 * model.count_params()


@pytest.mark.parametrize(("target", "quantization"), SETTINGS)
def test_a_model_that_does_nothing(target, quantization):
    model = keras.Sequential([keras.Input((20,)), keras.layers.Flatten()])
    artifact = convert(model, target, quantization=quantization, calibration_data=models.ROWS)
    step = artifact.inputs[0].scale or 0
    assert np.abs(artifact.predict(models.ROWS) - models.ROWS).max() <= 0.51 * step + 1e-6


def test_inputs_and_outputs_keep_the_order_of_keras():
    model = models.two_in_three_out()
    rows = (models.RNG.normal(size=(32, 5)), models.RNG.normal(size=(32, 7)))
    expected = model.predict(rows, verbose=0)
    for quantization in ("float32", "int8"):
        artifact = convert(
            model, "microcontroller", quantization=quantization, calibration_data=rows
        )
        assert [info.shape for info in artifact.inputs] == [(1, 5), (1, 7)]
        assert [info.name for info in artifact.inputs] == ["z_first", "a_second"]
        assert [info.name for info in artifact.outputs] == ["z_out", "a_out", "m_out"]
        named = {"a_second": rows[1], "z_first": rows[0]}
        for runtime in ("litert", "tflm"):
            for got, want in zip(artifact.predict(named, runtime), expected, strict=True):
                np.testing.assert_allclose(got, want, atol=0.1)


def test_subclassed_models():
    model = models.Subclassed()
    model(models.ROWS[:3])
    rows = models.ROWS
    artifact = convert(model, "microcontroller", quantization="int8", calibration_data=rows)
    np.testing.assert_allclose(
        artifact.predict(rows, "tflm"), model.predict(rows, verbose=0), atol=0.2
    )
    model = models.SubclassedOnDict()
    rows = {"a": models.ROWS[:, :4], "b": models.ROWS}
    model(rows)
    np.testing.assert_allclose(
        convert(model).predict(rows), model.predict(rows, verbose=0), rtol=1e-4, atol=1e-5
    )


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_mixed_precision_becomes_float32(policy):
    layers = [keras.layers.Dense(8, activation="relu", dtype=policy) for _ in range(2)]
    model = keras.Sequential([keras.Input((20,)), *layers])
    artifact = convert(model, calibration_data=models.ROWS)
    assert artifact.outputs[0].dtype == "float32"
    assert [layer.dtype_policy.name for layer in layers] == [policy, policy]
    assert model(models.ROWS).dtype == policy.removeprefix("mixed_")
    np.testing.assert_allclose(
        artifact.predict(models.ROWS), model.predict(models.ROWS, verbose=0), atol=0.1
    )


@pytest.mark.parametrize("quantization", ["float32", "int8"])
def test_keras_embedding_names_the_operator_and_the_layer(quantization):
    arguments = {"quantization": quantization, "calibration_data": models.IDS}
    model = models.embedding()
    assert "SELECT" in convert(model, **arguments).operators
    with pytest.raises(ConversionError, match=r"no kernel.*SELECT.*table") as caught:
        convert(model, "microcontroller", **arguments)
    assert caught.value.operators == ["SELECT"]
    assert caught.value.layers == [model.layers[0].path]


def test_ids_in_a_float_input_stay_integers():
    model = keras.Sequential(
        [keras.Input((6,)), keras.layers.Embedding(200, 4), keras.layers.Flatten()]
    )
    artifact = convert(model, quantization="int8", calibration_data=models.IDS)
    assert artifact.inputs[0].dtype == "int32"
    expected = model.predict(models.IDS, verbose=0)
    np.testing.assert_allclose(artifact.predict(models.IDS), expected, atol=1e-3)


def test_loops_are_refused_before_they_end_the_process():
    rows = models.RNG.normal(size=(8, 4, 3))
    rolled = keras.Sequential([keras.Input((4, 3)), keras.layers.GRU(2, name="memory")])
    with pytest.raises(ConversionError, match=r"unroll=True.*WHILE.*memory"):
        convert(rolled, quantization="int8", calibration_data=rows)
    assert "WHILE" in convert(rolled).operators
    # Nor is it sent from there into TFLM's loop that never ends.
    for layer in (rolled.layers[0], keras.layers.GRU(2, return_sequences=True, name="memory")):
        endless = keras.Sequential([keras.Input((4, 3)), layer])
        with pytest.raises(ConversionError, match=r"Lite Micro.*unroll=True.*WHILE.*memory"):
            convert(endless, "microcontroller")
    unrolled = keras.Sequential([keras.Input((4, 3)), keras.layers.GRU(2, unroll=True)])
    convert(unrolled, quantization="int8", calibration_data=rows)


def test_the_model_is_left_as_it_was():
    class Stubborn(keras.layers.Layer):
        def call(self, inputs):
            import tensorflow as tf

            return tf.linalg.svd(inputs)[0]

    inputs = keras.Input((20,))
    hidden = keras.layers.Reshape((4, 4))(keras.layers.Dense(16, dtype="mixed_float16")(inputs))
    model = keras.Model(inputs, Stubborn(dtype="float32")(hidden))
    model.compile("adam", "mse")
    before = [value.copy() for value in model.get_weights()]
    expected = model.predict(models.ROWS, verbose=0)
    attributes = [set(vars(layer)) for layer in model._flatten_layers()]
    with pytest.raises(ConversionError, match=r"Operator: Svd\. Layer: stubborn"):
        convert(model)
    convert(models.dense())
    assert [set(vars(layer)) for layer in model._flatten_layers()] == attributes
    np.testing.assert_array_equal(model.predict(models.ROWS, verbose=0), expected)
    for value, old in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(value, old)
    model.fit(models.ROWS, expected, verbose=0)


def test_training_afterwards_changes_nothing_in_the_artifact():
    model = models.dense()
    artifact = convert(model)
    before = artifact.predict(models.ROWS)
    model.set_weights([np.zeros_like(value) for value in model.get_weights()])
    np.testing.assert_array_equal(artifact.predict(models.ROWS), before)
    assert artifact.verify(models.ROWS)["litert"][0]["relative_error"] < 1e-3


@pytest.mark.parametrize("quantization", ["int8", "int16x8"])
def test_calibration_needs_data(quantization):
    with pytest.raises(ValueError, match=r"features.*'rows', 20.*calibration_data=None"):
        convert(models.dense(), quantization=quantization)


def test_bad_data_are_named_before_anything_is_converted():
    rows = models.ROWS.copy()
    rows[3, 4] = np.nan
    for bad, message in [
        (rows, "finite.*Received: 1 values"),
        (models.ROWS[:, :3], r"\(rows, 20\).*\(64, 3\)"),
        (models.ROWS[:0], "at least one row"),
    ]:
        with pytest.raises(ValueError, match=message):
            convert(models.dense(), quantization="int8", calibration_data=bad)


@pytest.mark.parametrize("bad", [0, -1.0, -20, float("nan"), float("inf"), True, False, "20"])
def test_decibels_are_a_positive_number(bad):
    message = r"Expected `min_sqnr_db` to be None or a positive number.*Received: min_sqnr_db="
    with pytest.raises(ValueError, match=message):
        convert(models.dense(), min_sqnr_db=bad)


@pytest.mark.parametrize(
    ("activation_ranges", "quantization"),
    [("percentile", "int8"), ("mse", "int8"), ("mse", "int16x8")],
)
def test_other_ranges_are_close_to_keras_too(activation_ranges, quantization):
    wanted = {"quantization": quantization, "calibration_data": models.ROWS}
    artifact = convert(models.tt_dense(), **wanted, activation_ranges=activation_ranges)
    [output] = artifact.report["runtimes"]["litert"]["outputs"]
    assert output["sqnr_db"] > 20
    assert artifact.report["activation_ranges"] == activation_ranges


def test_an_outlier_among_the_rows_widens_the_range_of_min_and_max_only():
    rows = models.RNG.normal(size=(1024, 20)).astype("float32")
    # Not among those that are compared.
    rows[1, 0] = 100
    wanted = {"quantization": "int8", "calibration_data": rows}
    usual = rows[2:]
    ratios = {}
    for activation_ranges in ("minmax", "percentile"):
        artifact = convert(models.tt_dense(), **wanted, activation_ranges=activation_ranges)
        # Of 20,480 values, one on either side may be left out.
        assert (artifact.inputs[0].scale > 0.3) is (activation_ranges == "minmax")
        [output] = artifact.verify(usual)["litert"]
        ratios[activation_ranges] = output["sqnr_db"]
    assert ratios["percentile"] > ratios["minmax"] + 1


def test_a_way_to_calibrate_must_be_known_and_of_use():
    model = models.dense()
    wanted = {"calibration_data": models.ROWS}
    message = r"Expected `activation_ranges` to be one of .*Received: .*'entropy'"
    with pytest.raises(ValueError, match=message):
        convert(model, quantization="int8", activation_ranges="entropy", **wanted)
    for quantization in ("float32", "dynamic"):
        with pytest.raises(
            ValueError, match=f"quantization='{quantization}' needs no ranges.*'mse'"
        ):
            convert(model, quantization=quantization, activation_ranges="mse", **wanted)
