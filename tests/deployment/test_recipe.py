import pytest
import tensorflow as tf

from dart_keras.deployment.recipe import RECIPES


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES)
def test_only_builtin_operators_are_ever_allowed(recipe):
    converter = tf.lite.TFLiteConverter([], None)
    recipe.configure(converter, lambda: iter([]))
    assert tf.lite.OpsSet.SELECT_TF_OPS not in converter.target_spec.supported_ops
    assert bool(converter.optimizations) is (recipe.name != "float32")
    assert (converter.representative_dataset is not None) is recipe.calibrated
    assert converter.inference_input_type == tf.as_dtype(recipe.interface)
