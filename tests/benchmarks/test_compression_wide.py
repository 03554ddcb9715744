import pytest

from benchmarks.compression import wide


@pytest.mark.filterwarnings("ignore:The compressed model does not do")
@pytest.mark.parametrize("way", ["parameters", "recovery"])
def test_every_way_makes_a_cell(way, monkeypatch):
    monkeypatch.setattr(wide, "MODELS", {"small": ((8, 8, 8), 32)})
    cell = wide.measure("small", way)
    assert 0 < cell["model output error"] < 1
    assert cell["seconds"] > 0
