import shutil
import subprocess

import numpy as np
import pytest

from dart_keras.utils.manifest import manifest_of
from tests.tflite.microcontroller.build import (
    APPLICATION,
    HERE,
    code_of_readme,
    needs_compiler,
    write_examples,
)

pytestmark = [
    needs_compiler,
    pytest.mark.skipif(shutil.which("cmake") is None, reason="needs cmake"),
]

ROWS = np.arange(12, dtype="int8").reshape(3, 4)


def configure(folder, *options):
    return subprocess.run(
        ["cmake", "-S", APPLICATION, "-B", folder / "build", "-DCMAKE_CXX_FLAGS=-Werror", *options],
        capture_output=True,
        text=True,
        check=False,
    )


def make(folder):
    subprocess.run(["cmake", "--build", folder / "build"], check=True)
    return {path.name for path in (folder / "build").iterdir()}


@pytest.fixture
def model(tmp_path):
    folder = tmp_path / "model"
    folder.mkdir()
    write_examples(folder, [ROWS], [ROWS])
    return f"-DMODEL_DIR={folder}"


def test_parts_without_tflm_are_built(model, tmp_path):
    done = configure(tmp_path, model)
    assert done.returncode == 0, done.stderr
    assert "building only the parts without TensorFlow Lite Micro" in done.stdout
    made = make(tmp_path)
    assert "libmodel_parts.a" in made
    assert "self_test" not in made


@pytest.mark.skipif(shutil.which("arm-none-eabi-g++") is None, reason="needs arm-none-eabi-g++")
def test_for_a_microcontroller(model, tmp_path):
    done = configure(
        tmp_path,
        model,
        "-DCMAKE_SYSTEM_NAME=Generic",
        "-DCMAKE_TRY_COMPILE_TARGET_TYPE=STATIC_LIBRARY",
        "-DCMAKE_C_COMPILER=arm-none-eabi-gcc",
        "-DCMAKE_CXX_COMPILER=arm-none-eabi-g++",
        "-DCMAKE_CXX_FLAGS=-Werror -mcpu=cortex-m4 -mthumb",
    )
    assert done.returncode == 0, done.stderr
    assert "libmodel_parts.a" in make(tmp_path)


def test_application_is_built_with_a_source_tree(model, tmp_path):
    tree = tmp_path / "tflm"
    shutil.copytree(HERE / "tflm_declarations", tree)
    (tree / "tensorflow" / "lite" / "some.cc").write_text("int some_source_of_the_tree = 1;\n")
    serial = tmp_path / "serial.cc"
    serial.write_text("void uart_write(char) {}\n" + code_of_readme(0))
    done = configure(
        tmp_path,
        model,
        f"-DTFLM_SOURCE_DIR={tree}",
        f"-DPRINT_SOURCE={serial}",
        "-DEXTRA_ARENA_BYTES=512",
        # The tree has declarations only.
        "-DCMAKE_EXE_LINKER_FLAGS=-Wl,--unresolved-symbols=ignore-all",
    )
    assert done.returncode == 0, done.stderr
    assert {"self_test", "libtflm.a"} <= make(tmp_path)
    listed = subprocess.run(
        ["nm", "-S", tmp_path / "build" / "self_test"], capture_output=True, text=True, check=True
    )
    [arena] = [line.split() for line in listed.stdout.splitlines() if "5arenaE" in line]
    assert int(arena[1], 16) == 16 + 512


def test_a_folder_of_two_saves_is_refused(model, tmp_path):
    folder = tmp_path / "model"
    files = {path.name: path.read_bytes() for path in folder.iterdir()}
    (folder / "SHA256SUMS").write_bytes(manifest_of(files))
    done = configure(tmp_path, model)
    assert done.returncode == 0, done.stderr
    (folder / "examples.cc").write_bytes(files["examples.cc"] + b"\n")
    # Also when it is built again, without being configured by hand.
    again = subprocess.run(
        ["cmake", "--build", tmp_path / "build"], capture_output=True, text=True, check=False
    )
    assert again.returncode != 0
    said = " ".join(again.stderr.split())
    assert f"Expected {folder}/examples.cc as SHA256SUMS beside it lists it. Received: " in said
    (folder / "examples.cc").unlink()
    done = configure(tmp_path, model)
    assert "beside it lists it. Received: no such file." in " ".join(done.stderr.split())


def test_files_of_two_models_do_not_compile_together(model, tmp_path):
    for name in ("tensors.h", "examples.h", "examples.cc", "op_resolver.h", "model.cc"):
        write_examples(tmp_path / "model", [ROWS + 1], [ROWS])
        other = (tmp_path / "model" / name).read_bytes()
        write_examples(tmp_path / "model", [ROWS], [ROWS])
        (tmp_path / "model" / name).write_bytes(other)
        source = tmp_path / "model" / name
        command = ["g++", "-std=c++17", f"-I{HERE / 'tflm_declarations'}", "-fsyntax-only", source]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode != 0
        assert f"model.h and {name} are of different models" in done.stderr


@pytest.mark.parametrize("option", ["MODEL_DIR", "TFLM_SOURCE_DIR"])
def test_error_names_a_wrong_folder(model, option, tmp_path):
    done = configure(tmp_path, model, f"-D{option}={tmp_path / 'nowhere'}")
    assert done.returncode != 0
    assert option in done.stderr
    assert f"Received: '{tmp_path}/nowhere'" in " ".join(done.stderr.split())
