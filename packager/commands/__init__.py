"""The verbs of otapack: one module each, with its arguments and what it does.

A verb is a module with the attributes of `Command`, and a row in `packager.cli`. What only one verb needs
is imported when it runs, so that the others start at once.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

from ota.errors import OtaError


@dataclass(frozen=True, slots=True)
class Answer:
    """What a verb prints on stdout.

    Attributes:
        json: one object, with `--json`.
        lines: for people, without.
        error: what the answer shows to be wrong; it is printed too, and decides the exit status.
    """

    json: Mapping[str, object]
    lines: Iterable[str]
    error: OtaError | None = None


class Command(Protocol):
    """A verb."""

    HELP: str

    def arguments(self, parser: argparse.ArgumentParser, /) -> None:
        """Say what it takes, beside what all verbs take."""

    def run(self, options: argparse.Namespace, /) -> Answer:
        """Do it.

        Raises:
            OtaError: it could not be done.
        """
