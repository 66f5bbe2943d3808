"""Large files in a bucket: parts, what is taken up again, and the sums by which a store is believed."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from ota.errors import OtaError
from ota.interfaces import Event
from packager import publish, store
from packager.store.sums import Held, measure, summed
from packager.tests import outputs
from packager.tests.conftest import PART, Project
from packager.tests.outputs import PACKAGE, ZCK

PREFIX = "gateway/stable"
LARGE = 2 * PART + 5  # bytes: three parts


def key(name: str = ZCK) -> dict[str, str]:
    return {"Bucket": "releases", "Key": f"{PREFIX}/{name}"}


def large(project: Project, seed: int = 1) -> Path:
    return outputs.write(project.folder / f"large-{seed}", zck=LARGE, seed=seed)


def begin(client: Any, data: bytes, parts: tuple[int, ...]) -> str:
    """An upload that ended too early."""
    begun = client.create_multipart_upload(**key(), ChecksumAlgorithm="SHA256")
    for number in parts:
        body = data[(number - 1) * PART : number * PART]
        client.upload_part(**key(), UploadId=begun["UploadId"], PartNumber=number, Body=body)
    return str(begun["UploadId"])


def uploads(client: Any) -> list[str]:
    return [each["UploadId"] for each in client.list_multipart_uploads(Bucket="releases").get("Uploads", ())]


def file_of(answer: Any) -> dict[str, Any]:
    """What is told of the .zck."""
    return next(file for file in answer.json["files"] if file["name"] == ZCK)


def test_a_large_file_goes_in_parts_and_is_proved(project: Project, client: Any) -> None:
    out = large(project)
    told = file_of(project.otapack("publish", out, f"s3://releases/{PREFIX}/"))
    assert (told["parts"], told["resumed_parts"], told["sent_bytes"]) == (3, 0, LARGE)
    assert told["proved_by"] == Held.CHECKSUM
    assert bool(client.get_object(**key())["Body"].read() == (out / "publish" / ZCK).read_bytes())
    assert uploads(client) == []


def test_parts_that_are_there_are_not_sent_again(project: Project, client: Any) -> None:
    out = large(project)
    data = (out / "publish" / ZCK).read_bytes()
    begin(client, data, ())
    begin(client, data, (3, 1))
    begin(client, data, (2,))
    told = file_of(project.otapack("publish", out, f"s3://releases/{PREFIX}"))
    assert (told["parts"], told["resumed_parts"]) == (1, 2)
    assert (told["sent_bytes"], told["skipped_bytes"]) == (PART, PART + 5)
    assert bool(client.get_object(**key())["Body"].read() == data)


def test_parts_of_another_file_are_sent_again(project: Project, client: Any) -> None:
    out = large(project)
    data = bytearray((out / "publish" / ZCK).read_bytes())
    data[PART] ^= 1
    begin(client, bytes(data), (1, 2))
    told = file_of(project.otapack("publish", out, f"s3://releases/{PREFIX}"))
    assert (told["parts"], told["resumed_parts"]) == (2, 1)
    assert bool(client.get_object(**key())["Body"].read() == (out / "publish" / ZCK).read_bytes())


def test_uploads_of_other_files_are_left_alone(project: Project, client: Any) -> None:
    out = large(project)
    other = client.create_multipart_upload(Bucket="releases", Key=f"{PREFIX}/{ZCK}.sig")["UploadId"]
    crc = client.create_multipart_upload(**key(), ChecksumAlgorithm="CRC32")["UploadId"]
    assert project.otapack("publish", out, f"s3://releases/{PREFIX}").status == 0
    assert sorted(uploads(client)) == sorted([other, crc])


def test_abandon_throws_away_what_did_not_end_and_nothing_else(project: Project, client: Any) -> None:
    out = large(project)
    for _ in range(2):
        begin(client, (out / "publish" / ZCK).read_bytes(), (1,))
    other = client.create_multipart_upload(Bucket="releases", Key="elsewhere")["UploadId"]
    answer = project.otapack("publish", out, f"s3://releases/{PREFIX}", "--abandon")
    assert answer.json["abandoned"] == 2
    assert uploads(client) == [other]
    assert "Contents" not in client.list_objects_v2(Bucket="releases")


def test_an_object_that_another_program_put_there_is_told_by_reading(project: Project, client: Any) -> None:
    out = large(project)
    data = (out / "publish" / ZCK).read_bytes()
    client.put_object(**key(), Body=data)  # in one piece: its ETag is none of ours
    told = file_of(project.otapack("publish", out, f"s3://releases/{PREFIX}"))
    assert (told["parts"], told["skipped_bytes"], told["proved_by"]) == (0, LARGE, Held.READ)
    client.put_object(**key(), Body=data[:-1] + b"?")
    assert project.otapack("publish", out, f"s3://releases/{PREFIX}").code == "published-differs"


def test_whoever_is_faster_is_not_overwritten(project: Project, client: Any) -> None:
    """Between the look and the sending, another job may publish."""
    out, place = large(project), store.open(f"s3://releases/{PREFIX}")
    for name, file in ((PACKAGE, out / PACKAGE), (ZCK, out / "publish" / ZCK)):
        client.put_object(**key(name), Body=b"theirs")
        with pytest.raises(OtaError) as refusal:
            place.send(name, file, measure(file), overwrite=False, told=lambda size: None)
        assert refusal.value.code == "published-differs"
        assert place.read(name) == b"theirs"


def test_progress_ends_at_what_there_is(project: Project, client: Any) -> None:
    out, events = large(project), list[Event]()
    begin(client, (out / "publish" / ZCK).read_bytes(), (2,))
    place = store.open(f"s3://releases/{PREFIX}")
    publish.publish(out, place, None, progress=events.append)
    assert [event.done for event in events] == sorted(event.done for event in events)
    assert events[-1].done == events[-1].total == LARGE + 3000


@pytest.mark.parametrize("size", [0, 1, PART - 1, PART, PART + 1, 2 * PART])
def test_sums_are_those_of_the_store(client: Any, tmp_path: Path, size: int) -> None:
    file, place = tmp_path / "file", store.open("s3://releases")
    file.write_bytes(os.urandom(size))
    sums = measure(file)
    assert sum(part.size for part in sums.parts) == sums.size == size
    place.send("file", file, sums, overwrite=False, told=lambda size: None)
    assert client.head_object(Bucket="releases", Key="file")["ETag"].strip('"') == sums.etag
    with file.open("rb") as again:
        assert place.holds("file", summed(again, PART)).is_equal
