"""What the runtimes' kernels agree on, operator by operator, on inputs that files really meet."""

import keras
import numpy as np
import pytest

from dart_keras.deployment import convert
from dart_keras.deployment.flatbuffer.graph import Graph
from dart_keras.deployment.flatbuffer.reader import ModelFile
from dart_keras.deployment.flatbuffer.serialization import unpack
from dart_keras.deployment.post_training.tensor_values import TensorValues
from dart_keras.deployment.runtimes.litert import KERNELS
from dart_keras.deployment.runtimes.tflm import LARGEST_ARENA
from dart_keras.deployment.validation.operator_errors import activations, single_operator
from tests.deployment import models

LIMITS = {"int8": 2**7, "int16x8": 2**15}


def convolutions() -> keras.Model:
    image = keras.Input((12, 12, 3))
    x = keras.layers.Conv2D(8, 3, padding="same", activation="relu")(image)
    y = keras.layers.Conv2D(8, 1)(keras.layers.DepthwiseConv2D(3, padding="same")(x))
    x = keras.layers.MaxPooling2D(2)(keras.layers.Add()([x, y]))
    x = keras.layers.AveragePooling2D(2)(x)
    x = keras.layers.Multiply()([x, keras.layers.Activation("sigmoid")(x)])
    x = keras.layers.GlobalAveragePooling2D()(keras.layers.Activation("tanh")(x))
    return keras.Model(image, keras.layers.Dense(5, activation="softmax")(x))


IMAGES = models.RNG.normal(size=(32, 12, 12, 3)).astype("float32")
LONG = models.RNG.normal(size=(32, 60)).astype("float32")
MODELS = {
    "two modes": (models.tt_dense, models.ROWS),
    "two and three modes": (models.three_cores, LONG),
    "embedding": (models.tt_embedding, models.IDS),
    "convolutions": (convolutions, IMAGES),
}


class Case:
    """An operator of a file, taken out of it, with the inputs that it was given there."""

    def __init__(self, content, place, recorded):
        model = unpack(content)
        graph = Graph(model, model.subgraphs[0])
        self.operator = model.subgraphs[0].operators[place]
        self.name, self.model = graph.name(self.operator), model
        self.content = single_operator(model, place)
        self.inputs = [recorded[index] for index in activations(graph, self.operator)]

    def on_litert(self, kernels):
        from ai_edge_litert.interpreter import Interpreter, OpResolverType

        interpreter = Interpreter(
            model_content=self.content,
            experimental_op_resolver_type=OpResolverType[KERNELS[kernels]],
        )
        interpreter.allocate_tensors()
        rows = []
        for row in zip(*self.inputs, strict=True):
            for detail, value in zip(interpreter.get_input_details(), row, strict=True):
                interpreter.set_tensor(detail["index"], value)
            interpreter.invoke()
            rows.append(interpreter.get_tensor(interpreter.get_output_details()[0]["index"]))
        return np.array(rows)

    def on_tflm(self):
        from tflite_micro import runtime

        interpreter = runtime.Interpreter.from_bytes(self.content, arena_size=LARGEST_ARENA)
        rows = []
        for row in zip(*self.inputs, strict=True):
            for place, value in enumerate(row):
                interpreter.set_input(value, place)
            interpreter.invoke()
            rows.append(interpreter.get_output(0))
        return np.array(rows)

    def product(self, quantization, rescale):
        """What a FULLY_CONNECTED gives whose sums are scaled in this way."""
        main = self.model.subgraphs[0]
        given, weights, *bias = (main.tensors[i] for i in self.operator.inputs if i >= 0)
        [output] = (main.tensors[i] for i in self.operator.outputs)
        data = {t.buffer: self.model.buffers[t.buffer].data for t in (weights, *bias)}
        kernel = data[weights.buffer].view("int8").reshape(weights.shape).astype("int64")
        sums = self.inputs[0].reshape(-1, kernel.shape[1]).astype("int64")
        sums = (sums - given.quantization.zeroPoint[0]) @ kernel.T
        if bias:
            values = data[bias[0].buffer]
            sums += values.view(f"int{8 * len(values) // len(kernel)}")
        return self.scaled(sums, weights, given, output, quantization, rescale)

    def product_on_boards(self):
        """What CMSIS-NN's kernel gives for a FULLY_CONNECTED of int16.

        It reads the bias as 64 bits wide, whatever the file says of it, and a single scale.
        """
        main = self.model.subgraphs[0]
        given, weights, *bias = (main.tensors[i] for i in self.operator.inputs if i >= 0)
        [output] = (main.tensors[i] for i in self.operator.outputs)
        kernel = self.model.buffers[weights.buffer].data.view("int8").reshape(weights.shape)
        sums = self.inputs[0].reshape(-1, kernel.shape[1]).astype("int64") @ kernel.T.astype(int)
        if bias:
            read = self.model.buffers[bias[0].buffer].data.view("int64")
            sums += np.resize(read, len(kernel))
        weights.quantization.scale = weights.quantization.scale[:1]
        return self.scaled(sums, weights, given, output, "int16x8", rounded_after_15_bits)

    def scaled(self, sums, weights, given, output, quantization, rescale):
        into, out = (np.float64(t.quantization.scale[0]) for t in (given, output))
        scales = np.broadcast_to(weights.quantization.scale.astype("float64"), sums.shape[1])
        columns = [
            rescale(column, *_fixed_point(into * scale / out))
            for column, scale in zip(sums.T, scales, strict=True)
        ]
        zero, limit = output.quantization.zeroPoint[0], LIMITS[quantization]
        # 1 is a fused RELU.
        least = zero if self.operator.builtinOptions.fusedActivationFunction == 1 else -limit
        return np.clip(np.stack(columns, 1) + zero, max(least, -limit), limit - 1)


def cases(build, rows, quantization, target="raspberry-pi"):
    artifact = convert(build(), target, quantization=quantization, calibration_data=rows)
    inspection = TensorValues(artifact.content, "reference")
    model = unpack(artifact.content)
    main = model.subgraphs[0]
    graph = Graph(model, main)
    indices = {i for operator in main.operators for i in activations(graph, operator)}
    recorded = {index: [] for index in indices}
    [info] = ModelFile(artifact.content).inputs(["x"])
    for row in info.quantize(rows):
        inspection.invoke([row])
        for index, values in recorded.items():
            values.append(inspection.tensor(index))
    recorded = {index: np.array(values) for index, values in recorded.items()}
    return [Case(artifact.content, place, recorded) for place in range(len(main.operators))]


def _fixed_point(scale):
    fraction, exponent = np.frexp(scale)
    assert exponent <= 0
    return int(np.floor(fraction * 2**31 + 0.5)), int(exponent)


def rounded_once(sums, multiplier, exponent):
    shift = 31 - exponent
    return (sums * multiplier + (1 << (shift - 1))) >> shift


def rounded_after_15_bits(sums, multiplier, exponent):
    """As CMSIS-NN's `arm_nn_requantize_s64` does, and TFLM with sums of 64 bits."""
    reduced = (multiplier + (1 << 15)) >> 16 if multiplier < 0x7FFF0000 else 0x7FFF
    return ((sums * reduced >> (14 - exponent)) + 1) >> 1


def rounded_twice(sums, multiplier, exponent):
    product = sums * multiplier
    nudged = product + np.where(product >= 0, 1 << 30, 1 - (1 << 30))
    high = np.sign(nudged) * (np.abs(nudged) >> 31)
    mask = (1 << -exponent) - 1
    return (high >> -exponent) + ((high & mask) > (mask >> 1) + (high < 0))


@pytest.mark.parametrize("name", MODELS)
def test_int8_operators_agree_bit_for_bit_but_for_products(name):
    seen = set()
    for case in cases(*MODELS[name], "int8"):
        reference, tflm, xnnpack = (
            case.on_litert("reference"),
            case.on_tflm(),
            case.on_litert("xnnpack"),
        )
        seen.add(case.name)
        if case.name == "FULLY_CONNECTED":
            # LiteRT rounds a sum once, TFLM twice: after the multiplication and the shift.
            once, twice = (case.product("int8", r) for r in (rounded_once, rounded_twice))
            np.testing.assert_array_equal(reference.reshape(once.shape), once)
            np.testing.assert_array_equal(tflm.reshape(twice.shape), twice)
            np.testing.assert_array_equal(xnnpack, reference)
            assert np.abs(once - twice).max() <= 1
        else:
            np.testing.assert_array_equal(reference, tflm, err_msg=case.name)
            off = np.abs(xnnpack.astype("int64") - reference.astype("int64"))
            assert off.max() <= 1, case.name
    assert {"two modes": "TRANSPOSE", "embedding": "GATHER", "convolutions": "SOFTMAX"}.get(
        name, "TANH"
    ) in seen


def test_int16_operators_agree_bit_for_bit_but_for_products():
    for case in cases(*MODELS["two and three modes"], "int16x8"):
        xnnpack, builtin, reference = (case.on_litert(kernels) for kernels in KERNELS)
        np.testing.assert_array_equal(xnnpack, builtin, err_msg=case.name)
        tflm = case.on_tflm()
        if case.name == "FULLY_CONNECTED":
            # With sums of 32 bits, as in int8.
            once, twice = (case.product("int16x8", r) for r in (rounded_once, rounded_twice))
            np.testing.assert_array_equal(reference.reshape(once.shape), once)
            np.testing.assert_array_equal(tflm.reshape(twice.shape), twice)
            off = np.abs(xnnpack.astype("int64") - reference.astype("int64"))
            assert max(off.max(), np.abs(once - twice).max()) <= 1
        else:
            np.testing.assert_array_equal(reference, xnnpack, err_msg=case.name)
            np.testing.assert_array_equal(reference, tflm, err_msg=case.name)


def biased():
    """Channels of different sizes, and biases that are not small."""
    model = models.three_cores()
    rng = np.random.default_rng(1)
    dense = keras.layers.Dense(9, activation="relu")
    model = keras.Sequential([*model.layers, dense, keras.layers.Dense(5)])
    model.build((None, 60))
    dense.kernel.assign(rng.normal(size=dense.kernel.shape) * np.logspace(0, -1, 9))
    for layer in model.layers:
        layer.bias.assign(rng.normal(size=layer.bias.shape))
    return model


def test_int16_products_are_what_boards_make_of_them():
    products = [
        case
        for case in cases(biased, LONG, "int16x8", "microcontroller")
        if case.name == "FULLY_CONNECTED"
    ]
    assert sum(case.operator.inputs[-1] >= 0 for case in products) >= 2
    for case in products:
        on_boards = case.product_on_boards()
        np.testing.assert_array_equal(case.on_tflm().reshape(on_boards.shape), on_boards)
        # LiteRT multiplies by 31 bits.
        for kernels in KERNELS:
            received = case.on_litert(kernels).reshape(on_boards.shape).astype("int64")
            assert np.abs(received - on_boards).max() <= 1
