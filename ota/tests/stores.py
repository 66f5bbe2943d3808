"""Real object stores for tests: SeaweedFS and moto, spoken to by boto3, as a vendor would.

What they answer to a device (SeaweedFS 4.48, moto 5.2.5; measured):

    asked for                    SeaweedFS                      moto
    one range                    206                            206, and the connection ends
    several ranges               200, the whole object          200, the whole object
    a range, wrong If-Range      206 all the same               206 all the same
    a range, wrong If-Match      412                            412
    a range behind the end       416                            416
    pre-signed, expired          403 AccessDenied               200: it does not check
    pre-signed, forged           403 SignatureDoesNotMatch      200: it does not check
    not signed                   403 AccessDenied               403
    no such object               404                            404
    HEAD, signed for GET         403                            200

An If-Range that does not hold ought to bring a 200 (RFC 9110 §13.1.5): neither can be trusted to say that an
object was replaced. Only its length, its ETag and the digests of its chunks tell.
"""

from __future__ import annotations

import json
import ssl
import subprocess
import sysconfig
import threading
import time
from pathlib import Path
from typing import Any, Final, Self

import boto3
import botocore.client
import botocore.exceptions
import trustme
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import WSGIRequestHandler, make_server

from ota.tests.server import ATTEMPTS, free_ports

BUCKET: Final = "updates"
KEY_ID: Final = "vendor"
SECRET: Final = "for-tests-only"  # longer than eight characters, or boto3 refuses it

WEED: Final = Path(sysconfig.get_path("scripts")) / "weed"

_PORTS: Final = (
    "s3.port",
    "s3.port.grpc",
    "filer.port",
    "filer.port.grpc",
    "master.port",
    "master.port.grpc",
    "volume.port",
    "volume.port.grpc",
)

_IDENTITIES: Final = {
    "identities": [
        {
            "name": "vendor",
            "credentials": [{"accessKey": KEY_ID, "secretKey": SECRET}],
            "actions": ["Admin", "Read", "List", "Write"],
        }
    ]
}


class Store:
    """One bucket of a server that speaks S3 over TLS on loopback.

    Args:
        ca: certificates that sign the server's.
    """

    def __init__(self, port: int, ca: Path) -> None:
        self._port = port
        self._ca = ca
        self._client = self._connect(port)

    def put(self, path: Path) -> None:
        """Upload a file under its name."""
        with path.open("rb") as file:
            self._client.put_object(Bucket=BUCKET, Key=path.name, Body=file)

    def url(self, key: str, port: int | None = None) -> str:
        """Where an object lies; it takes a signature to get it.

        Args:
            port: of a link to this store.
        """
        return f"https://localhost:{port or self._port}/{BUCKET}/{key}"

    def presign(self, key: str, expires_s: int = 3600, port: int | None = None) -> str:
        """A URL that whoever knows it may GET for a while. It is signed with host and port."""
        client = self._connect(port) if port else self._client
        where = {"Bucket": BUCKET, "Key": key}
        return str(client.generate_presigned_url("get_object", Params=where, ExpiresIn=expires_s))

    def make_bucket(self) -> bool:
        """False while nobody answers."""
        try:
            self._client.create_bucket(Bucket=BUCKET)
        except botocore.exceptions.ConnectionError:
            return False
        return True

    # boto3 makes its classes at run time: there is no type to name.
    def _connect(self, port: int) -> Any:
        style = {"addressing_style": "path"}
        return boto3.client(
            "s3",
            endpoint_url=f"https://localhost:{port}",
            aws_access_key_id=KEY_ID,
            aws_secret_access_key=SECRET,
            region_name="us-east-1",
            verify=str(self._ca),
            config=botocore.client.Config(
                signature_version="s3v4",
                s3=style,
                retries={"total_max_attempts": 1},
            ),
        )


class Weed:
    """SeaweedFS: master, volumes, filer and S3 gateway in one process, until closed.

    Args:
        folder: for its own files.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        (folder / "data").mkdir(parents=True)
        (folder / "s3.json").write_text(json.dumps(_IDENTITIES))
        self.ca = make_certificates(folder)
        for _ in range(ATTEMPTS):
            self._ports = free_ports(len(_PORTS))
            self.port = self._ports[0]
            self.store = Store(self.port, self.ca)
            self._process = self._start()
            if self._is_up():
                return
            self.close()
        raise RuntimeError((folder / "log").read_text())

    def close(self) -> None:
        self._process.kill()  # it takes 15 s to end in good order
        self._process.wait()
        for port in self._ports:
            for left_over in Path("/tmp").glob(f"seaweedfs-*-{port}.sock"):  # where it puts them, always
                left_over.unlink()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _start(self) -> subprocess.Popen[bytes]:
        options: dict[str, str | int | Path] = {
            **dict(zip(_PORTS, self._ports, strict=True)),
            "s3.port.iceberg": 0,
            "s3.port.lance": 0,
            "ip": "127.0.0.1",
            "ip.bind": "127.0.0.1",
            "dir": self._folder / "data",
            "s3": "true",
            "s3.config": self._folder / "s3.json",
            "s3.cert.file": self._folder / "server.pem",
            "s3.key.file": self._folder / "server.key",
            "master.telemetry": "false",
            "master.volumeSizeLimitMB": 1024,
            "volume.max": 100,  # a bucket takes seven, and its own records as many
        }
        words = [f"-{name}={value}" for name, value in options.items()]
        with (self._folder / "log").open("wb") as log:
            return subprocess.Popen(
                [WEED, "-logtostderr", "server", *words], stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )

    def _is_up(self) -> bool:
        """Wait until it has a bucket, or has ended."""
        while self._process.poll() is None:
            if self.store.make_bucket():
                return True
            time.sleep(0.1)
        return False


class Moto:
    """moto's S3, in a thread of this process, until closed; each answer ends its connection.

    Args:
        folder: for its own files.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True)
        self.ca = make_certificates(folder)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(folder / "server.pem", folder / "server.key")
        application = DomainDispatcherApplication(create_backend_app)
        self._server = make_server(
            "127.0.0.1", 0, application, threaded=True, request_handler=_Silent, ssl_context=context
        )
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()
        self.port = self._server.server_port
        self.store = Store(self.port, self.ca)
        self.store.make_bucket()

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class _Silent(WSGIRequestHandler):
    def log(self, *_: object) -> None:
        """It would go to the test's stderr."""


def make_certificates(folder: Path) -> Path:
    """server.pem and server.key for localhost, and who signs them: the path returned."""
    authority = trustme.CA()
    leaf = authority.issue_cert("localhost")
    leaf.cert_chain_pems[0].write_to_path(folder / "server.pem")
    leaf.private_key_pem.write_to_path(folder / "server.key")
    authority.cert_pem.write_to_path(folder / "tls-ca.pem")
    return folder / "tls-ca.pem"
