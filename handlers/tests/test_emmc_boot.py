from __future__ import annotations

from pathlib import Path

import pytest

from handlers.tests.packages import entry, install
from ota.errors import DeviceError
from ota.io import emmc
from ota.tests.world import World

USER = emmc.starting(0x40, emmc.USER_AREA)
ZERO = emmc.starting(0x40, emmc.BOOT_0)
ONE = emmc.starting(0x40, emmc.BOOT_1)


class Register:
    """PARTITION_CONFIG of the only eMMC there is; ota/tests/test_emmc.py has how it is asked."""

    value = ZERO

    def config(self, device: Path) -> int:
        if device != Path("/dev/mmcblk0"):
            raise DeviceError("emmc-register", f"{device} is none")
        return self.value

    def set_config(self, device: Path, value: int) -> None:
        self.config(device)
        self.value = value


@pytest.fixture
def register(monkeypatch: pytest.MonkeyPatch) -> Register:
    register = Register()
    monkeypatch.setattr(emmc, "config", register.config)
    monkeypatch.setattr(emmc, "set_config", register.set_config)
    return register


def boot(device: str) -> str:
    return entry("emmc_boot", Path(device))


TOGGLE = entry("emmc_boot_toggle", Path("/dev/mmcblk0"))


@pytest.mark.parametrize("before", [ZERO, ONE, USER, 0])
def test_the_named_boot_partition_is_started_from(world: World, register: Register, before: int) -> None:
    register.value = before
    assert install(world, scripts=boot("/dev/mmcblk0boot1")).status == 0
    assert register.value == emmc.starting(before, emmc.BOOT_1)
    assert install(world, scripts=boot("/dev/mmcblk0boot0")).status == 0
    assert register.value == emmc.starting(before, emmc.BOOT_0)


def test_the_other_boot_partition_is_started_from(world: World, register: Register) -> None:
    assert install(world, scripts=TOGGLE).status == 0
    assert register.value == ONE
    assert install(world, scripts=TOGGLE).status == 0
    assert register.value == ZERO


def test_an_emmc_that_starts_from_its_user_area_is_left_alone(
    world: World, register: Register, caplog: pytest.LogCaptureFixture
) -> None:
    register.value = USER
    assert install(world, scripts=TOGGLE).status == 0
    assert "user area" in caplog.text
    assert register.value == USER


def test_where_none_is_enabled_there_is_no_other(world: World, register: Register) -> None:
    register.value = 0
    untouched = world.untouched()
    assert install(world, scripts=TOGGLE).code == "emmc-register"
    assert untouched()


@pytest.mark.parametrize("first", [TOGGLE, boot("/dev/mmcblk0boot1")], ids=["toggle", "boot"])
def test_the_register_is_as_before_where_the_update_fails_after_all(
    world: World, register: Register, first: str
) -> None:
    wrong = entry("readback", world.slot_b, {"sha256": "0" * 64})
    assert install(world, scripts=f"{first}, {wrong}").code == "result-mismatch"
    assert register.value == ZERO
    assert install(world, scripts=f"{wrong}, {first}").code == "result-mismatch"
    assert register.value == ZERO


@pytest.mark.parametrize("device", ["/dev/mmcblk0", "/dev/mmcblk0boot2", "/dev/mmcblk0boot", "boot1"])
def test_what_names_no_boot_partition_is_refused(world: World, register: Register, device: str) -> None:
    untouched = world.untouched()
    assert install(world, scripts=boot(device)).code == "description-content"
    assert untouched()


def test_what_is_no_emmc_is_refused_before_anything_is_written(world: World) -> None:
    untouched = world.untouched()
    assert install(world, scripts=boot("/dev/nullboot1")).code == "emmc-register"
    assert install(world, scripts=entry("emmc_boot_toggle", Path("/dev/null"))).code == "emmc-register"
    assert untouched()
