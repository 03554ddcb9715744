import numpy as np
import pytest

from examples.language_model.batches import (
    Position,
    evaluation_batches,
    shuffled_batches,
    training_batches,
)

LENGTH, BATCH, SEED = 4, 3, 7
# The id of each word is its index in the text.
TEXT = np.arange(63, dtype="int32")


def epoch_from(epoch, step, seed=SEED):
    position = Position(epoch, step)
    batches, steps = training_batches(TEXT, LENGTH, BATCH, position, seed)
    return [words.numpy() for words, _ in batches], steps


def test_epoch_has_each_window_once_with_next_words_as_labels():
    batches, steps = training_batches(TEXT, LENGTH, BATCH, Position(), SEED)
    assert len(list(batches)) == steps == len(batches)
    starts = []
    for words, labels in batches:
        assert words.shape == labels.shape == (BATCH, LENGTH)
        assert words.dtype == labels.dtype == "int32"
        np.testing.assert_array_equal(labels, words + 1)
        np.testing.assert_array_equal(np.diff(words), 1)
        starts += words[:, 0].numpy().tolist()
    assert len(set(starts)) == steps * BATCH
    assert len({start % LENGTH for start in starts}) == 1


@pytest.mark.parametrize("epoch", [0, 2])
def test_resumed_epoch_continues_with_the_missing_batches(epoch):
    whole, steps = epoch_from(epoch, 0)
    for step in range(1, steps):
        rest, _ = epoch_from(epoch, step)
        np.testing.assert_array_equal(rest[: steps - step], whole[step:])
        # `fit` takes the length of the first pass for all.
        assert len(rest) == steps


def test_data_set_reads_its_position_when_a_pass_begins():
    position = Position()
    batches, _ = training_batches(TEXT, LENGTH, BATCH, position, SEED)
    for epoch, step in ((0, 0), (3, 2), (1, 0)):
        position.move(epoch, step)
        found = [words.numpy() for words, _ in batches]
        np.testing.assert_array_equal(found, epoch_from(epoch, step)[0])


def test_epochs_and_seeds_differ():
    orders = [epoch_from(0, 0), epoch_from(1, 0), epoch_from(0, 0, seed=SEED + 1)]
    texts = {np.array(batches).tobytes() for batches, _ in orders}
    assert len(texts) == 3


def test_batches_of_about_the_same_length_have_each_row_once():
    lengths = np.random.default_rng(1).integers(1, 100, 400)

    def epoch(number, step=0, lengths=lengths):
        position = Position(number, step)
        batches = shuffled_batches(lambda rows: rows, 400, 8, position, SEED, lengths)
        return np.array([rows.numpy() for rows in batches])

    whole = epoch(0)
    assert sorted(whole.ravel()) == list(range(400))
    longest = np.max(lengths[whole], axis=1)
    # Random rows would be padded to nearly the longest of all.
    assert np.mean(np.max(lengths[epoch(0, lengths=None)], axis=1)) > 1.5 * np.mean(longest)
    # The short ones do not come first.
    assert abs(np.corrcoef(np.arange(50), longest)[0, 1]) < 0.3
    assert not np.array_equal(whole, epoch(1))
    np.testing.assert_array_equal(epoch(0, step=20)[:30], whole[20:])


def test_evaluation_has_each_word_once_in_order():
    batches = list(evaluation_batches(TEXT, LENGTH, 4))
    words = np.concatenate([words for words, _ in batches]).ravel()
    labels = np.concatenate([labels for _, labels in batches]).ravel()
    np.testing.assert_array_equal(words, np.arange(60))
    np.testing.assert_array_equal(labels, words + 1)


def test_too_short_text_is_refused():
    with pytest.raises(ValueError, match=r"at least 16 words for a batch.*Received: 15 words"):
        training_batches(TEXT[:15], LENGTH, BATCH, Position(), SEED)
    assert training_batches(TEXT[:16], LENGTH, BATCH, Position(), SEED)[1] == 1
    with pytest.raises(ValueError, match=r"at least 5 words for a window.*Received: 4 words"):
        evaluation_batches(TEXT[:4], LENGTH, BATCH)
