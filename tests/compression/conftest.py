import pytest

from dart_keras.compression import distillation


@pytest.fixture
def one_rate(monkeypatch):
    """Has recovery try a single rate, where the choice among several does not matter."""
    monkeypatch.setattr(distillation, "_RATES", (3e-3,))
