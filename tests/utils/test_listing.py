from hypothesis import given
from hypothesis import strategies as st

from dart_keras.utils.listing import largest_first


@given(st.dictionaries(st.text("abc", min_size=1), st.integers(0, 10**6)))
def test_the_largest_are_named_and_the_rest_added_up(sizes):
    text = largest_first(sizes)
    present = sorted((size for size in sizes.values() if size), reverse=True)
    parts = text.split(", ") if text else []
    numbers = [int(part.rpartition(" ")[2].replace(",", "")) for part in parts]
    assert numbers[:5] == present[:5]
    assert sum(numbers) == sum(present)
    assert len(parts) == min(6, len(present))


def test_nothing_is_listed_of_nothing():
    assert largest_first({"a": 0}) == largest_first({}) == ""
