import keras
import numpy as np
import pytest

from dart_keras.deployment import convert
from dart_keras.deployment.tracing.basis_choice import AS_TRAINED, GAUGES, gauges_of
from dart_keras.deployment.tracing.function import export
from dart_keras.deployment.tracing.signature import model_signature
from dart_keras.layers import TTDense
from tests.deployment import models


def uneven():
    """A model whose train was left in a gauge that is bad to round: one column is far larger."""
    model = keras.Sequential([keras.Input((20,)), TTDense(24, 4, (4, 5), (4, 6))])
    first, second = model.layers[0].cores
    scales = np.array([100, 1, 1, 1], "float32")
    first.assign(first * scales)
    second.assign(second / scales[:, None, None, None])
    return model


@pytest.mark.parametrize("build", [models.tt_dense, models.three_cores, models.tt_embedding])
def test_every_gauge_computes_the_same(build):
    model = build()
    signature = model_signature(model)
    [spec] = signature.inputs
    rows = models.IDS[:8]
    if spec.dtype != "int32":
        rows = models.RNG.normal(size=(8, *spec.shape)).astype("float32")
    gauges = gauges_of(model)
    assert list(gauges) == [AS_TRAINED, *GAUGES]
    [expected] = export(model, signature)([rows])
    weights = model.get_weights()
    for name, replaced in gauges.items():
        exported = export(model, signature, replaced=replaced)
        np.testing.assert_allclose(exported([rows])[0], expected, atol=1e-5)
        constants = [
            op.get_attr("value").tensor_content
            for op in exported.function.graph.get_operations()
            if op.type == "Const"
        ]
        assert all(
            (variable.numpy().tobytes() in constants) is (name == AS_TRAINED)
            for variable, _ in gauges["rotated"]
        )
    for before, after in zip(weights, model.get_weights(), strict=True):
        np.testing.assert_array_equal(before, after)


@pytest.mark.parametrize("quantization", ["int8", "int16x8"])
def test_the_best_gauge_is_taken(quantization):
    model, rows = uneven(), models.ROWS
    artifact = convert(model, quantization=quantization, calibration_data=rows)
    assert artifact.report["gauge"] in GAUGES
    plain = models.lowered(model, quantization, rows)
    [output] = artifact.verify(rows)["litert"]
    assert output["sqnr_db"] > models.decibels(plain, model, rows, "litert") + 3


def test_there_is_nothing_to_choose_without_bonds_or_integers():
    wanted = {"quantization": "int8", "calibration_data": models.ROWS}
    assert convert(models.dense(), **wanted).report["gauge"] is None
    assert convert(models.tt_dense()).report["gauge"] is None
    model = keras.Sequential([keras.Input((20,)), TTDense(8, 1)])
    assert list(gauges_of(model)) == [AS_TRAINED]


def test_ranks_that_would_shrink_are_left_alone():
    layer = TTDense(4, 2, (2, 2), (2, 2))
    model = keras.Sequential([keras.Input((4,)), layer])
    assert list(gauges_of(model)) == [AS_TRAINED, *GAUGES]
    layer.replace_cores([np.ones((1, 2, 2, 5), "float32"), np.ones((5, 2, 2, 1), "float32")])
    assert list(gauges_of(model)) == [AS_TRAINED]
