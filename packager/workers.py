"""Who builds releases side by side: processes of this machine, or a Dask cluster. Both are executors.

A cluster's workers have to see the same files under the same paths. One that is started here listens on
loopback only, asks for a certificate that is made for it alone, and has no dashboard.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator
from concurrent.futures import BrokenExecutor, CancelledError, Executor, ProcessPoolExecutor
from contextlib import ExitStack, contextmanager
from typing import Final

from ota.errors import ConfigError, NetworkError

LOCAL: Final = "local"
"""In place of a scheduler's address: a cluster on this machine, for the time of the call."""

CONNECT_TIMEOUT: Final = 30  # seconds


@contextmanager
def processes(count: int) -> Iterator[Executor]:
    """That many processes."""
    # Not forked: this process has threads, and a lock that one of them holds would stay locked in the copy.
    with ProcessPoolExecutor(count, multiprocessing.get_context("spawn")) as pool:
        yield pool


@contextmanager
def dask(address: str, count: int) -> Iterator[Executor]:
    """The cluster whose scheduler has that address, or a `LOCAL` one of so many workers.

    Raises:
        ConfigError: "tool-missing".
        NetworkError: "connect".
    """
    try:
        from distributed import Client, LocalCluster
    except ImportError as error:
        raise ConfigError(
            "tool-missing",
            "--dask needs distributed, which is not installed",
            hint="pip install 'otakit[dask]'",
        ) from error
    with ExitStack() as stack:
        cluster: object = address
        if address == LOCAL:
            cluster = LocalCluster(
                n_workers=count, threads_per_worker=1, host="127.0.0.1", dashboard_address=None,
                security=True, memory_limit=0,  # a build keeps its own bounds
            )  # fmt: skip
            stack.enter_context(cluster)
        try:
            client = stack.enter_context(Client(cluster, timeout=CONNECT_TIMEOUT))
        except (OSError, ValueError) as error:
            raise NetworkError(
                "connect", f"the Dask scheduler {address}", found=str(error) or type(error).__name__
            ) from error
        # Not pure: a build that was asked for twice is done twice, since files may have changed.
        yield stack.enter_context(client.get_executor(pure=False))


def is_lost(error: BaseException) -> bool:
    """Whether the worker, not the work, came to an end."""
    of_cluster = type(error).__module__.partition(".")[0] == "distributed"  # KilledWorker and the like
    return of_cluster or isinstance(error, BrokenExecutor | CancelledError)
