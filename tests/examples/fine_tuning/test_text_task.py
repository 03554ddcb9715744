import keras_hub
import numpy as np
import pytest

from examples.fine_tuning.rows import Rows
from examples.fine_tuning.tasks import TASKS, load_rows, scores
from examples.fine_tuning.text_task import TextTask, Windows
from tests.examples.fine_tuning.toy_text import write_causal_preset

TASK = TASKS["text"]


@pytest.fixture(scope="module")
def preset(tmp_path_factory):
    return str(write_causal_preset(tmp_path_factory.mktemp("preset")))


def rows_of(*lines):
    return Rows((list(lines),), np.zeros(len(lines), "int32"))


def test_windows_follow_each_other_and_labels_are_the_next_tokens(preset):
    windows = TASK.examples(preset, rows_of("old red\n", "tall blue\n", "cold\n"), 4)
    tokenizer = keras_hub.models.GPT2Tokenizer.from_preset(preset)
    expected = np.asarray(tokenizer("old red\ntall blue\ncold\n"))
    # "old" is one token, any other word as many as it has letters.
    assert len(expected) == 1 + 1 + 3 + 1 + 4 + 1 + 4 + 1 + 2 + 1
    np.testing.assert_array_equal(windows.tokens.ravel(), expected[:16])
    np.testing.assert_array_equal(windows.labels.ravel(), expected[1:17])
    chosen = windows.chosen(np.array([2, 0]))
    np.testing.assert_array_equal(chosen.labels, windows.labels[[2, 0]])
    tokens = TASK.encode(preset, chosen, 4)
    assert {name: each.dtype.name for name, each in tokens.items()} == {
        "token_ids": "int32",
        "padding_mask": "int32",
    }
    assert tokens["padding_mask"].all()


def test_a_long_text_is_tokenized_in_pieces(preset):
    lines = ["old red\n", "tall\n"] * 1200
    windows = TASK.examples(preset, rows_of(*lines), 11)
    assert windows.tokens.shape == (1199, 11)
    assert (windows.tokens == windows.tokens[0]).all()


def test_the_perplexity_is_that_of_all_tokens(preset):
    model = TASK.model(preset)
    windows = TASK.examples(preset, rows_of("old red tall blue\n"), 5)
    logits = np.asarray(model.predict_on_batch(TASK.encode(preset, windows, 5)), "float64")
    shares = np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True)
    chosen = np.take_along_axis(shares, windows.labels[..., None], axis=-1)
    expected = np.prod(chosen) ** (-1 / chosen.size)
    losses = TASK.judged(logits, windows.labels)
    assert losses.shape == windows.labels.shape
    assert scores("text", windows, losses) == pytest.approx({"perplexity": expected}, rel=1e-5)


@pytest.mark.parametrize(("length", "count"), [(5, 20), (500, 4), (5000, 1)])
def test_a_sample_has_a_bounded_number_of_tokens(length, count):
    windows = TextTask().sample(Windows(*np.zeros((2, 20, length), "int32")))
    assert windows.tokens.shape == windows.labels.shape == (count, length)


@pytest.mark.parametrize(
    ("part", "name"), [("train", "wiki.train.tokens"), ("dev", "valid.txt"), ("dev", "dev.txt")]
)
def test_usual_names_of_files(part, name, tmp_path):
    (tmp_path / name).write_text("old\n\nred\n")
    assert load_rows("text", tmp_path, part).sentences == (["old\n", "\n", "red\n"],)


def test_user_errors(preset, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"wiki.train.tokens or ptb.train"):
        load_rows("text", tmp_path, "train")
    (tmp_path / "train.txt").write_text("\n \n")
    with pytest.raises(ValueError, match=r"Expected a text in .*train.txt. Received: an empty"):
        load_rows("text", tmp_path, "train")
    with pytest.raises(ValueError, match=r"at least 17 tokens for a window of 16. Received: 3"):
        TASK.examples(preset, rows_of("tal"), 16)
    with pytest.raises(ValueError, match="Expected --preset with --task text"):
        TASK.check(None, "LoRA")
    with pytest.raises(ValueError, match=r"no new head. Received: --method head"):
        TASK.check(preset, "head")
    with pytest.raises(ValueError, match="a causal language model that KerasHub can load"):
        TASK.model(str(tmp_path / "none"))
