"""What `import dart_keras` brings, in processes of their own."""

import importlib
import subprocess
import sys
from types import ModuleType

import keras
import pytest

import dart_keras as dk

ROOMS = [name for name in dk.__all__ if isinstance(getattr(dk, name), ModuleType)]


def run(code, *arguments):
    result = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code, *map(str, arguments)],
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout.strip()


def test_the_package_starts_neither_keras_nor_tensorflow():
    heavy = ("keras", "tensorflow", "numpy", "t3f", "matplotlib", "opt_einsum")
    code = (
        "import sys, dart_keras as dk; dir(dk); dk.__version__\n"
        f"print([name for name in {heavy!r} if name in sys.modules])"
    )
    assert run(code) == "[]"


def test_the_rooms_start_no_runtime():
    heavy = ("tensorflow_model_optimization", "tflite_micro", "ai_edge_litert", "matplotlib", "t3f")
    code = (
        # Keras itself imports matplotlib where that is installed.
        "import sys, keras; of_keras = set(sys.modules); import dart_keras as dk\n"
        "[getattr(dk, name) for name in dk.__all__]\n"
        f"print([name for name in {heavy!r} if name in set(sys.modules) - of_keras])"
    )
    assert run(code) == "[]"


@pytest.mark.parametrize("room", ["", *(f".{room}" for room in ROOMS)])
def test_public_names_are_those_that_are_listed(room):
    module = importlib.import_module(f"dart_keras{room}")
    assert sorted(dir(module)) == sorted(module.__all__)
    assert [name for name in module.__all__ if not hasattr(module, name)] == []


def test_an_unknown_name():
    with pytest.raises(AttributeError, match="TTLinear"):
        dk.TTLinear  # noqa: B018


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    model = keras.Sequential(
        [
            keras.Input((16,)),
            dk.layers.TTDense(16, ranks=2, rank_regularizer=dk.regularizers.NuclearNorm(0.1)),
        ]
    )
    path = tmp_path_factory.mktemp("saved")
    model.save(path / "model.keras")
    dk.quantization.quantize_aware(model).save(path / "quantized.keras")
    return path


@pytest.mark.parametrize(
    "code",
    [
        "import dart_keras, keras; load = dart_keras.load_model",
        "import keras, dart_keras; load = keras.saving.load_model",
    ],
)
def test_saved_models_are_loaded_in_a_new_process(saved, code):
    code = f"import sys; {code}; print([load(path).count_params() for path in sys.argv[1:]])"
    paths = saved / "model.keras", saved / "quantized.keras"
    assert run(code, *paths) == str(
        [keras.saving.load_model(path).count_params() for path in paths]
    )


def test_layers_are_registered_by_their_room(saved):
    code = (
        "import sys, dart_keras.layers, dart_keras.regularizers, keras\n"
        "print(keras.saving.load_model(sys.argv[1]).layers[0].ranks)"
    )
    assert run(code, saved / "model.keras") == "(1, 2, 1)"
