import keras
import numpy as np
import pytest
from keras import layers

from dart_keras.compression.compressible import CompressibleLayer
from dart_keras.compression.compressible.dense import CompressibleDense
from tests.compression.compressible import test_conv2d, test_dense

WITHOUT = ["Dense of sequences", "...b,bc->...c", "abc,cde->abde", "abc,cde->abde e"]
CONVOLUTIONS = [variant for variant in test_conv2d.VARIANTS if variant.get("use_bias", True)]


def assert_corrects(compressible: CompressibleLayer, seen, targets, tolerance):
    """Given other inputs that tell as much, the layer gives the same outputs with other numbers."""
    factorization = (
        compressible.factorizations()[-1] if compressible.norm is not None else compressible.dense
    )
    assert factorization.is_exact
    assert compressible.can_correct(factorization)
    evidence = compressible.evidence(None)
    compressible.add(evidence, seen, targets)
    layer, error = compressible.build(factorization, evidence)
    assert type(layer) is type(compressible.layer)
    assert layer is not compressible.layer
    assert layer.count_params() == factorization.parameters
    assert 0 < error < tolerance**2
    lost = compressible.output_rows(np.asarray(layer(seen)) - targets)
    rows = compressible.output_rows(targets)
    assert np.std(lost) < tolerance * np.std(rows)
    assert abs(lost.mean(0)).max() < tolerance * np.std(rows)


@pytest.mark.parametrize("name", [name for name in test_dense.LAYERS if name not in WITHOUT])
def test_matrices_are_corrected(name):
    compressible, inputs, targets = test_dense.compressible_of(name)
    assert_corrects(compressible, (0.5 * inputs[..., ::-1] + 1).astype("float32"), targets, 0.01)


@pytest.mark.parametrize("variant", CONVOLUTIONS, ids=str)
def test_convolutions_are_corrected(variant):
    compressible, targets = test_conv2d.compressible_of(**variant)
    assert_corrects(compressible, test_conv2d.IMAGES / 2, targets, 0.01)


@pytest.mark.parametrize("name", WITHOUT)
def test_without_a_bias_for_each_column_there_is_nothing_to_take_the_means(name):
    compressible, _, _ = test_dense.compressible_of(name)
    assert not compressible.can_correct(compressible.dense)


def test_forms_that_are_smaller_and_other_classes_are_not_corrected():
    class Named(layers.Dense):
        pass

    for kind, expected in ((layers.Dense, True), (Named, False)):
        layer = kind(9)
        layer.build((None, 12))
        compressible = CompressibleDense("path", layer)
        assert compressible.can_correct(compressible.dense) == expected
        assert not compressible.can_correct(compressible.factorizations()[0])


def test_a_normalization_that_stays_is_not_corrected_for():
    layer, norm = layers.Dense(9), layers.BatchNormalization()
    keras.Sequential([keras.Input((12,)), layer, norm])
    compressible = CompressibleDense("path", layer, norm)
    assert not compressible.can_correct(compressible.dense)
    assert compressible.can_correct(compressible.factorizations()[-1])
