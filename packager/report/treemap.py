"""A tree of bytes by file, small enough for a page: what is too small to be seen is put together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

Node = Mapping[str, Any]  # name, bytes, children; checked against schema.json

_SMALLEST: Final = 1 / 2000  # of all bytes; a square of less than 20 by 20 points on a large screen
_MOST: Final = 60  # in one folder


def prune(tree: Node, changes: Mapping[str, str]) -> dict[str, object]:
    """The tree with what became of each leaf, without what cannot be seen; sums stay as they are.

    Args:
        tree: the root.
        changes: path -> added, changed, moved or metadata. "." in a folder is its own list of names.
    """
    return _node(tree, "", changes, tree["bytes"] * _SMALLEST)


def _node(node: Node, path: str, changes: Mapping[str, str], smallest: float) -> dict[str, object]:
    if path:
        node, path = _last_alone(node, path)
    kept: dict[str, object] = {"name": node["name"], "bytes": node["bytes"]}
    children: Sequence[Node] = sorted(
        node.get("children", []), key=lambda child: (-child["bytes"], child["name"])
    )
    if not children:
        return {**kept, "change": changes.get(path.removesuffix("/.")) or changes.get(node["name"], "")}
    seen = [child for child in children[:_MOST] if child["bytes"] and child["bytes"] >= smallest]
    below: list[object] = [_node(child, f"{path}/{child['name']}", changes, smallest) for child in seen]
    if rest := sum(child["bytes"] for child in children[len(seen) :]):
        below.append({"name": f"{len(children) - len(seen)} smaller", "bytes": rest, "change": ""})
    return {**kept, "children": below}


def _last_alone(node: Node, path: str) -> tuple[Node, str]:
    """A folder that holds one folder alone becomes one with it: usr/share/doc."""
    while len(children := node.get("children", [])) == 1 and children[0].get("children"):
        (child,) = children
        path = f"{path}/{child['name']}"
        node = {**child, "name": f"{node['name']}/{child['name']}"}
    return node, path
