"""Which method is chosen for a base, and what each is refused for."""

from __future__ import annotations

from packager import choice
from packager.choice import Candidate, Reason
from packager.costs import Costs
from packager.limits import Limits
from packager.price import Cpu, Link, Method, Price

ANY = Limits()
MIB = 1 << 20


def candidate(
    method: Method, base: str | None, fetched: int, *, memory: int = MIB, refused: Reason | None = None
) -> Candidate:
    return Candidate("rootfs", base, Price(method, fetched, 1, memory, Cpu.LOW, fetched), refused)


WHOLE = candidate(Method.ZCHUNK, None, 1000)


def chosen(*candidates: Candidate, limits: Limits = ANY) -> dict[str | None, Method]:
    found = choice.choose((WHOLE, *candidates), limits)
    return {of.base: of.price.method for of in found if of.chosen}


def refused(*candidates: Candidate, limits: Limits = ANY) -> dict[tuple[Method, str | None], Reason]:
    found = choice.choose((WHOLE, *candidates), limits)
    return {(of.price.method, of.base): of.refused for of in found if of.refused}


def test_the_fewest_bytes_are_chosen_for_each_base() -> None:
    assert chosen(
        candidate(Method.ZCHUNK, "1", 300),
        candidate(Method.RDIFF, "1", 200),
        candidate(Method.ZCHUNK, "2", 100),
        candidate(Method.RDIFF, "2", 200),
    ) == {None: "zchunk", "1": "rdiff", "2": "zchunk"}


def test_of_equal_bytes_the_one_that_asks_least_is_chosen() -> None:
    equal = [candidate(method, "1", 300) for method in (Method.FULL, Method.RDIFF, Method.ZCHUNK)]
    assert chosen(*equal)["1"] == "zchunk"
    assert chosen(*equal[:2])["1"] == "rdiff"


def test_candidates_stand_base_by_base() -> None:
    found = choice.choose(
        [WHOLE, candidate(Method.ZCHUNK, "1", 3), candidate(Method.ZCHUNK, "2", 3),
         candidate(Method.RDIFF, "1", 2), candidate(Method.FULL, None, 9)],
        ANY,
    )  # fmt: skip
    assert [(of.base, of.price.method.value) for of in found] == [
        (None, "zchunk"), (None, "full"), ("1", "zchunk"), ("1", "rdiff"), ("2", "zchunk"),
    ]  # fmt: skip


def test_a_delta_has_to_beat_what_a_device_fetches_that_holds_nothing() -> None:
    full = [candidate(Method.FULL, base, 500) for base in (None, "1")]
    deltas = [candidate(Method.ZCHUNK, "1", 501), candidate(Method.RDIFF, "1", 700)]
    larger = {(Method.ZCHUNK, "1"): Reason.LARGER, (Method.RDIFF, "1"): Reason.LARGER}
    assert refused(*full, *deltas) == larger
    assert chosen(*full, *deltas) == {None: "full", "1": "full"}
    assert refused(*deltas) == {}  # the whole .zck has 1000 bytes
    assert refused(deltas[0], candidate(Method.RDIFF, "1", 1001)) == {(Method.RDIFF, "1"): Reason.LARGER}


def test_what_devices_have_no_memory_or_space_for_is_refused() -> None:
    deltas = [candidate(Method.ZCHUNK, "1", 300), candidate(Method.RDIFF, "1", 200, memory=9 * MIB)]
    assert refused(*deltas, limits=Limits(memory=8 * MIB)) == {(Method.RDIFF, "1"): Reason.MEMORY}
    assert chosen(*deltas, limits=Limits(memory=8 * MIB))["1"] == "zchunk"
    assert chosen(*deltas, limits=Limits(memory=9 * MIB))["1"] == "rdiff"
    assert refused(*deltas, limits=Limits(has_spare_space=False)) == {(Method.RDIFF, "1"): Reason.SPACE}


def test_zchunk_is_refused_to_nobody_since_it_fits_itself_into_what_there_is() -> None:
    assert chosen(candidate(Method.ZCHUNK, "1", 300), limits=Limits(memory=1))["1"] == "zchunk"


def test_a_base_without_a_delta_is_served_as_if_it_were_none() -> None:
    unknown = candidate(Method.ZCHUNK, "1", 1000, refused=Reason.NO_RECORD)
    assert chosen(unknown) == {None: "zchunk", "1": "zchunk"}
    full = [candidate(Method.FULL, base, 500) for base in (None, "1")]
    assert chosen(unknown, *full) == {None: "full", "1": "full"}
    assert refused(unknown, *full) == {(Method.ZCHUNK, "1"): Reason.NO_RECORD}


def costs(*candidates: Candidate) -> Costs:
    return Costs("gateway", "2.0.0", 50, {"rootfs": 2000}, choice.choose((WHOLE, *candidates), ANY))


def test_a_budget_counts_the_package_and_every_image_of_a_base() -> None:
    found = costs(candidate(Method.ZCHUNK, "1", 300), candidate(Method.RDIFF, "1", 200))
    assert found.downloads() == {"1": 250}
    assert found.refusal(Limits(max_bytes=250)) is None
    refusal = found.refusal(Limits(max_bytes=249))
    assert refusal and refusal.code == "budget-exceeded" and "250 bytes from 1" in str(refusal)


def test_bases_that_are_too_old_do_not_break_a_budget_and_others_without_a_delta_do() -> None:
    for reason in Reason:
        found = costs(candidate(Method.ZCHUNK, "1", 1000, refused=reason))
        assert bool(found.refusal(Limits(max_bytes=100))) == (reason is not Reason.OLD)


def test_a_row_tells_what_a_device_downloads_and_what_share_of_the_image_that_is() -> None:
    row = costs(candidate(Method.ZCHUNK, "1", 300)).to_json(Link(8000, 0.1))["rows"][1]  # type: ignore[index]
    assert row == {
        "image": "rootfs", "base": "1", "method": "zchunk", "fetched_bytes": 300, "requests": 1,
        "package_bytes": 50, "download_bytes": 350, "share": 0.175, "memory_bytes": MIB, "cpu": "low",
        "storage_bytes": 300, "seconds": 0.95, "chosen": True, "refused": None,
    }  # fmt: skip
