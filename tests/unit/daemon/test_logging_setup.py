from __future__ import annotations

import json
import logging

from stoa_gitops.daemon.logging_setup import JsonFormatter, TextFormatter
from stoa_gitops.reconcile.log_context import CycleFilter, in_cycle


def record() -> logging.LogRecord:
    made = logging.LogRecord("stoa_gitops.x", logging.INFO, __file__, 1, "%s done", ("it",), None)
    assert CycleFilter().filter(made)
    return made


def test_machines_find_the_cycle_in_a_field_of_its_own() -> None:
    with in_cycle("kong") as number:
        entry = json.loads(JsonFormatter().format(record()))
    assert (entry["message"], entry["cycle"], entry["gateway"]) == ("it done", number, "kong")


def test_people_find_it_before_the_words() -> None:
    with in_cycle("kong") as number:
        line = TextFormatter("%(levelname)s %(message)s").format(record())
    assert line == f"INFO [{number}] it done"
    assert TextFormatter("%(message)s").format(record()) == "it done"


def test_names_of_others_turn_no_line_around_and_move_no_cursor() -> None:
    made = logging.LogRecord(
        "x", logging.INFO, __file__, 1, "Zürich %s", ("\u202e\x9b2J\x1b[1m",), None
    )
    line = JsonFormatter().format(made)
    assert line.isprintable()
    assert "Zürich" in line
    assert json.loads(line)["message"] == "Zürich \u202e\x9b2J\x1b[1m"
    shown = TextFormatter("%(message)s").format(made)
    assert shown == r"Zürich \u202e\u009b2J\u001b[1m"
