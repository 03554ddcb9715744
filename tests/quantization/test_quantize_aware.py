import keras
import numpy as np
import pytest
from keras import layers

import dart_keras as dk
from dart_keras import quantization
from dart_keras.deployment import convert
from dart_keras.deployment.flatbuffer.serialization import operator_name, unpack
from dart_keras.layers import TTDense, TTEmbedding
from dart_keras.layers.rank_gates import RankGates
from dart_keras.private_apis import flatten_layers
from dart_keras.quantization import quantize_aware
from dart_keras.quantization.quantized_embedding import QuantizedEmbedding
from dart_keras.quantization.quantized_layer import QuantizedLayer
from tests.quantization.networks import NETWORKS, inputs_of, nested, two_balanced_tt_layers

TARGETS = {"raspberry-pi": "litert", "microcontroller": "tflm"}
MEAN_STEPS = {"litert": 0.25, "tflm": 0.6}


def predicted(model, x):
    return keras.tree.flatten(model.predict(x, verbose=0))


def trained(model, target="raspberry-pi", epochs=2, rate=1e-4):
    """Return a quantization-aware copy trained to match the model, and some inputs."""
    x = inputs_of(model)
    aware = quantize_aware(model, target=target)
    aware.compile(keras.optimizers.Adam(rate), "mse")
    aware.fit(x, model.predict(x, verbose=0), epochs=epochs, verbose=0)
    return aware, x


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("name", NETWORKS)
def test_file_computes_what_the_model_was_trained_with(name, target):
    keras.utils.set_random_seed(0)
    aware, x = trained(NETWORKS[name](), target)
    artifact = convert(aware, target, quantization="int8")
    rows = tuple(x) if isinstance(x, list) else x
    twice = "BATCH_MATMUL" in artifact.operators
    for runtime in {"litert", TARGETS[target]}:
        mean_steps = MEAN_STEPS["tflm" if twice else runtime]
        received = keras.tree.flatten(artifact.predict(rows, runtime=runtime))
        for mine, theirs, info in zip(predicted(aware, x), received, artifact.outputs, strict=True):
            # A sum halfway between two integers may be rounded either way, and later layers amplify
            # that. TFLM's kernels, and LiteRT's for a product of each id, round twice.
            assert np.mean(abs(mine - theirs)) < mean_steps * info.scale
            assert np.max(abs(mine - theirs)) <= 5 * info.scale + 1e-6
    assert artifact.weight_scales == "per-channel"
    assert artifact.report["calibration_rows"] == 0
    tt_layers = {layer.path for layer in flatten_layers(aware) if isinstance(layer, TTDense)}
    assert tt_layers <= {each["layer"] for each in artifact.report["contractions"]}


def test_integers_of_the_file_match_training():
    keras.utils.set_random_seed(0)
    aware, _ = trained(two_balanced_tt_layers())
    model = unpack(convert(aware, quantization="int8").content)
    [graph] = model.subgraphs
    stored = [
        (model.buffers[tensor.buffer].data.view("int8").reshape(tensor.shape), tensor.quantization)
        for operator in graph.operators
        if operator_name(model, operator) == "FULLY_CONNECTED"
        for tensor in [graph.tensors[operator.inputs[1]]]
    ]
    kernel = np.array(aware.get_layer("last").layer.kernel)
    scales = np.abs(kernel).max(0) / 127
    integers, quantization = stored[-1]
    np.testing.assert_allclose(quantization.scale, scales, rtol=1e-6)
    np.testing.assert_array_equal(integers.T, np.round(kernel / scales))
    # Two products for each TT matrix, by unmerged cores.
    assert len(stored) == 5
    numbers = sum(integers.size for integers, _ in stored)
    assert numbers == sum(c.shape.num_elements() for c in _cores(aware)) + kernel.size


def _cores(aware):
    names = ("first", "second")
    return [core.value for name in names for core in aware.get_layer(name).layer.cores]


def test_before_training_only_weights_are_rounded():
    model = two_balanced_tt_layers()
    x = inputs_of(model)
    [expected], [received] = predicted(model, x), predicted(quantize_aware(model), x)
    assert 0 < np.abs(received - expected).max() < 0.1 * np.abs(expected).max()


@pytest.mark.parametrize("name", NETWORKS)
def test_original_is_unchanged_and_names_and_sharing_are_kept(name):
    model = NETWORKS[name]()
    x, weights = inputs_of(model), model.get_weights()
    before = predicted(model, x)
    aware = quantize_aware(model)
    aware.set_weights([w + 1 for w in aware.get_weights()])
    for mine, theirs in zip(predicted(model, x), before, strict=True):
        np.testing.assert_array_equal(mine, theirs)
    for mine, theirs in zip(model.get_weights(), weights, strict=True):
        np.testing.assert_array_equal(mine, theirs)
    kept = {layer.name for layer in _single(model) if not isinstance(layer, layers.InputLayer)}
    assert kept <= {layer.name for layer in flatten_layers(aware)}
    kinds = QuantizedLayer, QuantizedEmbedding
    wrapped = [layer for layer in flatten_layers(aware) if isinstance(layer, kinds)]
    folded = quantization.fold_batch_norm(model) if name == "mobile_blocks" else model
    held = [type(layer) for layer in _single(folded) if layer.weights]
    assert len(wrapped) == len(held) + held.count(layers.SeparableConv2D)
    assert not model.compiled


def _single(model):
    return [x for x in flatten_layers(model) if not isinstance(x, keras.Model)]


@pytest.mark.parametrize("build", [two_balanced_tt_layers, nested])
def test_saved_model_is_equal_and_can_be_trained(build, tmp_path):
    aware, x = trained(build())
    aware.save(tmp_path / "aware.keras")
    loaded = keras.models.load_model(tmp_path / "aware.keras")
    np.testing.assert_array_equal(loaded.predict(x, verbose=0), aware.predict(x, verbose=0))
    content = convert(aware, quantization="int8").content
    assert convert(loaded, quantization="int8").content == content
    history = loaded.fit(x, loaded.predict(x, verbose=0) * 0.5, epochs=3, verbose=0)
    assert history.history["loss"][-1] < history.history["loss"][0]


def test_training_compensates_for_rounding():
    keras.utils.set_random_seed(0)
    model = two_balanced_tt_layers()
    x = inputs_of(model, 512)
    # Channels of very different magnitude in one tensor with one scale.
    model.get_layer("first").bias.assign(np.where(np.arange(128) < 4, 60.0, 0.0))
    expected = model.predict(x, verbose=0)
    aware = quantize_aware(model)
    aware.compile(keras.optimizers.Adam(1e-3), "mse")
    aware.fit(x, expected, epochs=30, verbose=0)
    plain = convert(model, quantization="int8", calibration_data=x)
    learned = convert(aware, quantization="int8")
    errors = [np.mean((a.predict(x) - expected) ** 2) for a in (learned, plain)]
    assert errors[0] < 0.7 * errors[1]


@pytest.mark.parametrize("target", TARGETS)
def test_matrix_with_few_rows_has_one_scale_if_scales_would_be_large(target):
    train = TTDense(512, 12, (512, 1), (1, 512), bias_initializer="normal")
    aware, x = trained(keras.Sequential([keras.Input((512,)), train]), target, epochs=1)
    artifact = convert(aware, target, quantization="int8")
    assert artifact.weight_scales == "mixed"
    parts = artifact.report["file_parts"]
    assert parts["weights"] == {"int8": 2 * 12 * 512}
    assert artifact.size <= 1.25 * 2 * 12 * 512 + 4 * 512 + 2048
    for runtime in {"litert", TARGETS[target]}:
        off = np.abs(predicted(aware, x)[0] - artifact.predict(x, runtime))
        assert off.mean() < MEAN_STEPS[runtime] * artifact.outputs[0].scale


def test_truncated_ranks_are_kept():
    keras.utils.set_random_seed(0)
    model = two_balanced_tt_layers()
    x = inputs_of(model)
    model.compile("adam", "mse")
    cut = dk.callbacks.RankDiscretization(dk.selection.Threshold(0.5), epoch=1)
    model.fit(x, x[:, :5], epochs=2, callbacks=[cut], verbose=0)
    aware, _ = trained(model)
    trains = [x for x in flatten_layers(aware) if isinstance(x, TTDense)]
    assert [t.ranks for t in trains] == [model.get_layer(t.name).ranks for t in trains]
    assert all(train.ranks_fixed for train in trains)
    assert convert(aware, quantization="int8").size > 0


def test_dense_table_is_rounded_as_in_the_file():
    inputs = keras.Input((3,))
    x = layers.Embedding(40, 16, mask_zero=True, name="table")(inputs)
    aware, x = trained(keras.Model(inputs, layers.Dense(4)(layers.Flatten()(x))))
    ids = np.arange(39).reshape(13, 3)
    artifact = convert(aware, quantization="int8", calibration_data=ids)
    np.testing.assert_allclose(
        artifact.predict(ids), aware.predict(ids, verbose=0), atol=artifact.outputs[0].scale
    )
    table = np.array(aware.get_layer("table").layer.embeddings)
    model = unpack(artifact.content)
    [stored] = [
        model.buffers[tensor.buffer].data.view("int8").reshape(tensor.shape).astype("float64")
        for tensor in model.subgraphs[0].tensors
        if tensor.shape is not None and tuple(tensor.shape) == table.shape
    ]
    step = (max(table.max(), 0) - min(table.min(), 0)) / 255
    assert np.abs(step * (stored - stored.mean()) - (table - table.mean())).max() < step


def test_padding_is_still_masked():
    inputs = keras.Input((3,), dtype="int32")
    table = TTEmbedding(40, 16, 3, mask_zero=True)
    aware = quantize_aware(keras.Model(inputs, table(inputs)))
    ids = np.array([[0, 3, 0], [1, 2, 0]])
    received = keras.ops.convert_to_numpy(aware(ids)._keras_mask)
    np.testing.assert_array_equal(received, ids != 0)


def unbuilt():
    return keras.Sequential([layers.Dense(3)])


def recurrent():
    return keras.Sequential([keras.Input((4, 3)), layers.LSTM(5, name="cells")])


def half_precision():
    return keras.Sequential([keras.Input((4,)), layers.Dense(3, dtype="mixed_float16")])


def merged(kind, count):
    inputs = keras.Input((4,))
    return keras.Model(inputs, kind(name="merged")([layers.Dense(3)(inputs) for _ in range(count)]))


def larger_of_two():
    inputs = keras.Input((4,))
    return keras.Model(inputs, keras.ops.maximum(layers.Dense(3)(inputs), layers.Dense(3)(inputs)))


def uncut():
    model = two_balanced_tt_layers()
    train = model.get_layer("first")
    train.add_rank_gates(RankGates(train.ranks, train.input_modes, train.output_modes, 0.1, 1.0))
    return model


def norm_of_rows():
    return keras.Sequential([keras.Input((4, 3)), layers.BatchNormalization(axis=1, name="rows")])


def subclassed():
    class Model(keras.Model):
        def call(self, inputs):
            return inputs

    model = Model()
    model(np.zeros((1, 2)))
    return model


@pytest.mark.parametrize(
    ("build", "options", "message"),
    [
        (two_balanced_tt_layers, {"quantization": "int16x8"}, "`quantization` .*int16x8"),
        (two_balanced_tt_layers, {"target": "cpu"}, "`target` .*cpu"),
        (unbuilt, {}, "built"),
        (recurrent, {}, r"cells \(LSTM\)"),
        (half_precision, {}, "float32"),
        (lambda: merged(layers.Add, 3), {}, "merged of 3"),
        (lambda: merged(layers.Average, 2), {}, r"merged \(Average\)"),
        (lambda: merged(layers.Concatenate, 2), {}, r"merged \(Concatenate\)"),
        (larger_of_two, {}, "maximum"),
        (uncut, {}, "rank gates.* `RankDiscretization`"),
        (norm_of_rows, {}, "can be folded.*rows: it normalizes axis 1"),
        (subclassed, {}, "functional"),
        (lambda: "model", {}, "model"),
    ],
)
def test_unsupported_layers_are_refused(build, options, message):
    with pytest.raises(ValueError, match=r"^Expected (.|\n)*Received: ") as error:
        quantize_aware(build(), **options)
    assert error.match(message)


def test_a_small_mobile_net_is_trained_for_its_file():
    keras.utils.set_random_seed(0)
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 4, 256)
    colours = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 1]])
    x = colours[labels][:, None, None] + rng.normal(size=(256, 12, 12, 3)) / 2
    x = x.astype("float32")
    model = NETWORKS["mobile_blocks"]()
    model.compile(keras.optimizers.Adam(1e-2), "sparse_categorical_crossentropy")
    model.fit(x, labels, batch_size=32, epochs=6, verbose=0)
    aware = quantize_aware(model)
    aware.compile(keras.optimizers.Adam(1e-3), "sparse_categorical_crossentropy")
    aware.fit(x, labels, batch_size=32, epochs=2, verbose=0)
    artifact = convert(aware, quantization="int8")
    assert artifact.report["calibration_rows"] == 0
    # Every activation after a product is a part of it.
    assert {"RELU", "RELU6"}.isdisjoint(artifact.operators)
    given, expected, received = (
        each.argmax(axis=1)
        for each in (
            model.predict(x, verbose=0),
            aware.predict(x, verbose=0),
            artifact.predict(x),
        )
    )
    assert np.mean(given == labels) > 0.9
    assert np.mean(received == labels) > 0.9
    assert np.mean(received == expected) > 0.97


def test_flash_budget_does_not_change_trained_weights():
    aware, _ = trained(two_balanced_tt_layers())
    content = convert(aware, quantization="int8").content
    larger = convert(aware, quantization="int8", flash_budget=10 * len(content))
    assert larger.content == content


def test_file_needs_ranges_and_the_same_target():
    aware = quantize_aware(two_balanced_tt_layers())
    with pytest.raises(ValueError, match=r"call `fit`.*first"):
        convert(aware, quantization="int8")
    aware, _ = trained(two_balanced_tt_layers())
    with pytest.raises(ValueError, match="Received: target='microcontroller'"):
        convert(aware, "microcontroller", quantization="int8")
    with pytest.raises(ValueError, match="Received: quantization='float32'"):
        convert(aware)
