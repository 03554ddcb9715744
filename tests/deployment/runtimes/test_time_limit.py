import keras
import numpy as np
import pytest

from dart_keras.deployment.runtimes.result import RefusedError
from dart_keras.deployment.runtimes.time_limit import TimeLimit
from tests.deployment.models import lowered


def limits(units, runs):
    model = keras.Sequential([keras.Input((1000,)), keras.layers.Dense(units)])
    content = lowered(model, "float32", np.zeros((1, 1000), "float32"))
    return TimeLimit.of_file("LiteRT", content, runs).left


def test_it_grows_with_the_model_and_the_rows():
    small, large, longer = limits(1, 1), limits(1000, 100), limits(1000, 1000)
    assert 10 < small < 100
    assert large > small + 10
    assert longer > large + 100


@pytest.mark.parametrize(("damaged", "advice"), [(True, "damaged"), (False, "unroll=True")])
def test_the_error_names_the_runtime_and_says_what_to_do(damaged, advice):
    limit = TimeLimit("TensorFlow Lite Micro", 0.0, damaged)
    with pytest.raises(RefusedError, match=f"^Expected TensorFlow Lite Micro .*{advice}"):
        _ = limit.left
