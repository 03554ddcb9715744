from importlib import import_module
from pathlib import Path

import pytest
from ai_edge_litert.tools import flatbuffer_utils

from dart_keras.deployment import convert
from dart_keras.deployment.flatbuffer import passes
from dart_keras.deployment.flatbuffer.passes import PASSES, apply_passes
from dart_keras.deployment.flatbuffer.serialization import pack, unpack
from tests.deployment import models

RUNTIMES = {"raspberry-pi": ("litert",), "microcontroller": ("litert", "tflm")}


def test_every_pass_has_a_file_and_a_place_in_the_order():
    names = {path.stem for path in Path(passes.__file__).parent.glob("[!_]*.py")}
    listed = [each.change.__module__.rpartition(".")[2] for each in PASSES]
    assert set(listed) == names
    for name, each in zip(listed, PASSES, strict=True):
        module = import_module(f"{passes.__name__}.{name}")
        assert getattr(module, each.change.__name__) is each.change
    stages = [each.stage for each in PASSES]
    assert stages == sorted(stages, key=["convert", "optimize", "strip"].index)


@pytest.mark.parametrize("target", RUNTIMES)
@pytest.mark.parametrize("quantization", ["float32", "int8", "int16x8"])
def test_a_finished_file_has_nothing_left_for_any_pass(target, quantization):
    rows = models.RNG.normal(size=(16, 60)).astype("float32")
    artifact = convert(
        models.three_cores(), target, quantization=quantization, calibration_data=rows
    )
    model = unpack(artifact.content)
    for stage in ("convert", "optimize", "strip"):
        apply_passes(model, stage, RUNTIMES[target])
    assert pack(model) == artifact.content


def test_names_go_where_a_runtime_does_without_them():
    content = models.lowered(models.dense(), "int8", models.ROWS)
    kept = {}
    for target, runtimes in RUNTIMES.items():
        model = unpack(content)
        apply_passes(model, "strip", runtimes)
        [graph] = model.subgraphs
        kept[target] = [graph.tensors[index].name for index in (*graph.inputs, *graph.outputs)]
    assert all(kept["raspberry-pi"])
    assert kept["microcontroller"] == [None, None]


@pytest.mark.parametrize(
    ("quantization", "parsed"),
    [
        # What the converter wrote, and what is written in the report.
        ("float32", 1 + 1),
        # With ranges; with a scale for each channel, and with a single one.
        ("int8", 3 + 1),
    ],
)
def test_each_file_of_the_converter_is_parsed_once(quantization, parsed, monkeypatch):
    read = flatbuffer_utils.convert_bytearray_to_object
    calls = []

    def counting(content):
        calls.append(len(content))
        return read(content)

    monkeypatch.setattr(flatbuffer_utils, "convert_bytearray_to_object", counting)
    convert(models.dense(), quantization=quantization, calibration_data=models.ROWS)
    assert len(calls) == parsed
