import keras
import numpy as np
import pytest
from keras import layers

from dart_keras.compression.compressible import Part
from dart_keras.compression.compressible.dense import MatrixPart
from tests.compression.compressible import test_conv2d, test_dense

WITHOUT = ["Dense of sequences", "...b,bc->...c", "abc,cde->abde", "abc,cde->abde e"]
CONVOLUTIONS = [variant for variant in test_conv2d.VARIANTS if variant.get("use_bias", True)]


def assert_corrects(part: Part, seen, targets, tolerance):
    """Given other inputs that tell as much, the layer gives the same outputs with other numbers."""
    form = part.forms()[-1] if part.norm is not None else part.dense
    assert form.is_exact
    assert part.can_correct(form)
    evidence = part.evidence(None)
    part.add(evidence, seen, targets)
    layer, error = part.build(form, evidence)
    assert type(layer) is type(part.layer)
    assert layer is not part.layer
    assert layer.count_params() == form.parameters
    assert 0 < error < tolerance**2
    lost = part.output_rows(np.asarray(layer(seen)) - targets)
    rows = part.output_rows(targets)
    assert np.std(lost) < tolerance * np.std(rows)
    assert abs(lost.mean(0)).max() < tolerance * np.std(rows)


@pytest.mark.parametrize("name", [name for name in test_dense.LAYERS if name not in WITHOUT])
def test_matrices_are_corrected(name):
    part, inputs, targets = test_dense.part_of(name)
    assert_corrects(part, (0.5 * inputs[..., ::-1] + 1).astype("float32"), targets, 0.01)


@pytest.mark.parametrize("variant", CONVOLUTIONS, ids=str)
def test_convolutions_are_corrected(variant):
    part, targets = test_conv2d.part_of(**variant)
    assert_corrects(part, test_conv2d.IMAGES / 2, targets, 0.01)


@pytest.mark.parametrize("name", WITHOUT)
def test_without_a_bias_for_each_column_there_is_nothing_to_take_the_means(name):
    part, _, _ = test_dense.part_of(name)
    assert not part.can_correct(part.dense)


def test_forms_that_are_smaller_and_other_classes_are_not_corrected():
    class Named(layers.Dense):
        pass

    for kind, expected in ((layers.Dense, True), (Named, False)):
        layer = kind(9)
        layer.build((None, 12))
        part = MatrixPart("path", layer)
        assert part.can_correct(part.dense) == expected
        assert not part.can_correct(part.forms()[0])


def test_a_normalization_that_stays_is_not_corrected_for():
    layer, norm = layers.Dense(9), layers.BatchNormalization()
    keras.Sequential([keras.Input((12,)), layer, norm])
    part = MatrixPart("path", layer, norm)
    assert not part.can_correct(part.dense)
    assert part.can_correct(part.forms()[-1])
