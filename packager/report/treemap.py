"""A tree of bytes by file, small enough for a page: what is too small to be seen is put together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

Node = Mapping[str, Any]  # name, bytes, children, change; checked against schema.json

_SMALLEST: Final = 1 / 2000  # of all bytes; a square of less than 20 by 20 points on a large screen
_MOST: Final = 60  # in one folder


def prune(tree: Node) -> dict[str, object]:
    """The tree without what cannot be seen; sums stay as they are."""
    return _node(tree, tree["bytes"] * _SMALLEST)


def _node(node: Node, smallest: float) -> dict[str, object]:
    kept: dict[str, object] = {"name": node["name"], "bytes": node["bytes"]}
    children: Sequence[Node] = sorted(
        node.get("children", []), key=lambda child: (-child["bytes"], child["name"])
    )
    if not children:
        return {**kept, "change": node.get("change", "")}
    seen = [child for child in children[:_MOST] if child["bytes"] and child["bytes"] >= smallest]
    below: list[object] = [_node(_last_alone(child), smallest) for child in seen]
    if rest := sum(child["bytes"] for child in children[len(seen) :]):
        below.append({"name": f"{len(children) - len(seen)} smaller", "bytes": rest, "change": ""})
    return {**kept, "children": below}


def _last_alone(node: Node) -> Node:
    """A folder that holds one folder alone becomes one with it: usr/share/doc."""
    while len(children := node.get("children", [])) == 1 and children[0].get("children"):
        (child,) = children
        node = {**child, "name": f"{node['name']}/{child['name']}"}
    return node
