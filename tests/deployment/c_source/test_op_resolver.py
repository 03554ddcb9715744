import importlib.util
import re
from pathlib import Path

import pytest

from dart_keras.deployment.c_source.op_resolver import method_name, resolver_header

# The methods of tensorflow/lite/micro/micro_mutable_op_resolver.h that register a builtin operator.
METHODS = """
Abs Add AddN ArgMax ArgMin AssignVariable AveragePool2D BatchMatMul BatchToSpaceNd BroadcastArgs
BroadcastTo CallOnce Cast Ceil Concatenation Conv2D Cos CumSum DepthToSpace DepthwiseConv2D
Dequantize Div DynamicUpdateSlice Elu EmbeddingLookup Equal Exp ExpandDims Fill Floor FloorDiv
FloorMod FullyConnected Gather GatherNd Greater GreaterEqual HardSwish If L2Normalization L2Pool2D
LeakyRelu Less LessEqual Log LogSoftmax LogicalAnd LogicalNot LogicalOr Logistic MaxPool2D Maximum
Mean Minimum MirrorPad Mul Neg NotEqual Pack Pad PadV2 Prelu Quantize ReadVariable ReduceAll
ReduceMax ReduceMin Relu Relu6 Reshape ResizeBilinear ResizeNearestNeighbor ReverseV2 Round Rsqrt
SelectV2 Shape Sin Slice Softmax SpaceToBatchNd SpaceToDepth Split SplitV Sqrt Square
SquaredDifference Squeeze StridedSlice Sub Sum Svdf Tanh Transpose TransposeConv
UnidirectionalSequenceLSTM Unpack VarHandle While ZerosLike
"""


def operators_with_a_kernel():
    """The builtin operators whose kernels the wheel's library exports."""
    pytest.importorskip("tflite_micro")
    from tflite_micro.tensorflow.lite.micro.python import schema_py_generated as schema

    folder = Path(importlib.util.find_spec("tflite_micro").origin).parent
    library = (folder / "python" / "tflite_micro" / "_runtime.so").read_bytes()
    kernels = {name.decode() for name in re.findall(rb"\d+Register_(\w+?)Ev\x00", library)}
    return kernels & set(vars(schema.BuiltinOperator))


def test_every_operator_with_a_kernel_has_its_method():
    names = {operator: method_name(operator) for operator in operators_with_a_kernel()}
    assert len(names) > 90
    assert {op: name for op, name in names.items() if name[3:] not in METHODS.split()} == {}
    assert len(set(names.values())) == len(names)


def test_the_resolver_registers_every_operator_once():
    text = resolver_header(["FULLY_CONNECTED", "SOFTMAX"])
    assert "MicroMutableOpResolver<2>" in text
    assert text.count("resolver.Add") == 2
    assert "resolver.AddFullyConnected()" in text


@pytest.mark.parametrize(
    ("operator", "method"),
    [
        ("ARG_MAX", "AddArgMax"),
        ("BATCH_MATMUL", "AddBatchMatMul"),
        ("CONV_2D", "AddConv2D"),
        ("CUMSUM", "AddCumSum"),
        ("PADV2", "AddPadV2"),
        ("SPACE_TO_BATCH_ND", "AddSpaceToBatchNd"),
        ("UNIDIRECTIONAL_SEQUENCE_LSTM", "AddUnidirectionalSequenceLSTM"),
    ],
)
def test_methods_are_spelled_as_in_tensorflow_lite_micro(operator, method):
    assert method_name(operator) == method
