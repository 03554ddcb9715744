"""The sources without TensorFlow Lite Micro's headers, compiled for microcontroller cores."""

import shutil
import subprocess

import numpy as np
import pytest

from tests.tflite.microcontroller.build import (
    FLAGS,
    SOURCES,
    WITHOUT_TFLM,
    code_of_readme,
    write_examples,
)

CORES = {
    "host": None,
    "Cortex-M0+": "-mcpu=cortex-m0plus",
    "Cortex-M4F": "-mcpu=cortex-m4 -mfloat-abi=hard -mfpu=fpv4-sp-d16",
    "Cortex-M7": "-mcpu=cortex-m7 -mfloat-abi=hard -mfpu=fpv5-d16",
    "Cortex-M55": "-mcpu=cortex-m55 -mfloat-abi=hard",
}
RNG = np.random.default_rng(0)

# Symbols of the C and C++ libraries for heap memory and exceptions.
FORBIDDEN = {"malloc", "calloc", "realloc", "free", "__cxa_throw", "__cxa_allocate_exception"}


@pytest.fixture(params=CORES)
def tools(request):
    """Return the prefix of the tools' names, and the core's flags."""
    flags = CORES[request.param]
    prefix = "" if flags is None else "arm-none-eabi-"
    if shutil.which(f"{prefix}g++") is None:
        package = "g++" if flags is None else "gcc-arm-none-eabi libstdc++-arm-none-eabi-newlib"
        pytest.skip(f"{prefix}g++ is not on PATH (Debian: {package})")
    return prefix, [] if flags is None else ["-mthumb", *flags.split()]


@pytest.mark.parametrize("dtype", ["int8", "int16", "float32", "int32"])
def test_compiles_without_warnings_and_without_heap(tools, dtype, tmp_path):
    prefix, flags = tools
    rows = RNG.normal(scale=100, size=(3, 7)).astype(dtype)
    write_examples(tmp_path, [rows], [rows, rows[:, :2]])
    if dtype in ("int8", "int16"):
        (tmp_path / "predict.cc").write_text(code_of_readme(1))
    for source in [*WITHOUT_TFLM, *sorted(tmp_path.glob("*.cc"))]:
        target = tmp_path / f"{source.stem}.o"
        command = [f"{prefix}g++", *FLAGS, *flags, "-Os", f"-I{SOURCES}", f"-I{tmp_path}"]
        subprocess.run([*command, "-c", source, "-o", target], check=True)
    objects = sorted(tmp_path.glob("*.o"))
    listed = subprocess.run(
        [f"{prefix}nm", "-u", *objects], capture_output=True, text=True, check=True
    )
    needed = {line.split()[-1] for line in listed.stdout.splitlines() if " U " in line}
    assert any("Print" in name for name in needed)
    # The symbols of operators new and delete start with _Zn and _Zd.
    assert {
        n for n in needed if n in FORBIDDEN or n[:4] in ("_Znw", "_Zna", "_Zdl", "_Zda")
    } == set()
