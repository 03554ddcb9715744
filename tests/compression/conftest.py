import pytest

from dart_keras.compression.distillation import trainer


@pytest.fixture
def one_rate(monkeypatch):
    """Has recovery try a single rate, where the choice among several does not matter."""
    monkeypatch.setattr(trainer, "_RATES", (3e-3,))
