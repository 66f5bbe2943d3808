"""Images, keys and releases that the packager's tests build from."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from packager import build, cli, keys, release
from packager.keys import Signer
from packager.tests import examples

IMAGE_SIZE = 3 << 20  # bytes
PART = 64 << 10  # bytes; of uploads to a bucket inside this process

TYPES = {
    "delta": 'type = "delta"\nurl = "https://updates.example.com/gateway/"',
    "rdiff_image": 'type = "rdiff_image"\nbase = "v1.img"\nlevel = 3',
    "raw": 'type = "raw"\nlevel = 3',
}


FindTool = Callable[[str], Path]


@dataclass(frozen=True)
class Answer:
    """How a command of otapack ended."""

    status: int
    json: Mapping[str, Any]
    log: str  # stderr

    @property
    def code(self) -> str | None:
        """The error's code, if it failed."""
        return self.json["error"]["code"] if "error" in self.json else None


@dataclass(frozen=True)
class Project:
    """A vendor's folder: release.toml beside the images v1.img and v2.img, a key, and the output in out/."""

    folder: Path
    signer: Signer
    capture: pytest.CaptureFixture[str]

    def write(self, image: str, head: str = "", *, board: str = "demo", sign: str | None = None) -> Path:
        """Write release.toml; `image` is a type of `TYPES`, or the lines of an `[[image]]`."""
        if sign is None:
            sign = f'[sign]\ncertificate = "{self.signer.certificate}"\nkey = "{self.signer.key}"'
        path = self.folder / "release.toml"
        lines = TYPES.get(image, image)
        path.write_text(
            f'version = "2.0.0"\nname = "gateway"\nboard = "{board}"\n{head}\n{sign}\n'
            f'[[image]]\nname = "rootfs"\nfile = "v2.img"\n{lines}\n'
        )
        return path

    def write_release(self, entries: str, head: str = "") -> Path:
        """Write release.toml; `entries` are whole tables, `head` stands before them."""
        path = self.write("raw", head)
        path.write_text(path.read_text().split("[[image]]")[0] + entries)
        return path

    def build_release(self, entries: str, head: str = "") -> Answer:
        """Write release.toml and build it."""
        return self.otapack("build", self.write_release(entries, head), "-o", self.out)

    def build(self, image: str, head: str = "", **more: str) -> Answer:
        """Write release.toml and build it."""
        return self.otapack("build", self.write(image, head, **more), "-o", self.out)

    def verify(self, *more: str | Path) -> Answer:
        """Verify what was built, with the published files and the base."""
        trust = ("--certificate", self.signer.certificate)
        beside = ("--publish", self.out / "publish", "--base", self.folder / "v1.img")
        return self.otapack("verify", self.package, *trust, *(more or beside))

    def otapack(self, *arguments: str | Path) -> Answer:
        """Run one command in this process, with --json."""
        self.capture.readouterr()
        status = cli.main([*map(str, arguments), "--json"])
        printed = self.capture.readouterr()
        return Answer(status, json.loads(printed.out), printed.err)

    @property
    def out(self) -> Path:
        return self.folder / "out"

    @property
    def package(self) -> Path:
        return self.out / "gateway-2.0.0.swu"

    @property
    def published(self) -> Path:
        return self.out / "publish/rootfs-2.0.0.zck"

    @property
    def v2(self) -> bytes:
        return (self.folder / "v2.img").read_bytes()


@pytest.fixture(scope="session")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with v1.img, and v2.img that has some of it changed, moved, zeroed and new."""
    folder = tmp_path_factory.mktemp("images")
    chance = random.Random(1)
    words = [chance.randbytes(chance.randint(3, 9)) for _ in range(2000)]
    text = b" ".join(chance.choices(words, k=IMAGE_SIZE // 8))
    v1 = (text[: 2 << 20] + bytes(512 << 10) + chance.randbytes(IMAGE_SIZE))[:IMAGE_SIZE]
    v2 = bytearray(v1)
    v2[70_000:70_100] = chance.randbytes(100)
    v2[500_000:560_000] = v1[900_001:960_001]
    v2[1 << 20 : (1 << 20) + 200_000] = bytes(200_000)
    (folder / "v1.img").write_bytes(v1)
    (folder / "v2.img").write_bytes(v2 + b"and a tail")
    return folder


@pytest.fixture(scope="session")
def signer(tmp_path_factory: pytest.TempPathFactory) -> Signer:
    """A development key; making one takes a while."""
    return keys.development(tmp_path_factory.mktemp("keys"))


@pytest.fixture(scope="session")
def earlier(images: Path, signer: Signer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `otapack build` left of version 1.0.0, whose image is v1.img."""
    folder = tmp_path_factory.mktemp("earlier")
    path = folder / "release.toml"
    path.write_text(
        'version = "1.0.0"\nname = "gateway"\nboard = "demo"\n[[image]]\nname = "rootfs"\n'
        f'file = "{images / "v1.img"}"\n{TYPES["delta"]}\n'
    )
    build.build(release.read(path), signer, folder / "out", time=0)
    return folder / "out"


@pytest.fixture
def project(tmp_path: Path, images: Path, signer: Signer, capsys: pytest.CaptureFixture[str]) -> Project:
    """A folder where nothing was built yet."""
    for name in ("v1.img", "v2.img"):
        (tmp_path / name).symlink_to(images / name)
    examples.write_files(tmp_path)
    return Project(tmp_path, signer, capsys)


@pytest.fixture(scope="module")
def _s3() -> Iterator[Any]:
    """A client of an S3 server inside this process."""
    import boto3
    from moto import mock_aws

    with mock_aws(), pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        patch.setattr("packager.store.sums.PART", PART)
        patch.setattr("moto.s3.models.S3_UPLOAD_PART_MIN_SIZE", PART)
        yield boto3.client("s3")


# boto3 makes its classes at run time: there is no type to name.
@pytest.fixture
def client(_s3: Any) -> Any:
    """The same, where there is nothing but a bucket `releases`."""
    from moto.core.models import DEFAULT_ACCOUNT_ID
    from moto.s3.models import s3_backends

    s3_backends[DEFAULT_ACCOUNT_ID]["aws"].reset()
    _s3.create_bucket(Bucket="releases")
    return _s3
