"""Who signs a release: the keys that it names, or a pair that is made for a first try."""

from __future__ import annotations

import logging
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ota.errors import ConfigError, TrustError
from ota.native import crypto
from ota.settings import Table
from ota.trust import signature as trust
from ota.trust.signature import Trust
from packager import inputs, output

KEY: Final = "dev.key"
CERTIFICATE: Final = "dev.pem"

# Written out, so that the build host's own openssl.cnf adds nothing. Devices check for e-mail signing, as
# stock SWUpdate does by default (signed_images.rst). The key identifiers tell two such certificates apart.
_CERTIFICATE_CONFIG: Final = """\
[req]
prompt = no
distinguished_name = subject
x509_extensions = extensions
[subject]
CN = otakit development key
OU = not for production
[extensions]
basicConstraints = critical, CA:TRUE
keyUsage = critical, digitalSignature, keyCertSign
extendedKeyUsage = emailProtection
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid:always
"""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Signer:
    """PEM files; the key has no passphrase."""

    certificate: Path
    key: Path
    chain: Path | None = None  # intermediates, enclosed in the signature
    ca: Path | None = None  # what devices trust; None: the certificate itself

    @property
    def trust(self) -> Trust:
        """What a device trusts that takes this signer's releases."""
        own = (self.certificate,) if self.chain is None else (self.certificate, self.chain)
        return Trust(own if self.ca is None else (self.ca,), ())


def read(table: Table) -> Signer | None:
    """The table `[sign]`; None where it is absent."""
    certificate, key = table.optional_file("certificate"), table.optional_file("key")
    chain, ca = table.optional_file("chain"), table.optional_file("ca")
    table.done()
    if certificate is None and key is None and chain is None and ca is None:
        return None
    if certificate is None or key is None:
        raise ConfigError("config-key", f"{table.path}: [sign] needs both 'certificate' and 'key'")
    for path in filter(None, (certificate, key, chain, ca)):
        inputs.existing(path, f"{table.path}: [sign]")
    return Signer(certificate, key, chain, ca)


def choose(named: Signer | None, development_keys: Path | None, release: Path) -> Signer:
    """Who signs: whom the release file names, or else the pair in a folder, made there for a first try.

    Raises:
        ConfigError: "release-content" where it is both or neither.
    """
    if named and development_keys:
        raise ConfigError(
            "release-content",
            f"{release} has [sign], and --dev-keys is given",
            expected="one of the two",
            found="both",
        )
    signer = development(development_keys) if development_keys else named
    if signer is None:
        raise ConfigError(
            "release-content",
            f"nobody signs {release}",
            expected="[sign] with certificate and key",
            hint="for a first try: --dev-keys DIR makes a key",
        )
    return signer


def sign(description: bytes, signer: Signer, *, time: int) -> bytes:
    """The signature of a sw-description, proved the way a device will.

    Args:
        time: seconds since 1970, stated in the signature.

    Raises:
        TrustError: "certificate", also where key and certificate do not belong together;
            "signature-invalid" where devices would refuse it.
    """
    try:
        signature = crypto.cms_sign(
            description,
            signer.certificate.read_bytes(),
            signer.key.read_bytes(),
            signing_time=time,
            chain=signer.chain.read_bytes() if signer.chain else b"",
        )
    except TrustError as error:
        raise TrustError(
            error.code,
            f"{signer.key} cannot sign for {signer.certificate}",
            found=error.found,
            hint="[sign] takes PEM files: a certificate, and its key without a passphrase",
        ) from error
    try:
        trust.verify(description, signature, signer.trust)
    except TrustError as error:
        raise TrustError(
            error.code,
            f"devices would not accept {signer.certificate}",
            found=error.found,
            hint="if it is not self-signed, name the root that devices trust as 'ca' in [sign], "
            "and what lies between as 'chain'",
        ) from error
    return signature


def development(folder: Path) -> Signer:
    """The development key in `folder`, made if there is none.

    Raises:
        ConfigError: "tool-missing" or "output-unwritable", or "file-missing" for half a pair.
    """
    signer = Signer(folder / CERTIFICATE, folder / KEY)
    if not signer.key.exists() and not signer.certificate.exists():
        with output.refusing(folder):
            folder.mkdir(parents=True, exist_ok=True)
            _make(folder)
        _log.info("made a development key, %s, and its certificate, %s", signer.key, signer.certificate)
    for path in (signer.key, signer.certificate):
        inputs.existing(path, "the development key")
    _log.warning("signing with a development key: for a first try, not for devices in the field")
    return signer


def _make(folder: Path) -> None:
    """Make both files elsewhere in `folder`, so that an interrupted run leaves no half of a pair."""
    with tempfile.TemporaryDirectory(dir=folder, prefix=".otapack-") as name:
        temporary = Path(name)
        config = temporary / "openssl.cnf"
        config.write_text(_CERTIFICATE_CONFIG)
        _openssl(
            "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-sha256", "-days", "3650",
            "-config", config, "-keyout", temporary / KEY, "-out", temporary / CERTIFICATE,
        )  # fmt: skip
        (temporary / CERTIFICATE).chmod(0o644)
        for file in (KEY, CERTIFICATE):
            (temporary / file).replace(folder / file)


def _openssl(*arguments: str | Path) -> None:
    try:
        subprocess.run(["openssl", *arguments], check=True, capture_output=True, umask=0o077, text=True)
    except FileNotFoundError as error:
        raise ConfigError(
            "tool-missing", "the program openssl, which makes development keys", hint="install OpenSSL"
        ) from error
    except subprocess.CalledProcessError as error:
        raise TrustError("certificate", "openssl makes no key", found=error.stderr.strip()) from error
