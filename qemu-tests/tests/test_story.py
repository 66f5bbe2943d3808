"""What a device goes through in the field, on each emulated board, from its eMMC and through its boot loader.

Whatever the agent does here it does by itself, at boot, unless the test says otherwise.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import emulation
import pytest
from board import Board
from guest import driver
from images import Fault
from product import BOOTS_S, UPDATES_S, Method, Product

pytestmark = [pytest.mark.boards]


@pytest.fixture(params=[pytest.param(name, marks=pytest.mark.board(name)) for name in emulation.NAMES])
def product(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Product]:
    with Product(request.param, tmp_path) as product:
        yield product


def status(board: Board) -> dict[str, object]:
    result = board.run("ota", "status", "--json")
    assert result.status == 0, result
    return result.answer


def print_statistics(what: str, answer: dict[str, object]) -> None:
    print(f"{what}: {json.dumps(answer)}")


def test_a_device_takes_a_delta_then_rdiff_and_goes_back(product: Product) -> None:
    two, three = product.release("2.0.0"), product.release("3.0.0")
    product.publish(product.pack(two))
    with product.power_on() as board:
        board.wait(".*otakit: slot=a ustate=0 .*", BOOTS_S)
        board.wait(".*2.0.0 is installed in slot b", UPDATES_S)
        print(f"installed after {board.up_s:.0f} s")
        product.wait_for_trial(board, "b", "2.0.0")
        print(f"boot, update, reboot, health check, confirm: {board.up_s:.0f} s")
        assert product.digest("b", two.size) == two.digest
        found = status(board)
        print_statistics("2.0.0 by delta", found["last"])  # type: ignore[arg-type]

        product.publish(product.pack(three, Method.RDIFF, base=two))
        result = product.ota(board, "boot", "--no-reboot", "--json")
        assert result.status == 0, result
        print_statistics("3.0.0 by rdiff", result.answer)
        product.restart(board)
        product.wait_for_trial(board, "a", "3.0.0")
        assert product.digest("a", three.size) == three.digest

        result = product.ota(board, "rollback", "--no-reboot")
        assert result.status == 0, result
        product.restart(board)
        product.wait_for_trial(board, "b", "2.0.0")
        found = status(board)
        assert found["boot"]["slot"] == "b"  # type: ignore[index]
        assert product.digest("b", two.size) == two.digest
        print(f"all of it: {board.up_s:.0f} s")


# How each bad release ends: what `ota status` says of it then, and who gave it up.
ENDS = {
    Fault.PANICS: "fell back, it did not start in {limit} tries",
    Fault.HANGS_EARLY: "fell back, it did not start in {limit} tries",
    Fault.HANGS: "fell back, it did not start in {limit} tries",
    Fault.NO_ROOT: "fell back, it did not start in {limit} tries",
    Fault.UNHEALTHY: "rolled back, health-check: ",
}


def test_a_bad_release_ends_in_the_old_system_and_the_next_good_one_is_taken(product: Product) -> None:
    with product.power_on() as board:
        product.wait_for(board, "a")
        limit = status(board)["boot"]["limit"]  # type: ignore[index]
        for number, (fault, end) in enumerate(ENDS.items(), start=1):
            version = f"2.{number}.0"
            product.publish(product.pack(product.release(version, fault)))
            result = product.ota(board, "boot", "--no-reboot", "--json")
            assert result.answer["restart"], result
            product.restart(board)
            began = board.up_s
            for tries in range(1, 2 if fault is Fault.UNHEALTHY else limit + 1):
                board.wait(f".*otakit: slot=b ustate=2 tries={tries}", BOOTS_S)
                if fault is Fault.HANGS_EARLY:  # on a real board its boot loader has armed the watchdog
                    board.wait("otakit-test: hangs", BOOTS_S)
                    board.reset()
            told = f"{version} in slot b: {end.format(limit=limit)}"
            board.wait(".*otakit: slot=a ustate=3 .*", BOOTS_S)
            said_by_old = ".*slot a runs:.*" if fault is Fault.UNHEALTHY else f".*{told}.*"
            board.wait_all(driver.READY, said_by_old, timeout=BOOTS_S)
            board.reconnect()
            print(f"{fault}: back in the old system after {board.up_s - began:.0f} s")
            found = status(board)
            assert found["update"]["told"].startswith(told), found  # type: ignore[index]
            assert found["boot"]["slot"] == "a"  # type: ignore[index]
            again = product.ota(board, "boot", "--no-reboot", "--json")
            assert not again.answer["restart"], "the same bad release is not installed again"
        good = product.release("3.0.0")
        product.publish(product.pack(good))
        product.ota(board, "boot", "--no-reboot")
        product.restart(board)
        product.wait_for_trial(board, "b", "3.0.0")
        assert product.digest("b", good.size) == good.digest
        print(f"all of it: {board.up_s:.0f} s")
