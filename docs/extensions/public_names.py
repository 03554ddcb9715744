"""What mkdocstrings must know of this package beside its source."""

import re
from typing import Any

from griffe import Alias, Extension, Module, Object


class PublicNames(Extension):
    """Show functions named as their module, and `Example:` sections as code."""

    def on_package(self, *, pkg: Module, **_: Any) -> None:
        """Prepare a package before its pages are made.

        Args:
            pkg: The package.
        """
        _prepare(pkg)


def _prepare(obj: Object) -> None:
    if obj.docstring:
        # The name of the section that griffe knows.
        value = obj.docstring.value
        obj.docstring.value = re.sub(
            r"^Example:$", "Examples:", value, flags=re.MULTILINE
        )
    for name, member in list(obj.members.items()):
        if member.is_alias:
            continue
        _prepare(member)
        # What a package exports is the function, not the module of that name.
        inner = member.members.get(name) if member.is_module else None
        exported = obj.is_module and name in map(str, obj.exports or ())
        if (
            exported
            and inner is not None
            and not inner.is_alias
            and not inner.is_module
        ):
            obj.set_member(name, Alias(name, inner, parent=obj))
