"""The product's own programs around a build."""

from __future__ import annotations

import pytest

from packager.tests.conftest import Project

HOOKS = """\
[hooks]
before = [["sh", "-c", "env | grep OTAPACK_ | sort > before"], ["sh", "-c", "test ! -e out"]]
after = [
    ["sh", "-c", "env | grep OTAPACK_ | sort > after"],
    ["sh", "-c", "cmp $OTAPACK_PACKAGE $OTAPACK_STAGE/*.swu && test ! -e out/*.swu"],
]
"""


def test_hooks_are_told_what_is_built_and_run_before_anything_appears(project: Project) -> None:
    assert project.build("raw", HOOKS).status == 0
    told = {
        when: dict(line.split("=", 1) for line in (project.folder / when).read_text().splitlines())
        for when in ("before", "after")
    }
    expected = {
        "OTAPACK_NAME": "gateway",
        "OTAPACK_VERSION": "2.0.0",
        "OTAPACK_RELEASE": str(project.folder / "release.toml"),
        "OTAPACK_FOLDER": str(project.out),
    }
    assert told["before"] == expected
    stage = told["after"]["OTAPACK_STAGE"]
    package = {"OTAPACK_STAGE": stage, "OTAPACK_PACKAGE": f"{stage}/gateway-2.0.0.swu"}
    assert told["after"] == expected | package


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize(
    ("command", "code", "word"),
    [
        ('["sh", "-c", "exit 3"]', "hook-failed", "found 3"),
        ('["sh", "-c", "kill -9 $$"]', "hook-failed", "signal 9"),
        ('["no-such-program"]', "tool-missing", "no-such-program"),
    ],
)
def test_a_hook_that_fails_fails_the_build_and_nothing_appears(
    project: Project, when: str, command: str, code: str, word: str
) -> None:
    answer = project.build("raw", f"[hooks]\n{when} = [{command}]")
    assert (answer.status, answer.code) == (6, code)
    assert word in answer.log
    assert not project.out.exists() or not list(project.out.iterdir())


@pytest.mark.parametrize("value", ['["sh"]', '"sh"', "[[]]", "[[1]]"])
def test_what_is_no_list_of_commands_is_refused(project: Project, value: str) -> None:
    assert project.build("raw", f"[hooks]\nbefore = {value}").code == "config-value"
