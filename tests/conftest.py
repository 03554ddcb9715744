import gc
import os
from collections.abc import Callable, Generator
from pathlib import Path

# Before TensorFlow is imported by anything.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import coverage
import pytest
from hypothesis import HealthCheck, settings

settings.register_profile(
    "dart_keras",
    deadline=None,
    max_examples=25,
    derandomize="CI" in os.environ,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("dart_keras")


@pytest.fixture(autouse=True)
def _seeded() -> None:
    import keras

    keras.utils.set_random_seed(0)


@pytest.fixture
def progress_lines(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[[], dict[str, str]]:
    """Reports the progress of jobs at every step.

    The fixture is a function that returns the last line of each job, by its description.
    """
    from dart_keras.utils import progress

    monkeypatch.setattr(progress, "_LINE_INTERVAL", 0.0)

    def read() -> dict[str, str]:
        lines = (line.partition(": ") for line in capsys.readouterr().err.splitlines())
        return {job: rest for job, _, rest in lines if " done in " in rest}

    return read


@pytest.fixture(scope="module", autouse=True)
def _frozen() -> Generator[None, None, None]:
    """TensorFlow keeps the graph of every trained model, which all collections would go through."""
    yield
    gc.collect()
    gc.freeze()


# What they test is not in the report, and the tracer makes TensorFlow's tracing 30 % slower.
_UNTRACED = tuple(Path(__file__).parent / name for name in ("examples", "benchmarks"))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    tracer = coverage.Coverage.current()
    if tracer is None or not any(folder in item.path.parents for folder in _UNTRACED):
        return (yield)
    tracer.stop()
    try:
        return (yield)
    finally:
        tracer.start()
