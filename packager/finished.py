"""What a build left in a folder: its report, and the files of which the report tells.

Other files may lie there too, of an earlier build; they are not looked at.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ota.errors import ConfigError
from packager import catalogue
from packager.bases import PUBLISH, RECORD
from packager.record import Record
from packager.reporting import REPORT


@dataclass(frozen=True, slots=True)
class Finished:
    """The output of one build; names are relative to its folder."""

    folder: Path
    package: str
    sha256: Mapping[str, str]  # of the package, and of all that is to be published or recorded

    @property
    def published(self) -> list[str]:
        """What is to lie on the server, in its order: what the package refers to comes before it."""
        return [*sorted(name for name in self.sha256 if name.startswith(f"{PUBLISH}/")), self.package]

    def record(self) -> tuple[Record, dict[str, bytes]]:
        """What the catalogue gets, and its manifests by image.

        Raises:
            ConfigError: "build-incomplete", "catalogue-record", "file-missing".
        """
        names = [name for name in self.sha256 if name.startswith(f"{RECORD}/") and name.endswith(".json")]
        if len(names) != 1:
            raise _incomplete(self.folder, f"{REPORT} tells of {len(names)} records")
        return catalogue.load(self.folder / RECORD, names[0].removeprefix(f"{RECORD}/"))


def read(folder: Path) -> Finished:
    """What `otapack build -o` left.

    Raises:
        ConfigError: "build-incomplete".
    """
    try:
        report = json.loads((folder / REPORT).read_bytes())
        package, outputs = report["package"], report["build"]["outputs"]
        sha256 = {str(name): str(stated["sha256"]) for name, stated in outputs.items()}
    except OSError as error:
        raise _incomplete(folder, f"{REPORT} cannot be read: {error.strerror}") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise _incomplete(folder, f"{REPORT} does not tell of a build: {error!r}") from error
    if package not in sha256 or any(".." in Path(name).parts for name in sha256):
        raise _incomplete(folder, f"{REPORT} tells of files that no build leaves")
    for name in sha256:
        if not (folder / name).is_file():
            raise _incomplete(folder, f"there is no file {name}")
    return Finished(folder, package, sha256)


def _incomplete(folder: Path, what: str) -> ConfigError:
    return ConfigError(
        "build-incomplete", f"{folder}: {what}", expected="all that otapack build -o wrote there"
    )
