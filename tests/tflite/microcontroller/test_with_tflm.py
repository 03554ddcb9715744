"""The whole application, linked with TensorFlow Lite Micro from the wheel `tflite-micro`.

The wheel has no headers. Those in `tflm_declarations` declare what the application uses; linking
and running show whether they match the library.
"""

import dataclasses
import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

import dart_keras as dk
from dart_keras.deployment import Examples, convert
from tests.tflite.microcontroller.build import (
    FLAGS,
    HERE,
    SOURCES,
    build,
    code_of_readme,
    needs_compiler,
)

pytestmark = [
    needs_compiler,
    pytest.mark.skipif(
        importlib.util.find_spec("tflite_micro") is None, reason="needs tflite-micro"
    ),
]

DECLARATIONS = HERE / "tflm_declarations"
RNG = np.random.default_rng(0)
ROWS = RNG.normal(size=(32, 20)).astype("float32")
IDS = RNG.integers(0, 200, size=(32, 6)).astype("int32")

# The wheel's library needs Python's symbols, so Python loads the application as a library.
RUN = """
import ctypes, sys
ctypes.CDLL(sys.argv[1], ctypes.RTLD_GLOBAL)
sys.exit(ctypes.CDLL(sys.argv[2]).main())
"""


PREDICT = """
import ctypes, json, sys
ctypes.CDLL(sys.argv[1], ctypes.RTLD_GLOBAL)
application = ctypes.CDLL(sys.argv[2])
assert application.start()
results = []
for row in json.loads(sys.argv[3]):
    result = ctypes.c_float()
    assert application.predict((ctypes.c_float * len(row))(*row), ctypes.byref(result))
    results.append(result.value)
print(json.dumps(results))
"""
CALLS = """
extern "C" int start() { return StartModel(); }
extern "C" int predict(const float (*values)[Input0::kSize], float* result) {
  return Predict(*values, *result);
}
"""


def tt_layers():
    return keras.Sequential(
        [
            keras.Input((20,)),
            dk.layers.TTDense(24, 4, (4, 5), (4, 6), activation="relu", bias_initializer="normal"),
            keras.layers.Dense(4, activation="softmax"),
        ]
    )


def embedding():
    return keras.Sequential(
        [
            keras.Input((6,), dtype="int32"),
            dk.layers.TTEmbedding(200, 16, ranks=4),
            keras.layers.GlobalAveragePooling1D(),
            keras.layers.Dense(4),
        ]
    )


def two_in_two_out():
    first, second = keras.Input((5,), name="z"), keras.Input((7,), name="a")
    hidden = keras.layers.Concatenate()([first, second])
    outputs = [keras.layers.Dense(3, name="y")(hidden), keras.layers.Dense(2, name="b")(hidden)]
    return keras.Model([first, second], outputs)


def converted(build_model, quantization, data):
    keras.utils.set_random_seed(0)
    return convert(
        build_model(), "microcontroller", quantization=quantization, calibration_data=data
    )


def run(artifact, folder, script=RUN, *arguments):
    """Run the application, or another script on it, with an artifact."""
    artifact.save(folder)
    flags = ["-shared", "-fPIC", f"-I{DECLARATIONS}"]
    application = build(folder, sorted(SOURCES.glob("*.cc")), "application.so", *flags)
    wheel = Path(importlib.util.find_spec("tflite_micro").origin).parent
    library = wheel / "python" / "tflite_micro" / "_runtime.so"
    return subprocess.run(
        [sys.executable, "-c", script, library, application, *arguments],
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    ("build_model", "quantization", "data"),
    [
        (tt_layers, "float32", ROWS),
        (tt_layers, "int8", ROWS),
        (tt_layers, "int16x8", ROWS),
        (embedding, "int8", IDS),
        (two_in_two_out, "int8", (ROWS[:, :5], ROWS[:, :7])),
    ],
)
def test_saved_model_passes_its_self_test(build_model, quantization, data, tmp_path):
    artifact = converted(build_model, quantization, data)
    done = run(artifact, tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    verdict, used = done.stdout.splitlines()
    assert verdict == "PASS"
    name, number = used.split(": ")
    assert name == "arena bytes used"
    assert 0 < int(number) <= artifact.arena_size


@pytest.fixture(scope="module")
def artifact():
    return converted(tt_layers, "int8", ROWS)


def test_wrong_outputs_fail(artifact, tmp_path):
    [expected] = artifact.examples.outputs
    other = expected.copy()
    other[2, 1] += 2 if other[2, 1] < 100 else -2
    examples = Examples(artifact.examples.inputs, [other])
    done = run(dataclasses.replace(artifact, examples=examples), tmp_path)
    assert done.returncode == 1
    first, second, *_ = done.stdout.splitlines()
    assert first == (
        f"example 2, output 0, element 1: expected {other[2, 1]}, received {expected[2, 1]}"
    )
    assert second == "FAIL"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"arena_size": 1024}, "the tensors cannot be laid out"),
        ({"operators": ["SOFTMAX"]}, "the tensors cannot be laid out"),
    ],
)
def test_model_that_cannot_run_fails(artifact, changes, reason, tmp_path):
    done = run(dataclasses.replace(artifact, **changes), tmp_path)
    assert done.returncode == 1
    assert reason in done.stdout
    assert done.stdout.endswith("FAIL\n")


def test_code_of_the_readme_predicts(artifact, tmp_path):
    (tmp_path / "predict.cc").write_text('#include "runner.h"\n' + code_of_readme(1) + CALLS)
    rows = ROWS[:8]
    done = run(artifact, tmp_path, PREDICT, json.dumps(rows.tolist()))
    assert done.returncode == 0, done.stderr
    got = json.loads(done.stdout)
    np.testing.assert_array_equal(np.float32(got), artifact.predict(rows, "tflm")[:, 0])


def test_compiles_with_the_older_namespace(artifact, tmp_path):
    artifact.save(tmp_path)
    for path in DECLARATIONS.rglob("*.h"):
        older = tmp_path / path.relative_to(DECLARATIONS)
        older.parent.mkdir(parents=True, exist_ok=True)
        lines = path.read_text().replace("tflite::micro::", "tflite::").splitlines()
        kept = [line for line in lines if "namespace micro" not in line]
        assert len(kept) in (len(lines), len(lines) - 2)
        older.write_text("\n".join(kept) + "\n")
    includes = [f"-I{tmp_path}", f"-I{SOURCES}"]
    subprocess.run(["g++", *FLAGS, *includes, "-fsyntax-only", SOURCES / "runner.cc"], check=True)
