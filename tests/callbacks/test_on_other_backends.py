"""The same `model.fit` on JAX, PyTorch and TensorFlow, with a truncation."""

import keras
import numpy as np
import pytest

from tests.processes import check_same, finish, here, results, start
from tests.runs import EPOCHS, IDS, RUNS


@pytest.fixture(scope="module", params=["jax", "torch"])
def folder(request, tmp_path_factory):
    pytest.importorskip(request.param)
    folder = tmp_path_factory.mktemp(request.param)
    finish(start(folder, "none", *RUNS, KERAS_BACKEND=request.param))
    return folder


@pytest.mark.parametrize("name", [name for name in RUNS if name != "gumbel"])
def test_run_is_the_same_on_all_backends(folder, name):
    expected = here(name)
    assert expected["logs"]["parameters"][-1] < expected["logs"]["parameters"][0]
    check_same(results(folder)[name], expected)


def test_gates_choose_ranks(folder):
    # With other random numbers than TensorFlow's.
    seen = results(folder)["gumbel"]
    ranks = [seen["logs"][f"{name}_rank_1"] for name in ("first", "second")]
    assert [r[0] for r in ranks] == [8, 8]
    assert all(1 <= r[-1] < 8 for r in ranks)
    assert seen["logs"]["loss"][-1] < seen["logs"]["loss"][0]
    assert seen["losses_left"] == 0


def test_tensorflow_reads_a_file_written_on_another_backend(folder):
    seen = results(folder)["threshold"]
    assert len(seen["epochs"]) < EPOCHS  # resumed
    model = keras.models.load_model(folder / "threshold" / "model.keras")
    assert [layer.ranks_fixed for layer in model.layers if hasattr(layer, "ranks")] == [True] * 3
    np.testing.assert_allclose(model.predict(IDS, verbose=0), seen["prediction"], atol=1e-4)
