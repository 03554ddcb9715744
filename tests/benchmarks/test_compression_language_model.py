import json

import pytest

from benchmarks.compression import language_model
from tests.examples.fine_tuning.toy_text import write_causal_preset, write_text


@pytest.mark.parametrize("method", ["none", "SVD-LLM", "compress"])
@pytest.mark.filterwarnings("ignore:The compressed model does not do")
def test_every_method_makes_a_cell(method, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(language_model, "_LENGTH", 8)
    folder = write_text(tmp_path / "text")
    (folder / "test.txt").write_text((folder / "dev.txt").read_text())
    command = ["--preset", write_causal_preset(tmp_path / "preset"), "--data-dir", folder]
    command += ["--windows", 12, "--test-windows", 4]

    def cell(*which):
        assert language_model.main(list(map(str, [*command, "--cell", *which]))) == 0
        return json.loads(capsys.readouterr().out.splitlines()[-1])

    found, whole = cell(method, 0.8), cell("none", 1.0)
    assert found["perplexity"] > 1
    assert found["parameters"] <= (1 if method == "none" else 0.999) * whole["parameters"]
