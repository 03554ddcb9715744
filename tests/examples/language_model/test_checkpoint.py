import json
import zipfile

import keras
import numpy as np
import pytest

from examples.language_model.checkpoint import (
    read_state,
    read_vocabulary,
    remove_partial,
    restore,
    write_checkpoint,
)
from examples.language_model.vocabulary import Vocabulary

WORDS = Vocabulary(["the", "<unk>", "ä"])
STATE = {"epoch": 2, "step": 3, "history": [{"loss": 0.5}]}


def make_model(seed):
    keras.utils.set_random_seed(seed)
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dropout(0.5), keras.layers.Dense(3)])
    model.compile("adam", "mse")
    return model


def step(model):
    model.train_on_batch(np.ones((8, 4), "float32"), np.ones((8, 3), "float32"))
    return [v.numpy() for v in (*model.weights, *model.optimizer.variables)]


@pytest.fixture
def saved(tmp_path):
    model = make_model(0)
    step(model)
    path = tmp_path / "last.keras"
    write_checkpoint(path, model, WORDS, STATE)
    return path, model


def test_write_then_read_leaves_no_other_file(saved):
    path, _ = saved
    state = read_state(path)
    assert {name: state[name] for name in STATE} == STATE
    assert read_vocabulary(path).words == WORDS.words
    assert [file.name for file in path.parent.iterdir()] == ["last.keras"]


def test_restored_model_continues_with_the_same_random_numbers(saved):
    path, model = saved
    other = make_model(1)
    restore(path, other)
    # With another seed, the step would have another dropout mask.
    for found, expected in zip(step(other), step(model), strict=True):
        np.testing.assert_array_equal(found, expected)


def test_failed_write_keeps_the_old_file(saved):
    path, model = saved
    before = path.read_bytes()
    with pytest.raises(TypeError):
        write_checkpoint(path, model, WORDS, {"not": object()})
    assert path.read_bytes() == before
    assert (path.parent / "partial-last.keras").exists()
    remove_partial(path.parent)
    assert [file.name for file in path.parent.iterdir()] == ["last.keras"]


def test_write_replaces_a_partial_file(saved):
    path, model = saved
    path.with_name("partial-last.keras").write_bytes(path.read_bytes()[:1000])
    write_checkpoint(path, model, WORDS, {"epoch": 3})
    assert read_state(path)["epoch"] == 3
    assert [file.name for file in path.parent.iterdir()] == ["last.keras"]


def test_missing_file_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"Expected a model file.*none\.keras"):
        read_state(tmp_path / "none.keras")


@pytest.mark.parametrize("share", [0.0, 0.3, 0.99])
def test_truncated_file_is_refused(saved, share):
    path, _ = saved
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(ValueError, match=r"which has no readable training\.json"):
        read_state(path)


def test_file_with_a_damaged_member_is_refused(saved):
    path, _ = saved
    with zipfile.ZipFile(path) as archive:
        info = archive.getinfo("training.json")
    content = bytearray(path.read_bytes())
    start = info.header_offset + 30 + len(info.filename)
    content[start : start + info.compress_size] = b"\xff" * info.compress_size
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"which has no readable training\.json"):
        read_state(path)


def test_foreign_files_are_refused(tmp_path):
    make_model(0).save(tmp_path / "model.keras")
    (tmp_path / "text.keras").write_text(json.dumps(STATE))
    for name in ("model.keras", "text.keras"):
        with pytest.raises(ValueError, match=f"`train.py` wrote. Received: .*{name}"):
            read_state(tmp_path / name)
        with pytest.raises(ValueError, match=r"no readable vocabulary\.json"):
            read_vocabulary(tmp_path / name)
