import keras
import numpy as np
import pytest
import tensorflow as tf

from dart_keras.layers import TTEmbedding
from dart_keras.utils.backend_errors import reason_of

IDS = np.full((2, 3), 70)
TABLES = {
    "70 is not in [0, 50)": lambda: keras.layers.Embedding(50, 4),
    "expected ids in [0, 50). Received: others": lambda: TTEmbedding(50, 4, ranks=2),
}


@pytest.mark.parametrize("expected", TABLES)
@pytest.mark.parametrize("compiled", [False, True])
def test_the_line_that_tells_of_the_data_is_left(expected, compiled):
    model = keras.Sequential([keras.Input((3,), dtype="int32"), TABLES[expected]()])
    call = tf.function(model) if compiled else model
    with pytest.raises(tf.errors.InvalidArgumentError) as error:
        call(tf.constant(IDS))
    assert expected in reason_of(error.value)
    for part in ("{{", "[Op:", "\x1b", "\n"):
        assert part not in reason_of(error.value)


def test_other_errors_are_as_they_are():
    assert reason_of(ValueError("Expected a row.\nReceived: none")) == "Expected a row."
    assert reason_of(KeyError()) == "KeyError"
