import pytest

from dart_keras.saved_models.model_content import innermost_reason


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("One.", "One."),
        ("Outer.\nconfig={}\nException encountered: Inner. Full object config: {}", "Inner."),
        ("A. Exception encountered: B.\nException encountered: C.\nMore.", "C."),
        ("", "ValueError"),
    ],
)
def test_the_reason_is_without_the_configs_around_it(text, reason):
    assert innermost_reason(ValueError(text)) == reason
