from dart_keras.utils.representation import call_repr, preformatted_html


class Thing:
    pass


class Child(Thing):
    pass


def test_a_call_has_the_class_and_the_arguments_in_their_order():
    assert call_repr(Child(), b=0.5, a="text") == "Child(b=0.5, a='text')"
    assert call_repr(Thing()) == "Thing()"


def test_lines_are_kept_and_nothing_is_taken_for_html():
    assert preformatted_html("a < b\n  & c") == "<pre>a &lt; b\n  &amp; c</pre>"
