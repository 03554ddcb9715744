import json

import numpy as np
import pytest

from benchmarks.baselines.low_rank import (
    METHODS,
    Inputs,
    parameters,
    threshold_ranks,
    uniform_ranks,
)
from benchmarks.compression import sentence_encoder, sentence_files, sentences
from tests.examples.fine_tuning.toy import write_preset, write_rows

RNG = np.random.default_rng(0)
KERNEL = RNG.normal(size=(12, 8))


def test_whitening_has_the_least_error_of_the_outputs():
    x = RNG.normal(size=(200, 12)) * np.geomspace(3, 0.1, 12)
    inputs = Inputs(x.T @ x / len(x), np.abs(x).mean(0))
    found = {name: method(KERNEL, 3, inputs) for name, method in METHODS.items()}
    assert all(np.linalg.matrix_rank(matrix, tol=1e-6) == 3 for matrix in found.values())
    errors = {name: np.linalg.norm(x @ (matrix - KERNEL)) for name, matrix in found.items()}
    # The best rank 3 of the outputs, which nothing can be below.
    s = np.linalg.svd(x @ KERNEL, compute_uv=False)
    assert errors["SVD-LLM"] == pytest.approx(np.sqrt(np.sum(s[3:] ** 2)), rel=1e-3)
    assert errors["SVD-LLM"] < errors["ASVD"] < errors["SVD"]


def test_ranks_are_within_the_budget():
    kernels = [np.diag([3.0, 2, 1, 1e-3] * 4) for _ in range(2)] + [RNG.normal(size=(40, 30))]
    shapes = [kernel.shape for kernel in kernels]
    total = sum(n * m for n, m in shapes)
    for ranks in (uniform_ranks(shapes, total // 2), threshold_ranks(kernels, total // 2)):
        assert 0.3 * total < parameters(ranks, shapes) <= total // 2
    assert uniform_ranks(shapes, total) == [None] * 3


@pytest.mark.parametrize("method", ["none", *sentences.BASELINES, *sentences.OURS])
@pytest.mark.filterwarnings("ignore:The compressed model does not do")
def test_every_method_makes_a_cell(method, tmp_path, monkeypatch):
    monkeypatch.setattr(sentence_encoder, "LENGTH", 16)
    preset = str(write_preset(tmp_path / "preset"))
    data = write_rows(tmp_path / "data", "stsb")
    cell = sentences.measure(method, 0.8, data, preset)
    assert json.loads(json.dumps(cell)) == cell
    assert abs(cell["spearman"]) <= 1
    assert (cell["unseen_error"] is not None) == (method == "compress")
    whole = sentences.measure("none", 1.0, data, preset)["parameters"]
    assert cell["parameters"] <= (1 if method == "none" else 0.8) * whole


@pytest.mark.filterwarnings("ignore:The compressed model does not do")
def test_files_of_models_are_measured_once(tmp_path, monkeypatch):
    for module in (sentence_encoder, sentence_files):
        monkeypatch.setattr(module, "LENGTH", 16)
    monkeypatch.setattr(sentence_files, "MODELS", ("dense", "compressed"))
    data = write_rows(tmp_path / "data", "stsb")
    command = ["--data-dir", data, "--preset", write_preset(tmp_path / "preset")]
    output = tmp_path / "results.json"
    command += ["--output", output, "--work", tmp_path / "work", "--quantizations", "dynamic"]
    for _ in range(2):
        assert sentence_files.main(list(map(str, command))) == 0
        dense, compressed = json.loads(output.read_text())["cells"]
        assert compressed["parameters"] < 0.55 * dense["parameters"]
        assert compressed["file_bytes"] < dense["file_bytes"]
