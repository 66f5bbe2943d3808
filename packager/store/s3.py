"""Objects under a prefix of an S3 bucket, through boto3.

Endpoint, region, credentials, proxy, certificates, timeouts and retries are boto3's own matter: its variables
(`AWS_ENDPOINT_URL`, `AWS_ACCESS_KEY_ID`, `AWS_CA_BUNDLE`, ...) and files hold here as everywhere.
"""

from __future__ import annotations

import re
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from ota.errors import ConfigError, NetworkError
from packager.store import multipart, sums
from packager.store.sums import Held, Sent, Sums

try:
    import boto3
    from botocore import exceptions
    from botocore.config import Config
except ImportError as missing:
    raise ConfigError(
        "tool-missing", "s3:// needs boto3, which is not installed", hint="pip install 'otakit[s3]'"
    ) from missing

# Amazon S3 user guide, "Bucket naming rules"; other stores allow no more.
_TARGET: Final = re.compile(r"s3://([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])(?:/([^?#]*))?")

_HINTS: Final = {
    "NoSuchBucket": "make the bucket first",
    "AccessDenied": "these credentials need s3:ListBucket, s3:GetObject and s3:PutObject there",
    "403": "these credentials need s3:ListBucket, s3:GetObject and s3:PutObject there",
    "NoSuchUpload": "somebody else ended this upload; run it again",
    "NotImplemented": "this store does not know conditional writes; --overwrite does without",
}


def connect(target: str) -> Bucket:
    """A bucket and prefix, given as `s3://BUCKET/PREFIX`; nothing is asked of the server yet.

    Raises:
        ConfigError: "config-value".
    """
    match = _TARGET.fullmatch(target)
    if match is None:
        raise ConfigError(
            "config-value", "the store's name is wrong", expected="s3://BUCKET/PREFIX", found=repr(target)
        )
    with _refusing(target, "boto3's configuration"):
        # By default boto3 sends and expects checksums that not every store knows: only those asked for here.
        config = Config(
            request_checksum_calculation="when_required", response_checksum_validation="when_required"
        )
        client = boto3.client("s3", config=config)
    return Bucket(target, match[1], (match[2] or "").strip("/"), client)


class Bucket:
    """Objects whose keys begin with a prefix."""

    # boto3 makes its classes at run time: there is no type to name.
    def __init__(self, target: str, bucket: str, prefix: str, client: Any) -> None:
        self.target = target
        self._bucket = bucket
        self._prefix = f"{prefix}/" if prefix else ""
        self._client = client

    def names(self, prefix: str = "") -> list[str]:
        with _refusing(self.target, "list"):
            pages = self._client.get_paginator("list_objects_v2").paginate(
                Bucket=self._bucket, Prefix=self._prefix + prefix
            )
            keys = [found["Key"] for page in pages for found in page.get("Contents", ())]
        return sorted(key.removeprefix(self._prefix) for key in keys)

    def read(self, name: str) -> bytes | None:
        with _refusing(self.target, f"read {name}"):
            try:
                return bytes(self._client.get_object(**self._object(name))["Body"].read())
            except exceptions.ClientError as error:
                if _code(error) in ("NoSuchKey", "404"):
                    return None
                raise

    def write(self, name: str, data: bytes) -> None:
        with _refusing(self.target, f"write {name}"):
            self._client.put_object(**self._object(name), Body=data)

    def remove(self, name: str) -> None:
        with _refusing(self.target, f"remove {name}"):
            self._client.delete_object(**self._object(name))

    def holds(self, name: str, wanted: Sums, *, by_reading: bool = False) -> Held:
        with _refusing(self.target, f"look at {name}"):
            try:
                head = self._client.head_object(**self._object(name), ChecksumMode="ENABLED")
            except exceptions.ClientError as error:
                if _code(error) in ("NoSuchKey", "404"):
                    return Held.ABSENT
                raise
            judged = wanted.judge(head["ContentLength"], head.get("ChecksumSHA256"), head.get("ETag"))
            if judged is Held.DIFFERENT or (judged and not by_reading):
                return judged
            body = self._client.get_object(**self._object(name))["Body"]
            return Held.READ if sums.summed(body, sums.part_size(wanted.size)) == wanted else Held.DIFFERENT

    def send(
        self, name: str, file: Path, wanted: Sums, *, overwrite: bool, told: Callable[[int], None]
    ) -> Sent:
        condition = {} if overwrite else {"IfNoneMatch": "*"}
        with _refusing(self.target, f"send {name}"):
            try:
                return multipart.send(self._client, self._object(name), file, wanted, condition, told)
            except exceptions.ClientError as error:
                if _code(error) == "PreconditionFailed":
                    raise ConfigError(
                        "published-differs", f"{self.target} got a file {name} meanwhile"
                    ) from error
                raise

    def abandon(self, name: str) -> int:
        with _refusing(self.target, f"abandon {name}"):
            return multipart.abandon(self._client, self._object(name))

    def _object(self, name: str) -> dict[str, str]:
        return {"Bucket": self._bucket, "Key": self._prefix + name}


@contextmanager
def _refusing(target: str, what: str) -> Iterator[None]:
    """Turn what boto3 raises into a refusal that names the store."""
    try:
        yield
    except exceptions.ClientError as error:
        answer = error.response
        status = answer.get("ResponseMetadata", {}).get("HTTPStatusCode", "no status")
        raise NetworkError(
            "store-refused",
            f"{target}: the store refused to {what}",
            found=f"{status} {_code(error)}: {answer.get('Error', {}).get('Message', '')}",
            hint=_HINTS.get(_code(error)),
        ) from error
    except exceptions.SSLError as error:
        if _is_of_certificate(error):
            hint = "AWS_CA_BUNDLE names other authorities"
            raise NetworkError("tls", f"{target}: {error}", hint=hint) from error
        raise _broken_off(target, what, error) from error
    except exceptions.ConnectionError as error:
        raise NetworkError("connect", f"{target}: {error}") from error
    except (exceptions.HTTPClientError, exceptions.IncompleteReadError) as error:
        raise _broken_off(target, what, error) from error
    except (exceptions.BotoCoreError, ValueError) as error:
        raise ConfigError("config-value", f"{target}: boto3 cannot {what}: {error}") from error


def _broken_off(target: str, what: str, error: Exception) -> NetworkError:
    hint = "run it again: what was sent stays"
    return NetworkError("transfer", f"{target}: {what} broke off: {error}", hint=hint)


def _is_of_certificate(error: BaseException | None) -> bool:
    """TLS that is cut is an SSLError too."""
    while error is not None and not isinstance(error, ssl.SSLCertVerificationError):
        error = error.__cause__ or error.__context__
    return error is not None


def _code(error: exceptions.ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))
