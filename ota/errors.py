"""Every error that a user can meet. The first question each answers is whose fault it is.

    OtaError
    ├── UpdateError    exit 3   the package or what it describes
    ├── DeviceError    exit 4   this device: slots, space, boot environment
    ├── NetworkError   exit 5   server or link
    ├── ConfigError    exit 6   configuration, release file, command line
    └── TrustError     exit 7   signature, certificate, digest

A family is a class and an exit status; each of its refusals has a stable code, a slug that is
never reused. A broken rule of our own is an AssertionError or RuntimeError
and shows a traceback: exit 1.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import ClassVar, Final


class OtaError(Exception):
    """One refusal: what was wrong, expected and found, and what the reader can do.

    Args:
        code: a key of `codes`; stable, for programs.
        what: one clause for people, naming the file, member, slot or URL.
        expected: what would have been right, if that can be said.
        found: what was there instead.
        hint: what the reader can do about it.
    """

    exit_status: ClassVar[int]
    codes: ClassVar[dict[str, str]]  # code -> what it says

    def __init__(
        self,
        code: str,
        what: str,
        *,
        expected: object = None,
        found: object = None,
        hint: str | None = None,
    ) -> None:
        assert code in self.codes, code
        self.code = code
        self.what = what
        self.expected = None if expected is None else str(expected)
        self.found = None if found is None else str(found)
        self.hint = hint
        super().__init__(str(self))

    def __str__(self) -> str:
        """One line: `code: what (expected …, found …); hint`."""
        pairs = [("expected", self.expected), ("found", self.found)]
        facts = ", ".join(f"{word} {value}" for word, value in pairs if value is not None)
        text = f"{self.code}: {self.what}" + (f" ({facts})" if facts else "")
        return " ".join((text + (f"; {self.hint}" if self.hint else "")).splitlines())

    def __reduce__(self) -> tuple[Callable[[], OtaError], tuple[()]]:
        """How it is pickled, for its way out of another process."""
        facts = {"expected": self.expected, "found": self.found, "hint": self.hint}
        return partial(type(self), self.code, self.what, **facts), ()

    def to_json(self) -> dict[str, str | None]:
        """The `error` object of every `--json` answer."""
        keys = ("code", "what", "expected", "found", "hint")
        return {key: getattr(self, key) for key in keys}


class UpdateError(OtaError):
    """The package, or what it describes, cannot be installed here."""

    exit_status = 3
    codes: ClassVar = {
        "archive-format": "the .swu is not a cpio newc/crc archive, or breaks its rules",
        "archive-truncated": "the .swu ends too early",
        "archive-checksum": "a member's cpio checksum is wrong",
        "member-order": "sw-description or its signature is not where it must be",
        "member-missing": "a file that the sw-description names is not in the archive",
        "member-doubled": "a file that the sw-description names stands in the archive more than once",
        "member-name": "a member's name is absolute, climbs with '..', or is too long",
        "member-size": "a member's length is not the one that the sw-description gives",
        "description-syntax": "the sw-description is neither valid libconfig nor valid JSON",
        "description-content": "the sw-description lacks a field or holds a wrong value",
        "description-type": "an entry's type has no handler here, or another section is its place",
        "feature-absent": "the sw-description needs a feature that this program does not have",
        "target-doubled": "two entries would write the same place",
        "selection-missing": "the sw-description has no such software set and mode",
        "hardware-mismatch": "the update is not for this board or revision",
        "update-type": "the update's type is not one that this device takes",
        "version-refused": "this device does not take this version",
        "package-known": "at boot this device takes only what is new to it",
        "header-format": "the zchunk header is malformed",
        "header-unsupported": "the zchunk header uses a feature that an update may not",
        "delta-format": "the rdiff delta is malformed",
        "delta-base": "the rdiff base is not the one that the delta was made from",
        "payload-format": "a compressed stream or an archive in the package is malformed",
        "payload-unsafe": "an archive in the package holds what may not be unpacked",
        "bootenv-format": "a file of boot loader variables breaks its rules",
        "script-failed": "a script or command of the package failed, or did not end in time",
        "result-mismatch": "what was written is not what the update describes",
        "over-budget": "the update would download more than allowed",
        "folder-empty": "the folder has no package for this device",
    }


class DeviceError(OtaError):
    """This device cannot take the update: slots, space, boot environment."""

    exit_status = 4
    codes: ClassVar = {
        "slot-unknown": "no such slot in the configuration",
        "slot-running": "the target is the running slot",
        "slot-mounted": "the target is mounted",
        "slot-size": "the image does not fit the target",
        "slot-unreadable": "a slot cannot be opened or read",
        "slot-write": "writing a slot failed",
        "slot-no-manifest": "no manifest is known for the slot",
        "slot-damaged": "the slot differs from its manifest",
        "disk-full": "no space left where the agent keeps its state",
        "boot-environment": "the boot loader's environment cannot be read or written",
        "boot-state": "the state of the boot logic does not allow it",
        "health-check": "a health check of the configuration failed",
        "watchdog": "the watchdog's device cannot be opened",
        "clock-wrong": "the clock says a time that cannot be",
        "state-unwritable": "the folder where the agent keeps its state cannot be written",
        "state-noexec": "a script cannot run in the folder where the agent keeps its state",
        "mount-failed": "a file system cannot be mounted",
        "path-unusable": "a file or folder that the update names cannot be used",
        "file-system-full": "a file system has no room for what the update puts there",
        "program-failed": "a program of this device failed",
        "command-refused": "the operator's command before an update did not allow it",
        "partition-table": "a disk cannot have the partition table that is described, or has another kind",
        "partition-missing": "a disk has no such partition",
        "partition-in-use": "a partition that is in use would be formatted, moved, cut or removed",
        "uuid-taken": "a file system on this device has the UUID already",
        "emmc-register": "an eMMC's boot partition cannot be read or set",
        "busy": "another ota command is running",
        "service-socket": "the service's sockets cannot be made, or another service has them",
    }


class NetworkError(OtaError):
    """The server or the link failed."""

    exit_status = 5
    codes: ClassVar = {
        "connect": "the server cannot be reached",
        "tls": "the server's certificate is not acceptable",
        "http-status": "the server refused the request",
        "http-protocol": "the server's answer is not valid HTTP for what was asked",
        "server-content": "the server holds another file than the update describes",
        "url-refresh": "the command that makes fresh URLs failed",
        "transfer": "the transfer broke off and retries are used up",
        "store-refused": "the object store refused what was asked of it",
        "store-content": "a store does not hold what was sent to it",
    }


class ConfigError(OtaError):
    """What the operator wrote (configuration, release file, arguments) is wrong."""

    exit_status = 6
    codes: ClassVar = {
        "config-syntax": "a configuration file is not valid TOML",
        "config-key": "a configuration file has an unknown or missing key",
        "config-value": "a configuration value is wrong",
        "file-missing": "a file that was named does not exist or cannot be read",
        "tool-missing": "an outside program that is needed is not installed",
        "release-content": "the release cannot be built as described",
        "build-incomplete": "a folder is not the whole output of one build",
        "hook-failed": "a program that the release file names failed",
        "budget-exceeded": "an update would cost devices more than the release's budget",
        "base-product": "an earlier release that was named is of another product",
        "release-exists": "another release has this product and version already",
        "published-differs": "another file is published under this name already",
        "catalogue-record": "a record of the catalogue is damaged or not understood",
        "report-format": "what a build reports is not as it must be",
        "sbom-format": "a list of packages cannot be read",
        "worker-lost": "a process or machine that built a release went away meanwhile",
        "worker-differs": "a machine that is to build a release has other versions of libraries",
        "output-unwritable": "the folder for the results cannot be written, or is full",
        "image-unreadable": "the file system of an image is damaged or was not taken off",
        "filesystem-unknown": "an image's file system, or a feature of it, is not known here",
    }


class TrustError(OtaError):
    """Something is not vouched for by a trusted key."""

    exit_status = 7
    codes: ClassVar = {
        "signature-missing": "the package is not signed",
        "signature-invalid": "the signature does not fit the sw-description or a trusted key",
        "certificate": "a certificate or key cannot be used",
        "digest-missing": "an artifact has no sha256 in the signed sw-description",
        "digest-mismatch": "an artifact's sha256 is not the signed one",
    }


FAMILIES: Final = (UpdateError, DeviceError, NetworkError, ConfigError, TrustError)
CODES: Final = {code: said for family in FAMILIES for code, said in family.codes.items()}
