"""`--full`: the same release with nothing but whole images in the package, whatever devices hold."""

from __future__ import annotations

from dataclasses import replace

from ota.errors import ConfigError
from packager.entries import Item
from packager.release import Release


def without_deltas(release: Release) -> Release:
    """Every image that is delivered as a delta becomes one of type raw, compressed, in the package itself.

    Raises:
        ConfigError: release-content: an entry can be nothing but a delta.
    """
    return replace(release, items=tuple(_full(item) if item.is_delta else item for item in release.items))


def _full(item: Item) -> Item:
    if item.key != "image":
        raise ConfigError(
            "release-content",
            f"--full: {item.name!r} stands in [[{item.key}]], where raw cannot",
            hint="put it into [[image]]",
        )
    assert item.image
    image = replace(item.image, type="raw", options=item.image.options.candidates.full)
    elements = {place: {**of, "type": "raw", "properties": {}} for place, of in item.elements.items()}
    return replace(item, type="raw", image=image, elements=elements)
