"""Flags and their variables: checked alike, never abbreviated, and a slip names what is near."""

from __future__ import annotations

from argparse import SUPPRESS
from collections.abc import Mapping
from pathlib import Path

import pytest

from stoa_gitops.cli.exits import Exit
from stoa_gitops.cli.flags import name_of
from stoa_gitops.cli.main import main
from stoa_gitops.cli.parser import build, subcommands

NONE: Mapping[str, str] = {}


def refusal(
    capsys: pytest.CaptureFixture[str], *arguments: str, environment: Mapping[str, str] = NONE
) -> str:
    """What a refused command line says last."""
    with pytest.raises(SystemExit) as ended:
        build(environment).parse_args(arguments)
    assert ended.value.code == Exit.USAGE
    return capsys.readouterr().err.splitlines()[-1]


@pytest.mark.parametrize(
    ("variable", "value", "command"),
    [
        ("STOA_GITOPS_OUTPUT", "jsonn", "validate"),
        ("STOA_GITOPS_OUTPUT", "sarif", "plan"),
        ("STOA_GITOPS_OUTPUT", "JSON", "status"),
        ("STOA_GITOPS_STRICT", "maybe", "validate"),
        ("STOA_GITOPS_YES", "2", "apply"),
        ("STOA_GITOPS_NAMES", "apis", "completion"),
    ],
)
def test_a_value_that_its_flag_would_refuse_is_refused_with_the_name_of_the_variable(
    variable: str, value: str, command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    said = refusal(capsys, command, environment={variable: value})
    assert f"{variable}: " in said
    assert value in said


def test_a_variable_of_another_command_is_not_checked() -> None:
    options = build({"STOA_GITOPS_STRICT": "maybe"}).parse_args(["plan"])
    assert options.output == "text"


@pytest.mark.parametrize("value", ["true", "1", "yes", "ON"])
def test_a_switch_is_turned_on_by_its_variable(value: str) -> None:
    assert build({"STOA_GITOPS_STRICT": value}).parse_args(["validate"]).strict is True


@pytest.mark.parametrize("value", ["false", "0", "no", "Off"])
def test_a_switch_is_left_off_by_its_variable(value: str) -> None:
    assert build({"STOA_GITOPS_STRICT": value}).parse_args(["validate"]).strict is False


def test_a_flag_wins_over_its_variable_and_leaves_its_value_unchecked() -> None:
    parser = build({"STOA_GITOPS_OUTPUT": "jsonn", "STOA_GITOPS_GATEWAY": "a, b,"})
    options = parser.parse_args(["plan", "--output", "json", "--gateway", "c", "--gateway", "d"])
    assert (options.output, options.gateway) == ("json", ["c", "d"])
    assert options.variables == {}
    assert parser.parse_args(["plan", "--output=json"]).gateway == ["a", "b"]


def test_what_is_found_wrong_later_is_named_as_it_was_given() -> None:
    options = build({"STOA_GITOPS_POLL": "x"}).parse_args(["run", "--control-listen", "y"])
    assert name_of(options, "poll") == "STOA_GITOPS_POLL"
    assert name_of(options, "control_listen") == "--control-listen"


def test_a_name_that_the_catalog_has_not_is_said_to_come_from_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("STOA_GITOPS_CATALOG", str(tmp_path / "nowhere"))
    assert main(["validate"]) == Exit.FAILED
    assert "the environment sets STOA_GITOPS_CATALOG" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("plan", "--cat", "x"), "unknown flag --cat; did you mean --catalog?"),
        (("plan", "--outptu=json"), "unknown flag --outptu; did you mean --output?"),
        (("validate", "--stric"), "unknown flag --stric; did you mean --strict?"),
        (("gateways", "prune", "x", "--form", "y"), "unknown flag --form; did you mean --from?"),
        (("--versoin",), "unknown flag --versoin; did you mean --version?"),
        (("--catalog", "x", "plan"), "it goes behind the command: stoa-gitops COMMAND --catalog"),
        (("validat",), "invalid choice: 'validat'; did you mean validate?"),
        (("gateways", "supsend", "x"), "'supsend'; did you mean suspend?"),
        (("plan", "--output", "jsno"), "'jsno'; did you mean json?"),
        (("completion", "bsah"), "'bsah'; did you mean bash?"),
    ],
)
def test_a_slip_is_refused_with_what_was_probably_meant(
    arguments: tuple[str, ...], expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert expected in refusal(capsys, *arguments)


def test_a_kind_that_does_not_exist_is_refused_with_the_nearest(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["schema", "polcy"]) == Exit.USAGE
    assert "did you mean Policy?" in capsys.readouterr().err


@pytest.mark.parametrize("parser", list(subcommands(build(NONE))), ids=lambda p: p.prog)
def test_no_flag_may_be_abbreviated_and_help_says_every_default(parser) -> None:  # type: ignore[no-untyped-def]
    assert not parser.allow_abbrev
    for action in parser._actions:
        if isinstance(action.default, str) and SUPPRESS not in (action.default, action.help):
            shown = "current folder" if action.default == "." else action.default
            assert f"(default: {shown})" in action.help


def test_help_names_the_variable_of_a_default_and_not_its_value() -> None:
    variables = {"STOA_GITOPS_CATALOG": "https://u:pa55w0rd@git.example/c"}
    parser = build(variables).children["validate"]
    text = " ".join(parser.format_help().split())
    assert "(default: of STOA_GITOPS_CATALOG)" in text
    assert "pa55w0rd" not in text
