import re
import subprocess

import numpy as np
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from tests.tflite.microcontroller.build import (
    HERE,
    WITHOUT_TFLM,
    build,
    needs_compiler,
    write_examples,
)

pytestmark = needs_compiler

RNG = np.random.default_rng(0)
ROWS = 3
INPUTS = [
    RNG.integers(-128, 128, (ROWS, 4)).astype("int8"),
    RNG.normal(size=(ROWS, 2, 2)).astype("float32"),
]
# Not near the types' limits, so that every element can be changed.
OUTPUTS = [
    RNG.integers(-100, 100, (ROWS, 5)).astype("int8"),
    RNG.integers(-30000, 30000, (ROWS, 2, 2)).astype("int16"),
    RNG.integers(0, 10, (ROWS, 3)).astype("int32"),
    RNG.normal(size=(ROWS, 6)).astype("float32"),
    np.array([[True], [False], [True]]),
]
STEPS = [1, 1, 0]


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    folder = tmp_path_factory.mktemp("program")
    write_examples(folder, INPUTS, OUTPUTS)
    return build(folder, [*WITHOUT_TFLM, HERE / "file_runner.cc"], "self_test")


def run(program, outputs, rows=ROWS):
    """Run the self-test on a device with these outputs for some rows."""
    folder = program.parent
    given = b"".join(array[row].tobytes() for row in range(rows) for array in outputs)
    (folder / "outputs.bin").write_bytes(given)
    environment = {"INPUTS": str(folder / "inputs.bin"), "OUTPUTS": str(folder / "outputs.bin")}
    return subprocess.run([program], env=environment, capture_output=True, text=True, check=False)


def changed(output, row, element, value):
    outputs = [array.copy() for array in OUTPUTS]
    outputs[output][row].reshape(-1)[element] = value
    return outputs


def test_expected_outputs_pass(program):
    done = run(program, OUTPUTS)
    assert done.returncode == 0
    assert done.stdout == "PASS\narena bytes used: 1234\n"
    expected = b"".join(array[row].tobytes() for row in range(ROWS) for array in INPUTS)
    assert (program.parent / "inputs.bin").read_bytes() == expected


@given(st.data())
def test_integers_within_the_allowed_steps_pass(program, data):
    output = data.draw(st.integers(0, 2), "output")
    row = data.draw(st.integers(0, ROWS - 1), "row")
    element = data.draw(st.integers(0, OUTPUTS[output][row].size - 1), "element")
    steps = data.draw(st.one_of(st.integers(-2, 2), st.integers(-20, 20)), "steps")
    expected = OUTPUTS[output][row].reshape(-1)[element]
    done = run(program, changed(output, row, element, expected + steps))
    if abs(steps) <= STEPS[output]:
        assert (done.returncode, done.stdout.splitlines()[0]) == (0, "PASS")
    else:
        assert done.returncode == 1
        assert done.stdout.splitlines() == [
            f"example {row}, output {output}, element {element}: "
            f"expected {expected}, received {expected + steps}",
            "FAIL",
            "arena bytes used: 1234",
        ]


@pytest.mark.parametrize("part", [0.9, -0.9, 1.1, -1.1])
@pytest.mark.parametrize("row", range(ROWS))
def test_floats_within_the_allowed_error_pass(program, row, part):
    allowed = 1e-4 * np.abs(OUTPUTS[3][row]).max()
    done = run(program, changed(3, row, 4, OUTPUTS[3][row, 4] + part * allowed))
    assert done.returncode == (abs(part) > 1)
    assert ("PASS" in done.stdout) == (abs(part) < 1)


@given(st.integers(0, ROWS - 1), st.integers(0, 5), st.floats(width=32))
@example(0, 0, float(np.float32(1e-20)))  # 9.9999997e-21, printed as 1000000e-26
def test_wrong_floats_are_printed(program, row, element, received):
    expected = OUTPUTS[3][row, element]
    assume(not abs(received - float(expected)) < 0.01)
    shown, verdict, _ = run(program, changed(3, row, element, received)).stdout.splitlines()
    assert verdict == "FAIL"
    place, values = shown.split(": expected ")
    assert place == f"example {row}, output 3, element {element}"
    texts = values.split(", received ")
    assert all(re.fullmatch(r"-?\d{7}e-?\d+|0e0|nan|-?inf", text) for text in texts)
    printed = np.array([float(text) for text in texts])
    np.testing.assert_allclose(printed, [expected, received], rtol=1e-6)


def test_booleans_must_be_equal(program):
    done = run(program, changed(4, 1, 0, True))
    assert done.returncode == 1
    assert "output 4, element 0: expected 0, received 1\nFAIL" in done.stdout


def test_missing_output_fails(program):
    done = run(program, OUTPUTS, rows=2)
    assert done.returncode == 1
    assert done.stdout.startswith(
        "example 2, output 0: the model gives another number of bytes\nFAIL\n"
    )
