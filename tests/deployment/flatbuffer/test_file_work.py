import keras
import numpy as np
import pytest

from dart_keras.deployment.flatbuffer.file_work import loops, operations
from tests.deployment.models import lowered, operators


def file_of(*layers, shape):
    model = keras.Sequential([keras.Input(shape), *layers])
    return lowered(model, "float32", np.zeros((1, *shape), "float32"))


@pytest.mark.parametrize(
    ("layer", "shape", "products"),
    [
        (keras.layers.Dense(30), (200,), 200 * 30),
        (keras.layers.Conv2D(8, 3), (12, 12, 4), 10 * 10 * 8 * 3 * 3 * 4),
        (keras.layers.DepthwiseConv2D(3), (12, 12, 40), 10 * 10 * 40 * 3 * 3),
    ],
)
def test_every_product_is_counted(layer, shape, products):
    content = file_of(layer, shape=shape)
    assert loops(content) == []
    # Beside it there are what is read and written, and the bytes of the file.
    assert products < operations(content) < 2 * products + 2 * len(content)


def test_a_loop_is_found_and_counted_for_each_step():
    short, long = (
        file_of(keras.layers.GRU(16, return_sequences=True), shape=(steps, 3)) for steps in (5, 500)
    )
    [place] = loops(long)
    assert operators(long)[place] == "WHILE"
    assert operations(long) - len(long) > 50 * (operations(short) - len(short))


def test_what_is_no_file_has_no_work_but_its_bytes():
    assert (loops(b"no file at all"), operations(b"no file at all")) == ([], 14)
