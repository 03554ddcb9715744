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
        for module in list(pkg.modules.values()):
            self.on_package(pkg=module)
        for name in map(str, pkg.exports or ()):
            inner = pkg[name].members.get(name) if pkg[name].is_module else None
            if inner is not None and not inner.is_module:
                pkg.set_member(name, Alias(name, inner, parent=pkg))
