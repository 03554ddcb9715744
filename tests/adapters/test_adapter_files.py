import json
import struct

import keras
import numpy as np
import pytest
import safetensors

from dart_keras import adapters
from dart_keras.adapters.adapter_files import _checksum
from tests.adapters.test_adapt import bert, dense_stack, predictions, tokens

X = np.random.default_rng(0).normal(size=(8, 16)).astype("float32")


@pytest.fixture(scope="module")
def adapted():
    model = adapters.adapt(dense_stack(), adapters.TTLoRA(rank=2), ["hidden"], ["logits"])
    model.compile(keras.optimizers.Adam(0.05), "mse", jit_compile=False)
    model.fit(X, np.ones((8, 3)), epochs=3, verbose=0)
    return model


@pytest.fixture
def path(adapted, tmp_path):
    adapters.save(adapted, tmp_path / "some.adapter")
    return tmp_path / "some.adapter"


def description(path):
    """The JSON of a file's header, and what follows the header."""
    content = path.read_bytes()
    [size] = struct.unpack("<Q", content[:8])
    return json.loads(content[8 : 8 + size]), content[8 + size :]


def rewrite(path, header, rest):
    encoded = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(encoded)) + encoded + rest)


def test_the_file_holds_what_was_trained_and_nothing_else(adapted, path):
    header, rest = description(path)
    trained = sum(int(np.prod(v.shape)) for v in adapted.trainable_variables)
    assert len(rest) == 4 * trained
    assert set(json.loads(header["__metadata__"]["dart_keras_adapter"])["layers"]) == {
        "hidden",
        "logits",
    }


def test_adapters_of_a_language_model_take_kilobytes(tmp_path):
    base = bert()
    adapted = adapters.adapt(base, adapters.TTLoRA(rank=2), ["query", "value"])
    adapters.save(adapted, tmp_path / "some.adapter")
    assert (tmp_path / "some.adapter").stat().st_size < 6000


def test_a_file_is_loaded_beside_other_adapters(adapted, path):
    base = dense_stack()
    other = adapters.adapt(base, adapters.LoRA(rank=1), ["hidden"], name="other")
    both = adapters.load(other, path, name="loaded")
    np.testing.assert_allclose(predictions(both, X), predictions(base, X), rtol=1e-5)
    adapters.active(both, "loaded")
    np.testing.assert_allclose(predictions(both, X), predictions(adapted, X), rtol=1e-5)


def test_a_new_head_of_another_start_is_no_other_model(adapted, path):
    base = dense_stack()
    base.get_layer("logits").kernel.assign(np.ones((16, 3)))
    loaded = adapters.load(base, path)
    np.testing.assert_allclose(predictions(loaded, X), predictions(adapted, X), rtol=1e-5)


def other_weights():
    base = dense_stack()
    base.get_layer("hidden").kernel.assign(np.ones((16, 16)))
    return base


def other_names():
    layers = [keras.layers.Dense(16, name="first"), keras.layers.Dense(3, name="logits")]
    return keras.Sequential([keras.Input((16,)), *layers])


def other_shape():
    layers = [keras.layers.Dense(8, "relu", name="hidden"), keras.layers.Dense(3, name="logits")]
    return keras.Sequential([keras.Input((16,)), *layers])


@pytest.mark.parametrize(
    ("base", "message"),
    [
        (other_weights, "other weights"),
        (other_names, "the model has not: \\['hidden'\\]"),
        (other_shape, "Expected a kernel"),
    ],
    ids=["weights", "names", "shape"],
)
def test_another_model_is_refused(path, base, message):
    with pytest.raises(ValueError, match=message):
        adapters.load(base(), path)


# Places all over the file: its header, its description, its numbers.
@pytest.mark.parametrize("share", [i / 40 for i in range(40)], ids=lambda share: f"{share:.3f}")
def test_a_changed_byte_is_refused(path, share):
    base = dense_stack()
    before = predictions(base, X)
    content = bytearray(path.read_bytes())
    content[int(share * len(content))] ^= 0x15
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"Expected a file that|safetensors"):
        adapters.load(base, path)
    assert np.array_equal(predictions(base, X), before)
    assert all(v.trainable for v in base.weights)


@pytest.mark.parametrize("share", [0, 0.001, 0.1, 0.5, 0.9, 0.999], ids=str)
def test_a_truncated_file_is_refused(path, share):
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(ValueError, match="no safetensors file"):
        adapters.load(dense_stack(), path)


def with_checksum(path, change):
    """Write a file that is whole, with another description."""
    header, rest = description(path)
    metadata = header["__metadata__"]
    content = json.loads(metadata["dart_keras_adapter"])
    change(content)
    metadata["dart_keras_adapter"] = json.dumps(content)
    rewrite(path, header, rest)
    with safetensors.safe_open(path, "numpy") as file:
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    metadata["sha256"] = _checksum(metadata["dart_keras_adapter"], tensors)
    rewrite(path, header, rest)


CHANGES = {
    "unknown adapter": lambda c: c["layers"]["hidden"].update(adapter="os.system"),
    "unknown argument": lambda c: c["layers"]["hidden"]["settings"].update(command="ls"),
    "other ranks": lambda c: c["layers"]["hidden"]["settings"].update(ranks=[1, 1, 1]),
    "other modes": lambda c: c["layers"]["hidden"]["settings"].update(input_modes=[3, 3]),
    "text for a number": lambda c: c["layers"]["hidden"]["settings"].update(scale="big"),
    "no settings": lambda c: c["layers"]["hidden"].pop("settings"),
    "newer version": lambda c: c.update(version=2),
    "no name": lambda c: c.pop("name"),
    "a layer that is not there": lambda c: c["layers"]["hidden"].update(shares_with="absent"),
    "a layer less": lambda c: c["layers"].pop("hidden"),
    "an own name": lambda c: c.update(name="a/b"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_file_made_by_hand_is_refused(path, change):
    with_checksum(path, CHANGES[change])
    base = dense_stack()
    with pytest.raises(ValueError, match="Expected"):
        adapters.load(base, path)
    assert all(v.trainable for v in base.weights)


def test_a_file_without_a_description_is_refused(path):
    header, rest = description(path)
    rewrite(path, {**header, "__metadata__": {}}, rest)
    with pytest.raises(ValueError, match="no file of adapters"):
        adapters.load(dense_stack(), path)


def test_a_file_of_another_kind_is_refused(path):
    dense_stack().save(path.with_suffix(".keras"))
    with pytest.raises(ValueError, match="no safetensors file"):
        adapters.load(dense_stack(), path.with_suffix(".keras"))


def test_a_missing_file_is_an_error_of_the_system(tmp_path):
    with pytest.raises(FileNotFoundError):
        adapters.load(dense_stack(), tmp_path / "absent.adapter")
    with pytest.raises(IsADirectoryError, match="Expected a file of adapters"):
        adapters.load(dense_stack(), tmp_path)


def test_weights_that_are_not_finite_are_not_saved(tmp_path):
    model = adapters.adapt(dense_stack(), adapters.LoRA(rank=1), ["hidden"])
    model.trainable_variables[0].assign(np.full((1, 16, 1, 1), np.nan))
    with pytest.raises(ValueError, match="finite weights"):
        adapters.save(model, tmp_path / "some.adapter")
    assert not (tmp_path / "some.adapter").exists()


def test_which_of_several_must_be_said(tmp_path):
    model = adapters.adapt(dense_stack(), adapters.LoRA(rank=1), ["hidden"], name="red")
    model = adapters.adapt(model, adapters.LoRA(rank=1), ["logits"], name="blue")
    with pytest.raises(ValueError, match=r"\['red', 'blue'\]"):
        adapters.save(model, tmp_path / "some.adapter")
    adapters.save(model, tmp_path / "some.adapter", name="blue")
    assert adapters.load(dense_stack(), tmp_path / "some.adapter").built


def test_ranks_found_in_training_are_in_the_file(tmp_path):
    base = dense_stack()
    model = adapters.adapt(base, adapters.LoRA(rank=3), ["hidden"])
    model.layers[0].adapters["default"].update.truncate(2)
    adapters.save(model, tmp_path / "some.adapter")
    loaded = adapters.load(base, tmp_path / "some.adapter")
    assert loaded.layers[0].adapters["default"].update.ranks == (1, 2, 1)


def test_a_classifier_gets_its_adapters_from_a_file(tmp_path):
    base, x = bert(), tokens()
    model = adapters.adapt(base, adapters.LoRA(rank=2), ["query"], ["logits"])
    rng = np.random.default_rng(0)
    for variable in model.trainable_variables:
        variable.assign(rng.normal(size=variable.shape))
    adapters.save(model, tmp_path / "some.adapter")
    loaded = adapters.load(bert(), tmp_path / "some.adapter")
    np.testing.assert_allclose(predictions(loaded, x), predictions(model, x), rtol=1e-5)
