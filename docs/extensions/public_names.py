"""What mkdocstrings must know of this package beside its source."""

import re
from typing import Any

from griffe import Alias, Extension, Module, Object


class PublicNames(Extension):
    """Show functions whose module has their name, and `Example:` sections as code."""

    def on_object(self, *, obj: Object, **_: Any) -> None:
        """Rename the section `Example:` to the `Examples:` that griffe knows.

        Args:
            obj: What has the docstring.
        """
        if obj.docstring:
            value = obj.docstring.value
            obj.docstring.value = re.sub(r"^Example:$", "Examples:", value, flags=re.MULTILINE)

    def on_package(self, *, pkg: Module, **_: Any) -> None:
        """Let a name that a module exports be the function, not the module of the same name.

        Args:
            pkg: The package.
        """
        for member in list(pkg.members.values()):
            if not member.is_alias and member.is_module:
                self.on_package(pkg=member)
        for name in map(str, pkg.exports or ()):
            member = pkg.members.get(name)
            if member is None or member.is_alias or not member.is_module:
                continue
            inner = member.members.get(name)
            if inner is not None and not inner.is_module:
                pkg.set_member(name, Alias(name, inner, parent=pkg))
