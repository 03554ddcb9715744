"""Attention masks of the model, and decoding compared with the model's predictions."""

import keras
import numpy as np
import pytest

from examples.language_model.architecture import Architecture
from examples.translation.decoding import translate
from examples.translation.model import build_model
from examples.translation.packing import pack
from examples.translation.subwords import END, PADDING, START, UNKNOWN, Subwords
from tests.examples.translation import toy

LENGTH = 24


@pytest.fixture(scope="module")
def subwords():
    return Subwords.train([line for lines in toy.sentences(200, 0) for line in lines], 60)


@pytest.fixture(scope="module", params=["dense", "tt"])
def model(request, subwords):
    keras.utils.set_random_seed(1)
    ranks = (None, None) if request.param == "dense" else (8, 8)
    return build_model(Architecture("tiny", request.param, len(subwords), *ranks))


def logits(model, pairs, length=LENGTH):
    rows = pack(pairs, length)
    assert len(rows) == 1
    return np.asarray(model([rows.source, rows.target]))[0]


def test_pairs_of_a_row_and_padding_are_masked(model):
    pairs = [([8, 9, 10, 11], [12, 13, 14, 15, 16]), ([17, 18], [19, 20])]
    together = logits(model, pairs)
    for pair, start in zip(pairs, (0, 6), strict=True):
        places = len(pair[1]) + 1
        alone = logits(model, [pair])[:places]
        assert np.abs(alone).max() > 1e-2
        np.testing.assert_allclose(together[start : start + places], alone, atol=1e-5)
        # Also in a row without padding.
        np.testing.assert_allclose(logits(model, [pair], places)[:places], alone, atol=1e-5)


def test_word_attends_to_the_whole_source_and_the_target_up_to_itself(model):
    source, target = [8, 9, 10, 11], [12, 13, 14, 15]
    before = logits(model, [(source, target)])
    for place in range(4):
        other = [*source[:place], 20, *source[place + 1 :]]
        assert (np.abs(logits(model, [(other, target)]) - before).max(axis=1)[:5] > 1e-5).all()
        other = [*target[:place], 20, *target[place + 1 :]]
        changes = np.abs(logits(model, [(source, other)]) - before).max(axis=1)[:5] > 1e-5
        assert changes.tolist() == [i > place for i in range(5)]


def test_greedy_translations_are_the_likeliest_words_of_the_whole_model(model, subwords):
    sources = toy.sentences(3, 3)[0]
    ids = subwords.encode(sources)
    limit = 2 * max(map(len, ids)) + 9
    for source, translation in zip(ids, translate(model, subwords, sources), strict=True):
        words: list[int] = []
        while len(words) < limit:
            row = np.array([[START, *source]]), np.array([[START, *words]])
            likely = np.array(model(row))[0, -1]
            likely[[PADDING, UNKNOWN, START]] = -np.inf
            if likely.argmax() == END:
                break
            words.append(int(likely.argmax()))
        assert translation == subwords.decode([words])[0]


def test_too_long_sentence_is_refused(model, subwords):
    with pytest.raises(ValueError, match=r"at most 63 subwords. Received: .* in 'one one"):
        translate(model, subwords, ["one " * 200])
