import numpy as np
import pytest

from dart_keras.utils.output_agreement import (
    OutputDistance,
    in_words,
    output_names,
    rows_not_finite,
    shortfall,
)

RNG = np.random.default_rng(0)
LOGITS = RNG.normal(size=(40, 5)).astype("float32")


def probabilities(logits):
    exponentials = np.exp(logits)
    return exponentials / exponentials.sum(-1, keepdims=True)


def distance(want, got, parts=1):
    found = OutputDistance("y")
    for pair in zip(np.split(want, parts), np.split(got, parts), strict=True):
        found.add(*pair)
    return found.as_dict()


def test_rows_that_come_in_parts_count_as_one():
    got = LOGITS + RNG.normal(size=LOGITS.shape)
    whole, parts = distance(LOGITS, got), distance(LOGITS, got, 4)
    assert whole.keys() == parts.keys()
    for name, value in whole.items():
        assert parts[name] == (value if isinstance(value, str | bool) else pytest.approx(value))
    assert whole["sqnr_db"] == pytest.approx(
        10 * np.log10(np.sum(LOGITS.astype("float64") ** 2) / np.sum((got - LOGITS) ** 2))
    )
    assert whole["argmax_agreement"] == np.mean(got.argmax(1) == LOGITS.argmax(1))


def test_classes_are_those_of_the_last_axis():
    want = RNG.normal(size=(4, 3, 5))
    got = want.copy()
    got[0, 0] = -got[0, 0]
    assert distance(want, got)["argmax_agreement"] == pytest.approx(11 / 12)
    for shape in ((4,), (4, 1), (4, 3, 1)):
        assert "argmax_agreement" not in distance(np.ones(shape), np.ones(shape))


def test_probabilities_are_positive_and_add_up_to_one():
    assert distance(probabilities(LOGITS), LOGITS)["are_probabilities"]
    for other in (LOGITS, abs(LOGITS), LOGITS - LOGITS.sum(1, keepdims=True) / 5 + 0.2):
        assert not distance(other, LOGITS)["are_probabilities"]
    # One batch that is no probabilities is enough.
    mixed = np.concatenate([probabilities(LOGITS), LOGITS])
    assert not distance(mixed, mixed, 2)["are_probabilities"]


def test_of_probabilities_the_class_counts():
    sure = probabilities(20 * LOGITS)
    # Far off, with the same largest class.
    assert shortfall(distance(sure, probabilities(LOGITS))) is None
    # Close, with another one.
    even = np.tile([[0.501, 0.499]], (40, 1))
    reversed_ = even[:, ::-1]
    assert distance(even, reversed_)["sqnr_db"] > 40
    assert shortfall(distance(even, reversed_)) == (
        "output 'y' has 0.0% rows with the same argmax (limit 90.0%)"
    )


def test_of_a_vector_that_may_be_anything_either_figure_is_enough():
    close = LOGITS + 0.05 * RNG.normal(size=LOGITS.shape)
    vector = np.tile([[5.0, 5.001]], (40, 1))
    assert shortfall(distance(vector, vector[:, ::-1])) is None
    assert shortfall(distance(LOGITS, 3 * LOGITS)) is None
    assert shortfall(distance(LOGITS, close)) is None
    text = shortfall(distance(LOGITS, RNG.normal(size=LOGITS.shape)))
    assert "rows with the same argmax (limit 90.0%) and " in text
    assert text.endswith(" dB (limit 15 dB)")


def test_of_other_outputs_the_ratio_counts():
    single = LOGITS[:, :1]
    assert shortfall(distance(single, 1.1 * single)) is None
    assert shortfall(distance(single, 1.5 * single)) == "output 'y' has 6.0 dB (limit 15 dB)"
    assert shortfall(distance(single, single)) is None


def test_a_limit_that_is_given_holds_for_every_output_that_has_the_figure():
    sure = distance(probabilities(20 * LOGITS), probabilities(LOGITS))
    assert "dB (limit 30 dB)" in shortfall(sure, min_sqnr_db=30)
    vector = np.tile([[5.0, 5.001]], (40, 1))
    swapped = distance(vector, vector[:, ::-1])
    assert "(limit 50.0%)" in shortfall(swapped, min_agreement=0.5)
    assert shortfall(swapped, min_sqnr_db=30) is None
    single = distance(LOGITS[:, :1], 1.5 * LOGITS[:, :1])
    assert shortfall(single, min_sqnr_db=5) is None
    assert shortfall(single, min_agreement=1.0) == shortfall(single)


def test_integers():
    want = np.arange(10)
    got = np.where(want < 2, 0, want)
    result = distance(want, got)
    assert result == {"name": "y", "equal": 0.9}
    assert shortfall(result) is None
    assert shortfall(result, 0.95) == "output 'y' has 90.0% equal integers (limit 95.0%)"
    assert in_words(result) == "y: 90.0% of the integers equal"


def test_rows_that_are_not_finite_are_told():
    values = np.ones((20, 2, 2), "float32")
    assert rows_not_finite(values) is None
    values[3, 1, 1], values[4, 0, 0] = np.inf, np.nan
    assert rows_not_finite(values) == "NaN or infinite values in 2 of 20 rows (3, 4)"
    numbers = np.arange(20) * 10
    assert rows_not_finite(values, numbers) == "NaN or infinite values in 2 of 20 rows (30, 40)"
    values[:9] = np.nan
    assert rows_not_finite(values).endswith("in 9 of 20 rows (0, 1, 2, 3, 4, ...)")
    assert rows_not_finite(values[:9]) == "NaN or infinite values in all 9 rows"
    assert rows_not_finite(np.arange(3)) is None


def test_outputs_without_names_of_their_own_are_numbered():
    class Named:
        output_names = ("one", "two")

    assert output_names(Named(), 2) == ("one", "two")
    assert output_names(Named(), 3) == ("output_0", "output_1", "output_2")
    assert output_names(object(), 1) == ("output_0",)
