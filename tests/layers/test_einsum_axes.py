import pytest

from dart_keras.layers.einsum_axes import EinsumAxes, einsum_axes


@pytest.mark.parametrize(
    ("equation", "kept", "summed", "new", "named"),
    [
        ("ab,bc->ac", "a", "b", "c", "c"),
        ("abc,cde->abde", "ab", "c", "de", "bde"),
        # Rows in the order of the input, columns in that of the output.
        ("abcd,dfbe->aecf", "ac", "bd", "ef", "ecf"),
        ("ab,c->abc", "ab", "", "c", "bc"),
        ("abc,c->ab", "ab", "c", "", "b"),
        ("...ab,bac->...c", ".", "ab", "c", "c"),
        ("ab...,bc->ac...", "a.", "b", "c", "c"),
    ],
)
def test_axes_are_classified(equation, kept, summed, new, named):
    axes = einsum_axes(equation)
    assert (axes.kept, axes.summed, axes.new, axes.named) == (kept, summed, new, named)


@pytest.mark.parametrize(
    ("equation", "count", "expanded"),
    [
        ("ab,bc->ac", 2, EinsumAxes("ab", "bc", "ac")),
        ("...b,bc->...c", 2, EinsumAxes("0b", "bc", "0c")),
        ("...b,bc->...c", 4, EinsumAxes("012b", "bc", "012c")),
        ("ab...,bc->ac...", 2, EinsumAxes("ab", "bc", "ac")),
        ("ab...,bc->ac...", 4, EinsumAxes("ab01", "bc", "ac01")),
    ],
)
def test_elided_axes_become_digits(equation, count, expanded):
    assert einsum_axes(equation).expanded(count) == expanded


@pytest.mark.parametrize(
    ("equation", "count", "message"),
    [
        ("ab,bc->ac", 3, "axes 'ab'. Received: one with 3 axes"),
        ("abc,cd->abd", 2, "axes 'abc'. Received: one with 2 axes"),
        ("...b,bc->...c", 1, "axes '...b'. Received: one with 1 axes"),
        ("ab...,bc->ac...", 1, "axes 'ab...'. Received: one with 1 axes"),
    ],
)
def test_inputs_with_a_wrong_number_of_axes_are_refused(equation, count, message):
    with pytest.raises(ValueError, match=f"Expected an input with the {message}"):
        einsum_axes(equation).expanded(count)


@pytest.mark.parametrize(
    ("equation", "message"),
    [
        ("abc,bcd->abd", "one matrix for all rows.*equation='abc,bcd->abd'.*each 'b'"),
        ("ab,bc->abc", "another one for each 'b'"),
        ("ab,bc", "of the form .*Received: equation='ab,bc'"),
        (None, "Received: equation=None"),
        ("abb,bc->ac", "each axis in two"),
        ("abc,cd->ad", "each axis in two"),
        ("ab,bcd->ac", "each axis in two"),
        ("ab,bc->acd", "each axis in two"),
        ("ab,bc->ca", "the batch first"),
        ("ab,ac->bc", "the batch first"),
        ("...ab,bc->ac", "of the form"),
        ("...ab...,bc->...ac...", "of the form"),
        ("...ab,bc->ac...", "of the form"),
    ],
)
def test_other_equations_are_refused(equation, message):
    with pytest.raises(ValueError, match=message):
        einsum_axes(equation)
