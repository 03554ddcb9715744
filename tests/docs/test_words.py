import pytest

from tests.docs import words

SAID = {
    "a train": "the modes of a train",
    "trains": "Some trains with a single column",
    "Trains": "Trains that are promising get exact costs.",
    "tensor trains": "Its projections are tensor\n    trains.",
    "million numbers": "a table of 1.4 million numbers",
    "How many numbers": "How many numbers the cores hold.",
    "numbers the layer hold": "numbers the layer holds",
    "behind": "cut behind the first epoch",
    "dense twin": "beside its dense twin",
    "gauge": "the gauge that is rounded best",
    "parts and their forms": "layers are parts and their forms",
    "Giving out": "Giving out one budget",
    "presses on the ranks": "what presses on the ranks",
    "less pressure": "With less pressure the table is larger.",
    "What a rank is worth": "What a rank is worth",
    "superfluous": "makes ranks superfluous",
    "normalization taken in": 'is "folded" with its normalization taken in',
    "plainest kernels": "LiteRT with its plainest kernels",
    "least_decibels": "convert(least_decibels=30)",
    "by heart": "it knows its text by heart",
    "wake up": "identities wake up",
    "at the end": "at the end",
}
NOT_SAID = (
    "`fit` trains with a rank regularizer",
    "models that train on their own outputs",
    "the train set, the train split and the train step",
    "a tensor-train (TT) layer, in tensor-train format",
    "While the model trains on several devices, JAX trains copies of it.",
    "python -m examples.language_model.train --dataset ptb",
    "random numbers, version numbers and numbers of epochs",
    "files that an interrupted run left behind",
    "orders of contraction that are worth a look",
    "the canonical form, a form of regularization, a part of the file",
    "press a key",
    "a step that ends at the end of an epoch",
)


@pytest.mark.parametrize("word", SAID)
def test_words_that_are_not_used(word):
    path = "dart_keras/compression/page.md"
    found = {finding.word for finding in words.find(path, SAID[word])}
    assert any(word.endswith(each) or each.endswith(word) for each in found), found


@pytest.mark.parametrize("text", NOT_SAID)
def test_ordinary_english(text):
    assert list(words.find("dart_keras/compression/page.md", text)) == []


def test_places_and_names_of_code():
    code = '''"""A module of TT layers.

Multiplied after each other: no
tensor trains.
"""
# Nobody looks
# behind this.
def gauges(low_rank_twin, trained, forms):
    return f"{trained} behind"
'''
    found = [(each.line, each.word) for each in words.find("benchmarks/some.py", code)]
    assert sorted(found) == [
        (4, "tensor trains"),
        (7, "behind"),
        (8, "gauges"),
        (8, "low_rank_twin"),
        (9, "behind"),
    ]


def test_file_names():
    assert [each.word for each in words.find("benchmarks/gauges.py", "")] == ["gauges"]


def test_exceptions_have_reasons_and_are_needed():
    for (path, word), reason in words.ALLOWED.items():
        assert reason
        assert word in (words.ROOT / path).read_text().lower()
