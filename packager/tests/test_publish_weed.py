"""otapack publish to a real object store over a line: killed, cut, refused. The .zck here have 67 MB."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest

from ota.tests.link import Link
from ota.tests.stores import BUCKET, KEY_ID, SECRET, Weed, make_certificates
from packager.store.sums import PART, Held
from packager.tests import outputs
from packager.tests.outputs import DELTA, PACKAGE, ZCK

pytestmark = pytest.mark.build

PARTS = 8
ZCK_SIZE = PARTS * PART - 1000  # bytes
RATE = 100e6  # bit/s to the store: five seconds for it all


@pytest.fixture(scope="module")
def weed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Weed]:
    with Weed(tmp_path_factory.mktemp("weed") / "weed") as running:
        yield running


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a build left."""
    return outputs.write(tmp_path_factory.mktemp("out") / "out", zck=ZCK_SIZE)


@dataclass(frozen=True)
class Vendor:
    """Publishes `out` under a prefix of its own, by a program, over a line."""

    weed: Weed
    out: Path
    prefix: str

    def start(self, port: int, *more: str, **environment: str) -> subprocess.Popen[str]:
        known = {
            "AWS_ACCESS_KEY_ID": KEY_ID,
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_CA_BUNDLE": str(self.weed.ca),
            "AWS_ENDPOINT_URL": f"https://localhost:{port}",
            "AWS_MAX_ATTEMPTS": "1",
        }
        command: list[str | Path] = [
            sys.executable,
            "-m",
            "packager.cli",
            "publish",
            self.out,
            self.target,
            "--json",
        ]
        return subprocess.Popen(
            [*command, *more],
            env={**os.environ, **known, **environment},
            cwd=Path(__file__).parents[2],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def publish(self, port: int, *more: str, **environment: str) -> Mapping[str, Any]:
        """Run it to its end."""
        process = self.start(port, *more, **environment)
        printed, log = process.communicate(timeout=120)
        answer: dict[str, Any] = json.loads(printed)
        return {**answer, "status": process.returncode, "log": log}

    @property
    def target(self) -> str:
        return f"s3://{BUCKET}/{self.prefix}"

    @property
    def client(self) -> Any:
        """Of the store, past the line."""
        return boto3.client(
            "s3",
            endpoint_url=f"https://localhost:{self.weed.port}",
            aws_access_key_id=KEY_ID,
            aws_secret_access_key=SECRET,
            region_name="us-east-1",
            verify=str(self.weed.ca),
        )

    def parts(self) -> dict[int, str]:
        """ETags of what the store has of uploads that did not end."""
        client, found = self.client, dict[int, str]()
        for upload in client.list_multipart_uploads(Bucket=BUCKET, Prefix=self.prefix).get("Uploads", ()):
            listed = client.list_parts(Bucket=BUCKET, Key=upload["Key"], UploadId=upload["UploadId"])
            found |= {part["PartNumber"]: part["ETag"] for part in listed.get("Parts", ())}
        return found

    def wait_for_parts(self, count: int) -> None:
        deadline = time.monotonic() + 60
        while len(self.parts()) < count:
            assert time.monotonic() < deadline
            time.sleep(0.05)

    def is_published(self) -> bool:
        bodies = [
            (self.client.get_object(Bucket=BUCKET, Key=f"{self.prefix}/{path.name}")["Body"].read(), path)
            for path in (*(self.out / "publish").iterdir(), self.out / PACKAGE)
        ]
        return all(body == path.read_bytes() for body, path in bodies)

    def names(self) -> list[str]:
        listed = self.client.list_objects_v2(Bucket=BUCKET, Prefix=f"{self.prefix}/")
        return [found["Key"].removeprefix(f"{self.prefix}/") for found in listed.get("Contents", ())]


@pytest.fixture
def vendor(weed: Weed, out: Path, request: pytest.FixtureRequest) -> Vendor:
    return Vendor(weed, out, request.node.name.replace("[", "-").replace("]", ""))


def zck(answer: Mapping[str, Any]) -> dict[str, Any]:
    return next(file for file in answer["files"] if file["name"] == ZCK)


def test_the_store_proves_every_byte_by_its_own_sha256(vendor: Vendor) -> None:
    answer = vendor.publish(vendor.weed.port)
    assert answer["status"] == 0, answer["log"]
    assert {file["proved_by"] for file in answer["files"]} == {Held.CHECKSUM}
    assert (zck(answer)["parts"], answer["parts"]) == (PARTS, PARTS + 2)
    assert bool(vendor.is_published())
    again = vendor.publish(vendor.weed.port, "--verify", "read")
    assert again["parts"] == 0 and {file["proved_by"] for file in again["files"]} == {Held.READ}


@pytest.mark.parametrize("kill_after", [1, 3])
def test_a_killed_upload_goes_on_and_sends_no_part_again_that_is_there(
    vendor: Vendor, kill_after: int
) -> None:
    with Link(vendor.weed.port, up=RATE) as link:
        process = vendor.start(link.port)
        vendor.wait_for_parts(kill_after)
        process.send_signal(signal.SIGKILL)
        process.communicate()
    assert process.returncode == -signal.SIGKILL
    there = vendor.parts()
    assert kill_after <= len(there) < PARTS  # it was killed in the middle
    assert vendor.names() == [DELTA]
    with Link(vendor.weed.port) as link:
        answer = vendor.publish(link.port)
        went = link.counts().up
    assert answer["status"] == 0, answer["log"]
    told = zck(answer)
    # What was on the line when the program died may have arrived since.
    assert len(there) <= told["resumed_parts"] == PARTS - told["parts"]
    assert told["sent_bytes"] + told["skipped_bytes"] == ZCK_SIZE
    assert told["sent_bytes"] < went < told["sent_bytes"] * 1.02 + 50_000  # TLS, HTTP, the small files
    assert bool(vendor.is_published())
    assert vendor.parts() == {}


def test_a_line_that_is_cut_is_an_error_and_what_arrived_is_not_sent_again(vendor: Vendor) -> None:
    link = Link(vendor.weed.port, up=RATE)
    process = vendor.start(link.port)
    vendor.wait_for_parts(2)
    link.close()
    printed, _ = process.communicate(timeout=120)
    assert process.returncode == 5
    assert json.loads(printed)["error"]["code"] in ("connect", "transfer")
    there = vendor.parts()
    assert 2 <= len(there) < PARTS
    assert zck(vendor.publish(vendor.weed.port))["resumed_parts"] >= len(there)
    assert bool(vendor.is_published())


def test_ctrl_c_leaves_what_arrived_and_abandon_throws_it_away(vendor: Vendor) -> None:
    with Link(vendor.weed.port, up=RATE) as link:
        process = vendor.start(link.port)
        vendor.wait_for_parts(1)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=120)
        assert process.returncode == 130
    assert vendor.parts()
    assert vendor.publish(vendor.weed.port, "--abandon")["abandoned"] == 1
    assert vendor.parts() == {} and ZCK not in vendor.names()


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({"AWS_SECRET_ACCESS_KEY": "another-secret"}, "SignatureDoesNotMatch"),
        ({"AWS_ACCESS_KEY_ID": "nobody"}, "InvalidAccessKeyId"),
    ],
)
def test_a_bucket_that_refuses_is_told(vendor: Vendor, environment: Mapping[str, str], said: str) -> None:
    refused = vendor.publish(vendor.weed.port, **environment)
    assert (refused["status"], refused["error"]["code"]) == (5, "store-refused")
    assert said in refused["error"]["found"] or "403" in refused["error"]["found"]
    assert vendor.names() == []


def test_a_certificate_that_nobody_trusts_is_told(vendor: Vendor, tmp_path: Path) -> None:
    refused = vendor.publish(vendor.weed.port, AWS_CA_BUNDLE=str(make_certificates(tmp_path)))
    assert (refused["status"], refused["error"]["code"]) == (5, "tls")


def test_another_release_of_the_same_version_is_refused(vendor: Vendor, tmp_path: Path) -> None:
    assert vendor.publish(vendor.weed.port)["status"] == 0
    other = Vendor(vendor.weed, outputs.write(tmp_path / "out", zck=ZCK_SIZE, seed=2), vendor.prefix)
    refused = other.publish(vendor.weed.port)
    assert refused["error"]["code"] == "published-differs"
    assert bool(vendor.is_published())
    assert other.publish(vendor.weed.port, "--overwrite")["status"] == 0
    assert bool(other.is_published())
