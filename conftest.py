"""Make pytest collect the code blocks of Markdown pages."""

from tests.docs.code_blocks import pytest_collect_file

__all__ = ["pytest_collect_file"]
