import pytest

from examples.language_model.vocabulary import Vocabulary


def test_words_and_ids():
    vocabulary = Vocabulary(["the", "<unk>", "cat"])
    assert len(vocabulary) == 3
    assert vocabulary.encode(["cat", "dog", "the"]).tolist() == [2, 1, 0]
    assert vocabulary.decode([2, 1]) == ["cat", "<unk>"]


def test_repeated_word_is_refused():
    with pytest.raises(ValueError, match="3 words, 2 of them distinct"):
        Vocabulary(["a", "b", "a"])


def test_unknown_word_is_refused():
    with pytest.raises(KeyError, match="dog"):
        Vocabulary(["cat"]).encode(["dog"])
