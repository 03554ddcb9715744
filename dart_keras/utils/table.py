from collections.abc import Sequence


def table(
    header: Sequence[str], rows: Sequence[Sequence[str]], numbers: Sequence[str]
) -> list[str]:
    r"""Returns the lines of a table: the header, a rule, and the rows.

    Args:
        header: The columns' names.
        rows: The cells.
        numbers: The columns to set to the right; the others are set to the left.

    Example:
        >>> print("\n".join(table(("name", "bytes"), [("a", "10"), ("b", "7")], ["bytes"])))
        name  bytes
        -----------
        a        10
        b         7
    """
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    first, *others = [
        "  ".join(
            cell.rjust(width) if name in numbers else cell.ljust(width)
            for name, cell, width in zip(header, row, widths, strict=True)
        ).rstrip()
        for row in (header, *rows)
    ]
    return [first, "-" * max(map(len, (first, *others))), *others]
