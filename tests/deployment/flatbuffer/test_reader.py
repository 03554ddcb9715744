from dart_keras.deployment import convert
from dart_keras.deployment.flatbuffer.reader import ModelFile
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
