"""Claims whose paths have parameters: found as by comparing all with all."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from stoa_gitops.adapters.kong.entities.entity import NodeInfo, Options
from stoa_gitops.adapters.kong.mapping.route_order import router_of
from stoa_gitops.model.keys import API, Key
from stoa_gitops.model.path_parameters import literal_stem, places_met
from stoa_gitops.model.place_index import Claim, PlaceIndex
from stoa_gitops.model.routing import SEGMENTS, Router
from tests.laws import examples

KONG = router_of(NodeInfo((3, 9, 1), frozenset(), options=Options(paths="parameters")))

paths = st.lists(st.sampled_from(("a", "b", "{x}")), max_size=4).map(
    lambda parts: "/" + "/".join(part.replace("x", f"x{n}") for n, part in enumerate(parts))
)
claims = st.lists(st.tuples(paths, st.booleans(), st.sampled_from(("acme", "globex"))), max_size=8)


def _claims(router: Router, found: list[tuple[str, bool, str]]) -> list[Claim]:
    return [
        Claim(
            owner,
            Key(API, owner, f"a{number}"),
            router.read({"path": path, "methods": [], "hosts": []}),
            is_live=is_live,
            label=f"{number}",
        )
        for number, (path, is_live, owner) in enumerate(found)
    ]


@given(st.sampled_from((SEGMENTS, KONG)), claims, st.integers(0, 7), st.integers(0, 7))
@examples(400)
def test_the_index_finds_what_comparing_all_finds(
    router: Router, found: list[tuple[str, bool, str]], early: int, gone: int
) -> None:
    made = _claims(router, found)
    index = PlaceIndex(router)
    kept = made[:gone] + made[gone + 1 :]
    for number, claim in enumerate(made):
        index.add(claim)
        if number == early:  # asked before all are there, as a plan does
            for taker in made[: number + 1]:
                set(index.victims(taker))
    for claim in made[gone : gone + 1]:
        index.remove(claim)
    for taker in kept:
        others = [one for one in kept if one.owner != taker.owner]
        robbed = {one for one in others if router.takes(taker.pattern, one.pattern)}
        told = set(index.victims(taker))
        assert told <= robbed
        # One stands for several that are alike but for a path without parameters.
        assert {_sort(one) for one in robbed} == {_sort(one) for one in told}
        takers = {
            one for one in others if not one.is_live and router.takes(one.pattern, taker.pattern)
        }
        assert takers <= set(index.takers(taker))


def _sort(claim: Claim) -> tuple[str, bool]:
    return claim.owner, claim.is_live


def test_a_parameter_reaches_into_the_places_that_it_may_stand_for() -> None:
    granted, tenants = {"/pay": "acme", "/pay/out": "acme", "/": "globex"}, ("acme", "globex")

    def met(path: str) -> list[str]:
        return list(places_met(path, granted, tenants))

    everybody = ["/apis/acme", "/apis/globex"]
    assert met("/apis/{}") == met("/apis/{}/orders") == everybody
    assert met("/{}/{}") == ["/pay", "/pay/out", *everybody]
    assert met("/{}/acme") == ["/pay", "/apis/acme"]
    assert met("/{}") == ["/pay"]
    assert met("/pay/{}") == ["/pay/out"]
    assert met("/apis/acme/{}") == met("/x/{}/out") == met("/apis") == []


def test_the_stem_is_what_no_parameter_is_in() -> None:
    assert literal_stem("/a/{}/b") == "/a"
    assert literal_stem("/{}/b") == "/"
    assert literal_stem("/a/b") == "/a/b"
