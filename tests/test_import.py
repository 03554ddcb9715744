import subprocess
import sys

HEAVY = ("tensorflow_model_optimization", "tflite_micro", "ai_edge_litert", "matplotlib", "t3f")


def test_import_is_light_and_offers_the_public_names():
    code = (
        # Keras itself imports matplotlib where that is installed.
        "import sys, keras; of_keras = set(sys.modules); import dart_keras as dk\n"
        "dk.layers, dk.regularizers, dk.selection, dk.callbacks, dk.deployment, dk.compression\n"
        f"print([name for name in {HEAVY!r} if name in set(sys.modules) - of_keras])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip() == "[]"
