"""Quantization-aware training of networks with normalizations, and int16x8 for boards."""

import keras

import dart_keras as dk
from benchmarks.field.models import rows
from benchmarks.field.situation import situation
from dart_keras.deployment.flatbuffer.graph import Graph
from dart_keras.deployment.flatbuffer.serialization import unpack


def _trains(*layers):
    model = keras.Sequential([keras.Input((8, 8, 3)), *layers, keras.layers.Flatten()])
    x = rows(32, 8, 8, 3)
    model.compile("adam", "mse")
    model.fit(x, rows(32, *model.output_shape[1:]), verbose=0)
    aware = dk.quantization.quantize_aware(model)
    aware.compile("adam", "mse")
    aware.fit(x, rows(32, *model.output_shape[1:]), verbose=0)
    dk.deployment.convert(aware, quantization="int8", calibration_data=x)


@situation("fits Conv, BatchNormalization, ReLU as integers")
def conv_norm_relu(folder):
    norm, relu = keras.layers.BatchNormalization(), keras.layers.ReLU()
    _trains(keras.layers.Conv2D(4, 3), norm, relu)


@situation("fits DepthwiseConv, BatchNormalization, ReLU as integers")
def depthwise_norm_relu(folder):
    norm, relu = keras.layers.BatchNormalization(), keras.layers.ReLU()
    _trains(keras.layers.DepthwiseConv2D(3), norm, relu)


@situation("fits Conv with its activation, then BatchNormalization, as integers")
def norm_after_activation(folder):
    _trains(keras.layers.Conv2D(4, 3, activation="relu"), keras.layers.BatchNormalization())


@situation("converts a dense network to int16x8 for boards with CMSIS-NN")
def int16_for_boards(folder):
    model = keras.Sequential(
        [
            keras.Input((16,)),
            keras.layers.Dense(16, "relu", bias_initializer="ones"),
            keras.layers.Dense(4, bias_initializer="ones"),
        ]
    )
    artifact = dk.deployment.convert(
        model, "microcontroller", quantization="int16x8", calibration_data=rows(64, 16)
    )
    parsed = unpack(artifact.content)
    graph = Graph(parsed, parsed.subgraphs[0])
    for operator in graph.operators("FULLY_CONNECTED"):
        assert len(graph.quantization(operator.inputs[1]).scale) == 1, "a scale a channel"
        assert graph.dtype(graph.bias(operator)) == "INT64", "32-bit biases"
