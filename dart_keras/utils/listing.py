"""Lists of what is large, for messages."""

from collections.abc import Mapping

# A message is to be read at a glance.
_MOST = 5


def largest_first(sizes: Mapping[str, float]) -> str:
    """Return the largest of some things with their sizes, and how many there are besides.

    Args:
        sizes: The size of each thing, by its name.

    Example:
        >>> largest_first({"head": 10, "stem": 2048.0, "norm": 0})
        "'stem' 2,048, 'head' 10"
    """
    present = {name: size for name, size in sizes.items() if size > 0}
    ordered = sorted(present, key=lambda name: present[name], reverse=True)
    shown = [f"{name!r} {round(present[name]):,}" for name in ordered[:_MOST]]
    others = ordered[_MOST:]
    if others:
        rest = round(sum(present[name] for name in others))
        shown.append(f"{len(others)} others {rest:,}")
    return ", ".join(shown)
