import pytest

from tests.docs import prose

MOST_FIGURES = 20

PAGE = """
# Two layers, 3 heads

Of 20 words 1.5 % are in `code 7` (Smith 2015), int8, [page 4](to/5.md#6). One more sentence.

<!-- skip: next "9 reasons" -->
```python
x = 8
```

- An item of a list

  ```text
  10
  ```
"""


def test_what_counts():
    measured = prose.measure(PAGE)
    assert measured.blocks == 2
    # 3 heads, 20, 1.5 and page 4.
    assert measured.figures == 4
    assert measured.words == 19
    assert 10 <= measured.longest <= 14


@pytest.mark.parametrize("page", prose.pages(), ids=lambda page: str(page.relative_to(prose.ROOT)))
def test_pages_explain_and_leave_figures_to_the_studies(page):
    assert prose.measure(page.read_text()).density <= MOST_FIGURES
