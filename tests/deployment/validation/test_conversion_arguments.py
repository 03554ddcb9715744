import numpy as np
import pytest

from dart_keras.deployment.post_training.activation_ranges import METHODS
from dart_keras.deployment.schemes import SCHEMES
from dart_keras.deployment.validation.conversion_arguments import (
    check_activation_ranges,
    check_budget,
    check_min_sqnr_db,
)


@pytest.mark.parametrize("right", [None, 20, 0.5, np.float32(20)])
def test_decibels_that_can_be_asked_for(right):
    check_min_sqnr_db(right)


def test_a_budget_is_a_whole_number_of_bytes():
    assert check_budget(None) is None
    assert type(check_budget(np.int64(1))) is int
    with pytest.raises(ValueError, match=r"Received: flash_budget=1\.5"):
        check_budget(1.5)


@pytest.mark.parametrize("scheme", SCHEMES.values(), ids=SCHEMES)
def test_only_what_is_calibrated_is_calibrated_in_some_way(scheme):
    check_activation_ranges("minmax", scheme)
    for method in set(METHODS) - {"minmax"}:
        if scheme.needs_data:
            check_activation_ranges(method, scheme)
        else:
            with pytest.raises(ValueError, match=f"quantization='{scheme.name}' needs no ranges"):
                check_activation_ranges(method, scheme)


def test_ranges_that_were_learned_are_not_found_on_data():
    learned = SCHEMES["int8"].with_learned_ranges()
    check_activation_ranges("minmax", learned)
    with pytest.raises(
        ValueError, match=r"has learned its ranges\. Received: activation_ranges='mse'"
    ):
        check_activation_ranges("mse", learned)
