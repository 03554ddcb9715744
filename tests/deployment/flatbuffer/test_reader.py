import pytest

from dart_keras.deployment import ConversionError, convert
from dart_keras.deployment.flatbuffer.passes.strip_metadata import slim
from dart_keras.deployment.flatbuffer.reader import ModelFile, ordered
from tests.deployment import models


def test_it_reads_what_litert_reads():
    from ai_edge_litert.interpreter import Interpreter

    content = convert(
        models.two_in_three_out(),
        quantization="int8",
        calibration_data=(models.RNG.normal(size=(8, 5)), models.RNG.normal(size=(8, 7))),
    ).content
    file = ModelFile(content)
    interpreter = Interpreter(model_content=content)
    details = interpreter.get_input_details() + interpreter.get_output_details()
    for info, detail in zip(file.inputs("ab") + file.outputs("cde"), details, strict=True):
        assert info.shape == tuple(detail["shape"])
        assert info.dtype == detail["dtype"].__name__
        assert (info.scale, info.zero_point) == detail["quantization"]
    names = [operator["op_name"] for operator in interpreter._get_ops_details()]
    assert [operator.name for operator in file.operators] == names
    assert sum(file.operator_counts.values()) == len(names)


def test_order_can_be_chosen():
    content = convert(models.two_in_three_out()).content
    turned = ordered(content, ["a_second", "z_first"])
    assert [info.shape for info in ModelFile(turned).inputs("ab")] == [(1, 7), (1, 5)]
    assert ordered(turned, ["z_first", "a_second"]) == content


def test_a_file_without_a_signature_is_refused():
    content = convert(models.dense()).content
    with pytest.raises(ConversionError, match="without a signature"):
        ordered(slim(content, keep_names=False), ["features"])
