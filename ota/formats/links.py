"""A sw-description as one device sees it: the places where a field is looked for, and links.

The first place that has a field wins. A group there, or an element of a list, may be a link:
`ref = "#./name"` or `"#./../name"`, relative to the group that holds it, `ref = "#/software/name"` from
the top. Format: SWUpdate's sw-description.rst, "Priority finding the elements in the file", "Using links".
Stock SWUpdate passes over a link that leads nowhere; here it is refused.
"""

from __future__ import annotations

import reprlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from ota.formats.attributes import refuse
from ota.formats.description import Tree

MAX_ENTRIES: Final = 1000  # elements looked at, skipped ones and links included: links could multiply them
MAX_LINKS: Final = 8  # in a chain; what SWUpdate follows (MAX_LINKS_DEPTH)

Path = tuple[str, ...]


class View:
    """A tree as one board and selection see it, and how many elements may still be looked at."""

    def __init__(self, tree: Tree, places: Sequence[Path]) -> None:
        self._tree = tree
        self._places = places
        self._left = MAX_ENTRIES

    def has(self, path: Path) -> bool:
        return self._follow(path) is not None

    def find(self, name: str) -> tuple[Path, object] | None:
        """The first field of that name, links followed, and where it stands."""
        for place in self._places:
            group = self._follow(place)
            if group and (found := self._follow((*group[0], name))):
                return found
        return None

    def field(self, name: str) -> object:
        found = self.find(name)
        return found[1] if found else None

    def elements(self, section: str) -> Iterator[dict[str, object]]:
        """The elements of a list, links expanded in place. A group counts as a list of one."""
        found = self.find(section)
        return self._expand(*found, MAX_LINKS) if found else iter(())

    def _expand(self, path: Path, node: object, links: int) -> Iterator[dict[str, object]]:
        where = ".".join(path)
        elements = [node] if isinstance(node, dict) else node
        if not isinstance(elements, list):
            refuse(f"{where} has a wrong type", expected="a list of groups", found=node)
        for element in elements:
            self._left -= 1
            if self._left < 0:
                refuse(f"more than {MAX_ENTRIES} entries")
            if not isinstance(element, dict):
                refuse(f"an element of {where} has a wrong type", expected="a group", found=element)
            if "ref" not in element:
                yield element
            elif links == 0:
                refuse(f"more than {MAX_LINKS} links in a chain at {where}")
            else:
                yield from self._expand(*self._linked(path, element["ref"]), links - 1)

    def _follow(self, path: Path) -> tuple[Path, object] | None:
        """What stands at `path`, or what that links to; None if nothing does."""
        node = _at(self._tree, path)
        for _ in range(MAX_LINKS + 1):
            if not isinstance(node, dict) or "ref" not in node:
                return None if node is None else (path, node)
            path, node = self._target(path, node["ref"])
        refuse(f"more than {MAX_LINKS} links in a chain at {'.'.join(path)}")

    def _linked(self, path: Path, ref: object) -> tuple[Path, object]:
        target, _ = self._target(path, ref)
        found = self._follow(target)
        assert found is not None  # _target has found it
        return found

    def _target(self, path: Path, ref: object) -> tuple[Path, object]:
        target = _link(path, ref)
        node = _at(self._tree, target)
        if node is None:
            refuse(f"the link {reprlib.repr(ref)} at {'.'.join(path)} leads nowhere", found=".".join(target))
        return target, node


def _at(tree: Tree, path: Path) -> object:
    node: object = tree
    for name in path:
        if not isinstance(node, Mapping) or name not in node:
            return None
        node = node[name]
    return node


def _link(path: Path, ref: object) -> Path:
    """Where `ref`, found in the group at `path`, leads. sw-description.rst, "Using links"."""
    names = [name for name in ref[1:].split("/") if name] if isinstance(ref, str) else []
    if not isinstance(ref, str) or not ref.startswith("#") or not set(names) - {".", ".."}:
        refuse(f"a malformed link at {'.'.join(path)}", expected="#./name or #/name/name", found=ref)
    target = path[:-1] if names[0] in (".", "..") else ()
    for name in names:
        if name == "..":
            if not target:
                refuse(f"the link {reprlib.repr(ref)} at {'.'.join(path)} leads out of the sw-description")
            target = target[:-1]
        elif name != ".":
            target = (*target, name)
    return target
