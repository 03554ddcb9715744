import pytest

from dart_keras.deployment.post_training.schemes import RECIPES
from dart_keras.deployment.target import TARGETS, find_target


def test_every_target_takes_its_recipes_and_explains_the_others():
    for target in TARGETS.values():
        for recipe in RECIPES:
            if recipe in target.recipes:
                assert find_target(target.name, recipe) is target
            else:
                with pytest.raises(ValueError, match=f"no kernels.*Received.*{recipe}"):
                    find_target(target.name, recipe)


def test_unknown_names_list_what_there_is():
    with pytest.raises(ValueError, match=r"raspberry-pi.*microcontroller.*Received: target='pi'"):
        find_target("pi", "int8")
    with pytest.raises(ValueError, match=r"float32.*int16x8.*Received: quantization='int4'"):
        find_target("raspberry-pi", "int4")
