"""Who signed? Against OpenSSL's own program in both directions, and against every way of not being signed."""

from __future__ import annotations

import calendar
import ctypes
import ctypes.util
import gc
import itertools
import re
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from ota.errors import ConfigError, TrustError
from ota.native import crypto
from ota.trust.signature import MAX_SIGNATURE, Trust, verify

DESCRIPTION = b'software = { version = "1.0"; };\r\n\0binary too\n'
NOON = 1_700_000_000


@dataclass(frozen=True, slots=True)
class Party:
    """A key and its certificate."""

    name: str
    private: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey
    cert: x509.Certificate

    @property
    def key(self) -> bytes:
        return self.private.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )

    @property
    def certificate(self) -> bytes:
        return self.cert.public_bytes(serialization.Encoding.PEM)

    @property
    def public_key(self) -> bytes:
        return self.private.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )

    def sign(self, content: bytes = DESCRIPTION, chain: bytes = b"") -> bytes:
        return crypto.cms_sign(content, self.certificate, self.key, signing_time=NOON, chain=chain)


def make(
    name: str,
    issuer: Party | None = None,
    *,
    ca: bool = False,
    until_days: int = 30,
    usage: x509.ObjectIdentifier | None = None,
    curve: bool = False,
) -> Party:
    private = ec.generate_private_key(ec.SECP256R1()) if curve else rsa.generate_private_key(65537, 2048)
    subject = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Otakit"),
            x509.NameAttribute(NameOID.COMMON_NAME, name),
        ]
    )
    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.cert.subject if issuer else subject)
        .public_key(private.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=60))
        .not_valid_after(now + timedelta(days=until_days))
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
    )
    if usage:
        builder = builder.add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
    return Party(name, private, builder.sign(issuer.private if issuer else private, hashes.SHA256()))


ROOT = make("root", ca=True)
MIDDLE = make("middle", ROOT, ca=True)
LEAF = make("leaf", MIDDLE)
ALONE = make("Ällein")
STRANGER = make("stranger")
EXPIRED = make("expired", ROOT, until_days=-1)
CODE = make("code", ROOT, usage=ExtendedKeyUsageOID.CODE_SIGNING)
MAIL = make("mail", ROOT, usage=ExtendedKeyUsageOID.EMAIL_PROTECTION)
CURVE = make("curve", curve=True)


@pytest.fixture
def file(tmp_path: Path) -> Callable[[bytes], Path]:
    numbers = itertools.count()

    def write(data: bytes) -> Path:
        path = tmp_path / f"file{next(numbers)}.pem"
        path.write_bytes(data)
        return path

    return write


Write = Callable[[bytes], Path]


def refused(description: bytes, signature: bytes, trust: Trust) -> TrustError:
    with pytest.raises(TrustError) as refusal:
        verify(description, signature, trust)
    return refusal.value


# What is accepted


@pytest.mark.parametrize("party", [ALONE, CURVE], ids=lambda party: party.name)
def test_a_self_signed_certificate_that_is_trusted_signs(party: Party, file: Write) -> None:
    trust = Trust((file(party.certificate),), ())
    assert verify(DESCRIPTION, party.sign(), trust) == f"O = Otakit, CN = {party.name}"


def test_a_chain_is_followed_whether_the_intermediate_comes_with_the_signature_or_is_trusted(
    file: Write,
) -> None:
    root, middle = file(ROOT.certificate), file(MIDDLE.certificate)
    assert verify(DESCRIPTION, LEAF.sign(chain=MIDDLE.certificate), Trust((root,), ())).endswith("leaf")
    assert verify(DESCRIPTION, LEAF.sign(), Trust((middle, root), ())).endswith("leaf")
    both = file(MIDDLE.certificate + ROOT.certificate)
    assert verify(DESCRIPTION, LEAF.sign(), Trust((both,), ())).endswith("leaf")


def test_any_of_several_trusted_certificates_suffices(file: Write) -> None:
    trust = Trust((file(STRANGER.certificate), file(ALONE.certificate)), ())
    assert verify(DESCRIPTION, ALONE.sign(), trust).endswith("Ällein")


def test_a_certificate_for_mail_signs(file: Write) -> None:
    assert verify(DESCRIPTION, MAIL.sign(), Trust((file(ROOT.certificate),), ())).endswith("mail")


def test_a_bare_rsa_signature_is_known_by_its_key_file(file: Write) -> None:
    key = file(ALONE.public_key)
    signature = crypto.sign(DESCRIPTION, ALONE.key)
    assert verify(DESCRIPTION, signature, Trust((), (file(STRANGER.public_key), key))) == key.name
    assert verify(DESCRIPTION, signature, Trust((file(ROOT.certificate),), (key,))) == key.name


def test_a_bare_rsa_signature_that_begins_like_der_is_no_cms(file: Write) -> None:
    contents = (b"%d" % number for number in itertools.count())
    content, signature = next(
        (content, signature)
        for content in contents
        if (signature := crypto.sign(content, ALONE.key)).startswith(b"\x30")
    )
    key = file(ALONE.public_key)
    assert verify(content, signature, Trust((file(ROOT.certificate),), (key,))) == key.name


def test_a_cms_is_accepted_where_keys_are_trusted_as_well(file: Write) -> None:
    trust = Trust((file(ALONE.certificate),), (file(STRANGER.public_key),))
    assert verify(DESCRIPTION, ALONE.sign(), trust).endswith("Ällein")


# What is not


@pytest.mark.parametrize(
    "sign", [ALONE.sign, lambda: crypto.sign(DESCRIPTION, ALONE.key)], ids=["cms", "rsa"]
)
def test_any_change_of_the_description_is_noticed(sign: Callable[[], bytes], file: Write) -> None:
    trust = Trust((file(ALONE.certificate),), (file(ALONE.public_key),))
    signature = sign()
    assert verify(DESCRIPTION, signature, trust)
    changes = [DESCRIPTION[:-1], DESCRIPTION + b"\n", b"", DESCRIPTION.replace(b"\r", b"")]
    for place in range(len(DESCRIPTION)):
        changed = bytearray(DESCRIPTION)
        changed[place] ^= 1
        changes.append(bytes(changed))
    for change in changes:
        assert refused(change, signature, trust).code == "signature-invalid"


@pytest.mark.parametrize(
    ("party", "words"),
    [
        (STRANGER, "self-signed certificate"),
        (LEAF, "unable to get local issuer certificate"),
        (EXPIRED, "certificate has expired"),
        (CODE, "unsuitable certificate purpose"),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_a_certificate_that_does_not_lead_to_a_trusted_one_is_refused(
    party: Party, words: str, file: Write
) -> None:
    refusal = refused(DESCRIPTION, party.sign(), Trust((file(ROOT.certificate),), ()))
    assert refusal.code == "signature-invalid"
    assert words in (refusal.found or "").replace("self signed", "self-signed").replace(
        "unsupported certificate purpose", "unsuitable certificate purpose"
    )


def test_an_intermediate_alone_is_no_root(file: Write) -> None:
    assert (
        refused(DESCRIPTION, LEAF.sign(), Trust((file(MIDDLE.certificate),), ())).code == "signature-invalid"
    )


def test_a_leaf_cannot_issue(file: Write) -> None:
    forged = make("forged", LEAF)
    signature = forged.sign(chain=LEAF.certificate + MIDDLE.certificate)
    assert refused(DESCRIPTION, signature, Trust((file(ROOT.certificate),), ())).code == "signature-invalid"


def test_another_partys_bare_signature_is_refused_and_the_trusted_files_are_named(file: Write) -> None:
    key = file(ALONE.public_key)
    refusal = refused(DESCRIPTION, crypto.sign(DESCRIPTION, STRANGER.key), Trust((), (key,)))
    assert refusal.code == "signature-invalid"
    assert key.name in (refusal.expected or "")


def test_a_cms_needs_trusted_certificates(file: Write) -> None:
    refusal = refused(DESCRIPTION, ALONE.sign(), Trust((), (file(ALONE.public_key),)))
    assert refusal.code == "signature-invalid"


def test_garbage_is_refused(file: Write) -> None:
    trust = Trust((file(ALONE.certificate),), (file(ALONE.public_key),))
    good = ALONE.sign()
    cut = [good[:size] for size in range(0, len(good), 41)]
    for signature in [b"", b"0", b"\x30\x80", b"\x30\x82\xff\xff", b"x" * 256, bytes(MAX_SIGNATURE), *cut]:
        assert refused(DESCRIPTION, signature, trust).code == "signature-invalid"
    assert refused(DESCRIPTION, bytes(MAX_SIGNATURE + 1), trust).expected == f"at most {MAX_SIGNATURE} bytes"
    assert refused(DESCRIPTION, b"x" * 256, trust).expected == "a CMS in DER"


def test_a_damaged_signature_never_names_another_signer(file: Write) -> None:
    trust = Trust((file(ALONE.certificate),), ())
    good = ALONE.sign()
    refusals = 0
    for place in range(len(good)):
        damaged = bytearray(good)
        damaged[place] ^= 0x10
        try:
            # CMS leaves some encoding bytes unsigned: no harm, the description is still the signed one.
            assert verify(DESCRIPTION, bytes(damaged), trust) == "O = Otakit, CN = Ällein"
        except TrustError as refusal:
            assert refusal.code == "signature-invalid"
            refusals += 1
    assert refusals > 0.9 * len(good)


def test_a_cms_that_nobody_signed_is_refused(
    tmp_path: Path, file: Write, tool: Callable[[str], Path]
) -> None:
    certificate = file(ALONE.certificate)
    command: list[str | Path] = [
        tool("openssl"),
        "crl2pkcs7",
        "-nocrl",
        "-certfile",
        certificate,
        "-outform",
        "DER",
    ]
    signature = subprocess.run([*map(str, command)], check=True, capture_output=True).stdout
    assert refused(DESCRIPTION, signature, Trust((certificate,), ())).code == "signature-invalid"


def test_a_cms_that_encloses_what_it_signed_does_not_vouch_for_anything_else(
    tmp_path: Path, file: Write, tool: Callable[[str], Path]
) -> None:
    signature = openssl_cms(tool("openssl"), ALONE, tmp_path, "-nodetach")
    trust = Trust((file(ALONE.certificate),), ())
    assert verify(DESCRIPTION, signature, trust)
    assert refused(DESCRIPTION + b" ", signature, trust).code == "signature-invalid"


def test_nothing_trusted_is_a_wrong_configuration() -> None:
    with pytest.raises(ConfigError) as refusal:
        verify(DESCRIPTION, ALONE.sign(), Trust((), ()))
    assert refusal.value.code == "config-key"


@pytest.mark.parametrize(
    "bad",
    [
        b"",
        b"no PEM",
        ALONE.certificate[:400],
        ALONE.certificate[:400] + b"\n-----END CERTIFICATE-----\n",
        ALONE.key,
    ],
    ids=["empty", "text", "cut", "damaged", "private key"],
)
def test_a_trusted_file_that_cannot_be_used_is_named_even_beside_a_good_one(bad: bytes, file: Write) -> None:
    good, worse = file(ALONE.certificate), file(bad)
    refusal = refused(DESCRIPTION, ALONE.sign(), Trust((good, worse), ()))
    assert (refusal.code, worse.name in refusal.what) == ("certificate", True)
    refusal = refused(DESCRIPTION, b"x" * 256, Trust((good,), (worse,)))
    assert (refusal.code, worse.name in refusal.what) == ("certificate", True)


def test_a_trusted_file_that_is_missing_is_named(tmp_path: Path) -> None:
    for trust in (Trust((tmp_path / "gone",), ()), Trust((), (tmp_path / "gone",))):
        refusal = refused(DESCRIPTION, ALONE.sign(), trust)
        assert (refusal.code, refusal.found) == ("certificate", "No such file or directory")


# Signing, and OpenSSL's own program


def openssl_cms(openssl: Path, party: Party, folder: Path, *options: str) -> bytes:
    """A signature as SWUpdate's signed_images.rst tells to make it."""
    (folder / "content").write_bytes(DESCRIPTION)
    (folder / "signer").write_bytes(party.certificate)
    (folder / "key").write_bytes(party.key)
    command: list[str | Path] = [
        openssl,
        "cms",
        "-sign",
        "-in",
        "content",
        "-out",
        "out",
        "-signer",
        "signer",
        "-inkey",
        "key",
    ]
    command += ["-outform", "DER", "-nosmimecap", "-binary", *options]
    subprocess.run(command, cwd=folder, check=True)
    return (folder / "out").read_bytes()


def stated_time(cms: bytes) -> int:
    """signingTime (1.2.840.113549.1.9.5, RFC 5652 section 11.3) of a CMS."""
    oid = bytes.fromhex("06092a864886f70d010905")
    text = re.search(re.escape(oid) + rb"\x31\x0f\x17\x0d(\d{12})Z", cms)
    assert text
    return calendar.timegm(time.strptime(text[1].decode(), "%y%m%d%H%M%S"))


def test_our_signature_is_that_of_openssl_cms_but_for_the_time(
    tmp_path: Path, tool: Callable[[str], Path]
) -> None:
    (tmp_path / "chain").write_bytes(MIDDLE.certificate + ROOT.certificate)
    for options, chain in (((), b""), (("-certfile", "chain"), MIDDLE.certificate + ROOT.certificate)):
        theirs = openssl_cms(tool("openssl"), LEAF, tmp_path, *options)
        moment = stated_time(theirs)
        ours = crypto.cms_sign(DESCRIPTION, LEAF.certificate, LEAF.key, signing_time=moment, chain=chain)
        assert ours == theirs


def test_a_signature_of_openssl_cms_is_accepted(
    tmp_path: Path, file: Write, tool: Callable[[str], Path]
) -> None:
    trust = Trust((file(ALONE.certificate),), ())
    for options in ((), ("-noattr",), ("-keyopt", "rsa_padding_mode:pss"), ("-md", "sha512")):
        signature = openssl_cms(tool("openssl"), ALONE, tmp_path, *options)
        assert verify(DESCRIPTION, signature, trust).endswith("Ällein")
        assert refused(DESCRIPTION + b" ", signature, trust).code == "signature-invalid"


def test_every_one_of_several_signers_must_be_trusted(
    tmp_path: Path, file: Write, tool: Callable[[str], Path]
) -> None:
    (tmp_path / "second").write_bytes(STRANGER.certificate + STRANGER.key)
    signature = openssl_cms(tool("openssl"), ALONE, tmp_path, "-signer", "second")
    alone, stranger = file(ALONE.certificate), file(STRANGER.certificate)
    both = verify(DESCRIPTION, signature, Trust((alone, stranger), ()))
    assert sorted(both.split("; ")) == ["O = Otakit, CN = stranger", "O = Otakit, CN = Ällein"]
    assert refused(DESCRIPTION, signature, Trust((alone,), ())).code == "signature-invalid"


@pytest.mark.parametrize("party", [LEAF, CURVE], ids=lambda party: party.name)
def test_openssl_cms_accepts_our_signature(party: Party, tmp_path: Path, tool: Callable[[str], Path]) -> None:
    (tmp_path / "content").write_bytes(DESCRIPTION)
    (tmp_path / "signature").write_bytes(party.sign(chain=MIDDLE.certificate))
    (tmp_path / "root").write_bytes(ROOT.certificate + CURVE.certificate)
    command: list[str | Path] = [
        tool("openssl"),
        "cms",
        "-verify",
        "-binary",
        "-inform",
        "DER",
        "-in",
        "signature",
    ]
    command += ["-content", "content", "-CAfile", "root", "-out", "out"]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    assert (tmp_path / "out").read_bytes() == DESCRIPTION


def test_bare_signatures_are_those_of_openssl_dgst(tmp_path: Path, tool: Callable[[str], Path]) -> None:
    (tmp_path / "content").write_bytes(DESCRIPTION)
    (tmp_path / "key").write_bytes(ALONE.key)
    command: list[str | Path] = [
        tool("openssl"),
        "dgst",
        "-sha256",
        "-sign",
        "key",
        "-out",
        "signature",
        "content",
    ]
    subprocess.run(command, cwd=tmp_path, check=True)
    theirs = (tmp_path / "signature").read_bytes()
    assert crypto.sign(DESCRIPTION, ALONE.key) == theirs
    assert crypto.verify(DESCRIPTION, theirs, ALONE.public_key)
    assert not crypto.verify(DESCRIPTION, theirs, STRANGER.public_key)
    assert not crypto.verify(DESCRIPTION, theirs[:-1], ALONE.public_key)


def test_equal_arguments_give_equal_signatures() -> None:
    assert LEAF.sign(chain=MIDDLE.certificate) == LEAF.sign(chain=MIDDLE.certificate)
    assert crypto.sign(DESCRIPTION, LEAF.key) == crypto.sign(DESCRIPTION, LEAF.key)
    assert stated_time(LEAF.sign()) == NOON


def test_a_signing_time_beyond_2049_is_kept(file: Write) -> None:
    late = crypto.cms_sign(DESCRIPTION, ALONE.certificate, ALONE.key, signing_time=2_600_000_000)
    assert b"20520522093320Z"[:8] in late  # GeneralizedTime, RFC 5652 section 11.3
    assert verify(DESCRIPTION, late, Trust((file(ALONE.certificate),), ()))


def locked(form: serialization.PrivateFormat) -> bytes:
    encryption = serialization.BestAvailableEncryption(b"secret")
    return LEAF.private.private_bytes(serialization.Encoding.PEM, form, encryption)


@pytest.mark.parametrize(
    ("key", "words"),
    [
        (locked(serialization.PrivateFormat.PKCS8), "passphrase"),
        (locked(serialization.PrivateFormat.TraditionalOpenSSL), "passphrase"),
        (b"", None),
        (LEAF.key[:500], None),
        (LEAF.public_key, None),
    ],
    ids=["PKCS8", "traditional", "empty", "cut", "public"],
)
def test_a_key_that_cannot_be_used_is_refused_and_nobody_is_asked(key: bytes, words: str | None) -> None:
    ways: list[Callable[[], bytes]] = [
        lambda: crypto.sign(DESCRIPTION, key),
        lambda: crypto.cms_sign(DESCRIPTION, LEAF.certificate, key, signing_time=0),
    ]
    for sign in ways:
        with pytest.raises(TrustError, match=words) as refusal:
            sign()
        assert refusal.value.code == "certificate"


def test_certificate_and_key_must_belong_together() -> None:
    with pytest.raises(TrustError, match=r"does not match|mismatch") as refusal:
        crypto.cms_sign(DESCRIPTION, LEAF.certificate, ALONE.key, signing_time=0)
    assert refusal.value.code == "certificate"


def test_a_chain_that_cannot_be_read_is_refused() -> None:
    with pytest.raises(TrustError) as refusal:
        LEAF.sign(chain=b"no certificate")
    assert refusal.value.code == "certificate"


# What stays behind


def test_errors_of_others_are_not_reported_and_none_are_left_behind() -> None:
    libcrypto = ctypes.CDLL(ctypes.util.find_library("crypto"))
    libcrypto.BIO_new_file(b"/nowhere/at/all", b"r")
    assert libcrypto.ERR_peek_error()
    with pytest.raises(TrustError) as refusal:
        crypto.cms_verify(DESCRIPTION, ALONE.sign()[:-1], ALONE.certificate)
    assert "no such file" not in str(refusal.value).lower()
    assert not libcrypto.ERR_peek_error()
    libcrypto.BIO_new_file(b"/nowhere/at/all", b"r")
    with pytest.raises(TrustError) as refusal:
        crypto.check_certificates(b"")
    assert refusal.value.found == "no start line: Expecting: CERTIFICATE"
    assert not libcrypto.ERR_peek_error()


def allocated() -> int:
    """Bytes that C code holds: uordblks and hblkhd of glibc's mallinfo2(). Not Python's small objects."""

    class Info(ctypes.Structure):
        _fields_ = [(f"field{number}", ctypes.c_size_t) for number in range(10)]

    mallinfo = ctypes.CDLL(None).mallinfo2
    mallinfo.restype = Info
    info = mallinfo()
    return int(info.field7 + info.field4)


def growth(call: Callable[[], object], times: int) -> int:
    """Bytes that each quarter of `times` calls leaves behind: a leak is in all of them, a cache in one."""
    held = []
    for _ in range(5):
        gc.collect()
        held.append(allocated())
        for _ in range(times // 4):
            call()
    return min(after - before for before, after in itertools.pairwise(held))


@pytest.mark.faults
def test_thousands_of_verifications_leak_nothing() -> None:
    signature, root = LEAF.sign(chain=MIDDLE.certificate), ROOT.certificate
    key, public_key = LEAF.key, LEAF.public_key
    bare = crypto.sign(DESCRIPTION, key)
    assert growth(lambda: crypto.cms_verify(DESCRIPTION, signature, root), 2000) < MAX_GROWTH
    assert growth(lambda: crypto.verify(DESCRIPTION, bare, public_key), 300) < MAX_GROWTH
    assert growth(lambda: crypto.verify(b"", bare, public_key), 300) < MAX_GROWTH

    def sign_cms() -> None:
        crypto.cms_sign(DESCRIPTION, LEAF.certificate, key, signing_time=NOON, chain=root)

    assert growth(sign_cms, 300) < MAX_GROWTH
    assert growth(lambda: crypto.sign(DESCRIPTION, key), 300) < MAX_GROWTH


@pytest.mark.faults
def test_hundreds_of_refusals_leak_nothing() -> None:
    signature, root, key = LEAF.sign(chain=MIDDLE.certificate), ROOT.certificate, LEAF.public_key

    def refusals() -> None:
        for call in (
            lambda: crypto.cms_verify(DESCRIPTION + b" ", signature, root),
            lambda: crypto.cms_verify(DESCRIPTION, signature, STRANGER.certificate),
            lambda: crypto.cms_verify(DESCRIPTION, signature[:-9], root),
            lambda: crypto.cms_verify(DESCRIPTION, signature, root + root[:400]),
            lambda: crypto.check_certificates(root + root[:400]),
            lambda: crypto.verify(DESCRIPTION, b"", key[:200]),
            lambda: crypto.cms_sign(DESCRIPTION, root, b"no key", signing_time=0, chain=root),
            lambda: crypto.cms_sign(DESCRIPTION, root, LEAF.key, signing_time=0, chain=root),
            lambda: crypto.cms_sign(DESCRIPTION, root, LEAF.key, signing_time=0, chain=root[:400]),
            lambda: crypto.sign(DESCRIPTION, b"no key"),
        ):
            with pytest.raises(TrustError):
                call()

    assert growth(refusals, 300) < MAX_GROWTH


MAX_GROWTH = 2000  # bytes: less than 30 for each call
