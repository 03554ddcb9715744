import gc
import os
from collections.abc import Callable, Generator
from pathlib import Path

# Before TensorFlow is imported by anything.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

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


# What takes long: whole programs, processes of their own, conversions, compiled training. Folders
# and files, from the folder of the tests; all their tests have the mark `slow`.
SLOW = (
    "benchmarks",
    "callbacks/test_automatic_ranks.py",
    "callbacks/test_callback_order.py",
    "callbacks/test_nested_ranks.py",
    "callbacks/test_on_other_backends.py",
    "callbacks/test_rank_discretization.py",
    "callbacks/test_rank_monitor.py",
    "callbacks/test_rank_penalty.py",
    "callbacks/test_resuming.py",
    "callbacks/test_truncation_warnings.py",
    "cli/test_compress_command.py",
    "cli/test_convert_command.py",
    "cli/test_main.py",
    "cli/test_verify_command.py",
    "cli/test_verify_damaged.py",
    "compression/calibration/test_counts_on_other_backends.py",
    "compression/calibration/test_layer_statistics.py",
    "compression/calibration/test_partial_runs.py",
    "compression/distillation",
    "compression/search",
    "compression/test_compress.py",
    "compression/test_compression_report.py",
    "compression/test_compression_report_rows.py",
    "compression/test_keras_hub.py",
    "compression/test_sensitivity.py",
    "compression/test_unusual_layers.py",
    "deployment/c_source",
    "deployment/flatbuffer/passes",
    "deployment/flatbuffer/test_passes.py",
    "deployment/flatbuffer/test_size_breakdown.py",
    "deployment/post_training",
    "deployment/runtimes",
    "deployment/test_artifact.py",
    "deployment/test_build.py",
    "deployment/test_convert.py",
    "deployment/test_ids.py",
    "deployment/test_padded_modes.py",
    "deployment/tracing",
    "deployment/validation",
    "distribution",
    "docs/test_site.py",
    "examples",
    "layers/test_lookup.py",
    "layers/test_lookup_gradient.py",
    "layers/test_planning.py",
    "layers/test_rank_gates.py",
    "layers/test_tt_einsum_dense_in_models.py",
    "layers/test_tt_kernel_layer.py",
    "layers/test_tt_layer.py",
    "model_surgery",
    "private_apis/test_keras_optimizers.py",
    "quantization",
    "saved_models/test_loading.py",
    "selection/test_gumbel_softmax.py",
    "tensor_train/contraction/test_contract.py",
    "tensor_train/contraction/test_plan.py",
    "tensor_train/modes/test_search.py",
    "test_import.py",
    "test_main_job.py",
    "test_no_jolt.py",
    "test_other_backends.py",
    "test_planted_ranks.py",
    "test_regularizers.py",
    "test_without_tensorflow.py",
    "tflite",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    folders = [here / name for name in SLOW]
    # A file that is renamed would lose its mark.
    assert [folder for folder in folders if not folder.exists()] == []
    for item in items:
        if any(folder == item.path or folder in item.path.parents for folder in folders):
            item.add_marker(pytest.mark.slow)
