"""Adds to a listing of a commit the files that its symbolic links lead to."""

from __future__ import annotations

import posixpath
from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping

from stoa_gitops.catalog.sources.base import ROOTS, is_wanted
from stoa_gitops.catalog.sources.git.objects import Entry, Listing, add_file, is_hidden, submodule
from stoa_gitops.catalog.sources.links import LOOPS, NOWHERE, LinkRefused, Links, link_problem

ListTop = Callable[[str], Iterable[Entry]]
"""Returns all entries below one file or folder at the top of the catalog."""

ReadTexts = Callable[[Iterable[Entry]], Mapping[str, bytes]]
"""Returns the texts of links, by blob id."""


class TreeLinks:
    """Follows the links of one commit; what lies beside the catalog's folders is listed late."""

    def __init__(self, list_top: ListTop, read_texts: ReadTexts) -> None:
        self._list_top, self._read_texts = list_top, read_texts
        self._entries: dict[str, Entry] = {}
        self._texts: dict[str, str] = {}
        self._tops: set[str] = set()
        self._ordered: list[str] = []
        self._links = Links(self._read_link)

    def add_linked(self, listing: Listing, entries: Iterable[Entry]) -> None:
        """Add what the links of a listing lead to, or their problems; `entries` are all of it."""
        self._tops.update(ROOTS)
        self._keep(entries)
        # Links at the top first: they say which folder is that of the tenants.
        for link in sorted(listing.links, key=lambda entry: (entry.path.count("/"), entry.path)):
            self._add_link(listing, link.path, link.path, ())

    def _load(self, top: str) -> None:
        if top in self._tops:
            return
        self._tops.add(top)
        self._keep(self._list_top(top))

    def _keep(self, entries: Iterable[Entry]) -> None:
        found = {entry.path: entry for entry in entries}
        self._entries.update(found)
        self._ordered = sorted(self._entries)
        links = [entry for entry in found.values() if entry.is_link]
        if links:
            texts = self._read_texts(links)
            for entry in links:
                self._texts[entry.path] = texts[entry.blob].decode("utf-8", "surrogateescape")

    def _read_link(self, path: str) -> str | None:
        self._load(path.split("/", 1)[0])
        return self._texts.get(path)

    def _add_link(self, listing: Listing, place: str, shown: str, above: tuple[str, ...]) -> None:
        """Add what the link at `place` leads to, by the path `shown` by which it was reached."""
        try:
            goal = self._links.follow(place, shown)
            self._load(goal.split("/", 1)[0])
            self._add_goal(listing, goal, shown, (*above, *_folders_around(place)))
        except LinkRefused as refused:
            listing.problems.append(link_problem(shown, str(refused)))

    def _add_goal(self, listing: Listing, goal: str, shown: str, above: tuple[str, ...]) -> None:
        entry = self._entries.get(goal)
        if entry is not None:
            if entry.is_submodule:
                listing.problems.append(submodule(shown))
            elif is_wanted(shown.rsplit("/", 1)[-1]):
                self._links.count(shown)
                add_file(listing, shown, entry)
            return
        below = self._below(goal)
        if not below:
            raise LinkRefused(NOWHERE)
        if goal in above:
            raise LinkRefused(LOOPS)
        for path in below:
            inside = path[len(goal) + 1 :]
            if is_hidden(inside):
                continue
            if self._entries[path].is_link:
                self._add_link(listing, path, f"{shown}/{inside}", (*above, goal))
            elif is_wanted(inside.rsplit("/", 1)[-1]):
                self._links.count(shown)
                add_file(listing, f"{shown}/{inside}", self._entries[path])

    def _below(self, folder: str) -> list[str]:
        first = bisect_left(self._ordered, f"{folder}/")
        last = bisect_left(self._ordered, f"{folder}0")  # "0" follows "/" in ASCII
        return self._ordered[first:last]


def _folders_around(path: str) -> list[str]:
    found = []
    while path := posixpath.dirname(path):
        found.append(path)
    return found
