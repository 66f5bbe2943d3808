"""The report as a text: what it says, what it says is missing, and that names stay names."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ota.errors import ConfigError
from packager import cli, report
from packager.report import costs, size, treemap

SAMPLE = Path(__file__).parent / "data" / "report.json"


@pytest.fixture
def sample() -> Any:
    return json.loads(SAMPLE.read_text())


class Page(HTMLParser):
    """Tags, and text by the section that it stands in."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: dict[str, str] = {}
        self._section = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag == "section":
            self._section = dict(attrs)["id"] or ""

    def handle_data(self, data: str) -> None:
        self.text[self._section] = self.text.get(self._section, "") + data


def test_every_section_shows_what_the_build_found_out(sample: Any) -> None:
    text = Page(report.render(sample)).text
    for section, words in {
        "changed": ["rootfs", "2.0.0", "3.0.0", "537 MB", sample["earlier"]["rootfs"][1]["sha256"]],
        "cost": ["from 2.0.0", "a device with nothing", "8.5 MB", "manifest missing", "7.2 s", "35.4 %"],
        "bytes": ["/opt/gateway/app.bin", "5.2 MB", "inode tables", "23 others"],
        "lint": ["hash-seed", "costs 132 kB", "gzip -n9 FILE", "and 16 others", "cannot be measured"],
        "packages": ["237 packages", "25 upgraded", "openssl", "3.0.20-1~deb12u2", "jq"],
        "again": ["1767225600", "2026-01-01 00:00 UTC", "4f1c0de2b9a7", "1.5.7", sample["sha256"]],
    }.items():
        for word in words:
            assert word in text[section], (section, word)


def test_a_section_without_data_says_so() -> None:
    text = Page(report.render({"version": "1"})).text
    for section in ("changed", "cost", "bytes", "lint", "packages", "again"):
        assert "not in report.json" in text[section], section


def test_a_report_of_a_build_without_any_of_the_new_parts_has_a_page(sample: Any) -> None:
    for key in ("earlier", "estimate", "diff", "lint", "sbom", "build"):
        del sample[key]
    assert "gateway-3.0.0.swu" in Page(report.render(sample)).text["again"]


def test_the_same_report_gives_the_same_page(sample: Any) -> None:
    assert bool(report.render(sample) == report.render(json.loads(json.dumps(sample))))


def test_the_page_needs_nothing_beside_itself(sample: Any) -> None:
    page = Page(report.render(sample))
    urls = [
        value
        for _, attributes in page.tags
        for name, value in attributes.items()
        if name in ("src", "href", "srcset", "action", "data", "poster") and value
    ]
    assert [url for url in urls if not url.startswith(("#", "data:"))] == []
    style = (Path(report.__file__).parent / "page" / "report.css").read_text()
    assert "url(" not in style and "@import" not in style


HOSTILE = "<i>{{ 7 * 7 }}</i> ' \" & </script></title></section><script>alert(1)</script> \u2028 -->"


def test_a_name_never_becomes_markup(sample: Any) -> None:
    """Nor a path, a version, a finding: each text of the report in turn would show as one tag more."""

    def spoil(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: spoil(each) for key, each in value.items()}
        if isinstance(value, list):
            return [spoil(each) for each in value]
        return (
            value + HOSTILE if isinstance(value, str) and value not in ("full", "zchunk", "rdiff") else value
        )

    bad = spoil(sample)
    bad["artifacts"][0]["name"] = "rootfs"  # by which others are found
    clean, spoiled = Page(report.render(sample)), Page(report.render(bad))
    assert [tag for tag, _ in spoiled.tags] == [tag for tag, _ in clean.tags]
    for section in ("changed", "cost", "bytes", "lint", "packages", "again"):
        assert HOSTILE in spoiled.text[section], section


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        (["version"], 3, "version"),
        (["size"], -1, "size"),
        (["estimate", "rows", 0, "download_bytes"], "much", "estimate/rows/0/download_bytes"),
        (["estimate", "rows", 0, "method"], "magic", "estimate/rows/0/method"),
        (["diff", "rootfs", "tree", "children", 0, "bytes"], None, "diff/rootfs/tree/children/0/bytes"),
        (["sbom", "rootfs", "since"], [], "sbom/rootfs/since"),
    ],
)
def test_a_wrong_value_is_refused_by_its_place(
    sample: Any, path: list[Any], value: object, said: str
) -> None:
    inner = sample
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    with pytest.raises(ConfigError, match=said) as refused:
        report.render(sample)
    assert refused.value.code == "report-format"


@pytest.mark.parametrize(
    ("text", "code"), [("{", "report-format"), ("[]", "report-format"), (None, "file-missing")]
)
def test_what_is_no_report_leaves_no_page(text: str | None, code: str, tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    if text is not None:
        path.write_text(text)
    out = tmp_path / "out" / "report.html"
    assert cli.main(["report", str(path), "-o", str(out)]) == 6
    assert not out.exists()
    with pytest.raises(ConfigError) as refused:
        report.read(path)
    assert refused.value.code == code


def test_otapack_report_writes_the_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "new" / "report.html"
    assert cli.main(["report", str(SAMPLE), "-o", str(out), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"report": str(out), "size": out.stat().st_size}
    assert [path.name for path in out.parent.iterdir()] == ["report.html"]


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 bytes"), (999, "999 bytes"), (1000, "1.0 kB"), (10_500_000, "10.5 MB"), (99_960_000, "100 MB"),
     (536_870_912, "537 MB"), (999_600_000, "1.0 GB"), (5 * 10**18, "5.0 EB"), (5 * 10**21, "5000 EB")],
)  # fmt: skip
def test_sizes_have_three_digits(count: int, text: str) -> None:
    assert size(count) == text


@given(st.integers(0, 10**15))
def test_the_axis_has_few_round_ticks_and_room_for_the_longest_bar(most: int) -> None:
    ticks = costs.scale(most)
    assert ticks[0] == 0 and ticks[-1] >= most and 2 <= len(ticks) <= 7
    assert str(ticks[1]).rstrip("0") in ("1", "2", "5")
    assert {after - before for before, after in pairwise(ticks)} == {ticks[1]}


def tree(*children: Any, name: str = "") -> Any:
    return {"name": name, "bytes": sum(child["bytes"] for child in children), "children": list(children)}


def test_a_pruned_tree_has_the_same_bytes_and_says_how_many_are_put_together() -> None:
    files = [{"name": f"f{number}", "bytes": 10} for number in range(200)]
    pruned: Any = treemap.prune(tree({"name": "big", "bytes": 10_000_000}, tree(*files, name="d")))
    assert [child["name"] for child in pruned["children"]] == ["big", "1 smaller"]
    assert sum(child["bytes"] for child in pruned["children"]) == pruned["bytes"] == 10_002_000
    many: Any = treemap.prune(tree(*files))
    assert (len(many["children"]), many["children"][-1]["name"]) == (61, "140 smaller")
    assert sum(child["bytes"] for child in many["children"]) == 2000


def test_leaves_say_what_became_of_them_even_below_folders_that_are_one() -> None:
    leaf = {"name": "c", "bytes": 5, "change": "added"}
    whole = tree(tree(tree(leaf, name="b"), name="a"), {"name": "journal", "bytes": 1, "change": "metadata"})
    assert treemap.prune(whole)["children"] == [
        {"name": "a/b", "bytes": 5, "children": [{"name": "c", "bytes": 5, "change": "added"}]},
        {"name": "journal", "bytes": 1, "change": "metadata"},
    ]


def test_a_name_that_is_no_text_has_a_place_on_the_page(sample: Any) -> None:
    name = b"/opt/\xff".decode(errors="surrogateescape")
    sample["diff"]["rootfs"]["owners"][0]["path"] = name
    page = report.render(json.loads(json.dumps(sample)))
    assert b"/opt/\\udcff" in page.encode()
