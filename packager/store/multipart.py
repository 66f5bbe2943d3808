"""Sending a large object to S3 in parts, several at once; an attempt that was cut is taken up again.

Nothing is noted here: the store itself knows the uploads that did not end, and the parts it got of each
(ListMultipartUploads, ListParts). A part that has the right size and md5 is not sent again. Nobody sees
any of it until all parts are there and the store is told to put them together.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any, Final

from packager.store.sums import Part, Sent, Sums, encoded

WORKERS: Final = 4  # parts on their way at once; each is held in memory


# Clients of boto3 are made at run time: there is no type to name.
def send(
    client: Any,
    where: Mapping[str, str],
    file: Path,
    sums: Sums,
    condition: Mapping[str, str],
    told: Callable[[int], None],
) -> Sent:
    """Send a file; one part goes without ceremony.

    Args:
        where: Bucket and Key.
        condition: under which the object may appear, as an argument of boto3.
        told: is called with the bytes of each part that is there.

    Raises:
        botocore.exceptions.BotoCoreError, ClientError: what is still missing stays so.
    """
    if len(sums.parts) == 1:
        (part,) = sums.parts
        client.put_object(**where, **condition, **_body(file, part), ContentType=_TYPE)
        told(part.size)
        return Sent(sent_bytes=part.size, parts=1)
    upload, there = _unfinished(client, where, sums)
    if upload is None:
        begun = client.create_multipart_upload(**where, ContentType=_TYPE, ChecksumAlgorithm="SHA256")
        upload = str(begun["UploadId"])
    missing = [part for part in sums.parts if part not in there]
    for part in there:
        told(part.size)
    etags = {**there, **_send_parts(client, {**where, "UploadId": upload}, file, missing, told)}
    parts = [
        {"PartNumber": part.number, "ETag": etags[part], "ChecksumSHA256": encoded(part.sha256)}
        for part in sums.parts
    ]
    client.complete_multipart_upload(**where, UploadId=upload, MultipartUpload={"Parts": parts}, **condition)
    return Sent(
        sent_bytes=sum(part.size for part in missing),
        skipped_bytes=sum(part.size for part in there),
        parts=len(missing),
        resumed_parts=len(there),
    )


def abandon(client: Any, where: Mapping[str, str]) -> int:
    """End all uploads of an object that did not; how many there were."""
    uploads = list(_uploads(client, where))
    for upload in uploads:
        client.abort_multipart_upload(**where, UploadId=upload)
    return len(uploads)


_TYPE: Final = "application/octet-stream"


def _send_parts(
    client: Any, where: Mapping[str, str], file: Path, parts: list[Part], told: Callable[[int], None]
) -> dict[Part, str]:
    """Send parts; the ETag of each."""

    def one(part: Part) -> tuple[Part, str]:
        return part, client.upload_part(**where, PartNumber=part.number, **_body(file, part))["ETag"]

    etags = {}
    with ThreadPoolExecutor(WORKERS) as pool:
        try:
            for done in as_completed([pool.submit(one, part) for part in parts]):
                part, etags[part] = done.result()
                told(part.size)
        except BaseException:  # Ctrl-C too: what is under way ends, and nothing else begins
            pool.shutdown(cancel_futures=True)
            raise
    return etags


def _body(file: Path, part: Part) -> dict[str, object]:
    """The bytes of a part, and the sum by which a store can tell whether it got them."""
    with file.open("rb") as opened:
        data = os.pread(opened.fileno(), part.size, part.start)
    return {"Body": data, "ChecksumSHA256": encoded(part.sha256)}


def _unfinished(client: Any, where: Mapping[str, str], sums: Sums) -> tuple[str | None, dict[Part, str]]:
    """The upload of this object that has the most of its parts, and these with their ETags."""
    found: list[tuple[str | None, dict[Part, str]]] = [(None, {})]
    for upload in _uploads(client, where):
        pages = client.get_paginator("list_parts").paginate(**where, UploadId=upload)
        kept = {part["PartNumber"]: part for page in pages for part in page.get("Parts", ())}
        there = [part for part in sums.parts if part.number in kept and _is(part, kept[part.number])]
        found.append((upload, {part: kept[part.number]["ETag"] for part in there}))
    return max(reversed(found), key=lambda each: len(each[1]))


def _is(part: Part, kept: Mapping[str, object]) -> bool:
    """Whether a store got this part, as far as it tells: not every one keeps a sha256, or md5 as ETag."""
    sums = (kept.get("ChecksumSHA256"), str(kept["ETag"]).strip('"'))
    return kept["Size"] == part.size and (encoded(part.sha256) in sums or part.md5.hex() in sums)


def _uploads(client: Any, where: Mapping[str, str]) -> Iterator[str]:
    """The uploads of an object that began as `send` begins them, or of which the store does not tell."""
    pages = client.get_paginator("list_multipart_uploads").paginate(
        Bucket=where["Bucket"], Prefix=where["Key"]
    )
    for page in pages:
        for upload in page.get("Uploads", ()):
            if upload["Key"] == where["Key"] and upload.get("ChecksumAlgorithm", "SHA256") == "SHA256":
                yield str(upload["UploadId"])
