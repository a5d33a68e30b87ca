"""`fmt [PATH…]`: write documents in one form: order of keys, quotes, indentation."""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from stoa_gitops.cli import terminal
from stoa_gitops.cli.exits import Exit
from stoa_gitops.cli.progress import shown
from stoa_gitops.errors import UsageError
from stoa_gitops.foundation.gc_pause import gc_paused
from stoa_gitops.model.counts import counted
from stoa_gitops.operations.format_files import FormattedFile, format_paths

STDIN = "-"


def execute(options: Namespace) -> Exit:
    """Format files, or tell with `--check` and `--diff` what would change."""
    if STDIN in options.paths:
        return _format_stdin(options)
    is_dry = options.check or options.diff
    paths = [Path(path) for path in options.paths] or [Path()]
    # What is made lives as long as the command: collecting would be a tenth of its time.
    with shown("Formatting"), gc_paused():
        files = list(format_paths(paths, is_written=not is_dry))
    if options.output == "json":
        from stoa_gitops.cli.status_text import json_text

        sys.stdout.write(json_text(_document(files)))
    else:
        _print_text(files, options)
    return _exit_code(files, is_dry=is_dry)


def _format_stdin(options: Namespace) -> Exit:
    """Format one file from stdin to stdout, for editors; a broken one is written as it is."""
    from stoa_gitops.catalog.formatting.formatter import format_file

    if options.paths != [STDIN]:
        raise UsageError("- is stdin, and stands alone")
    before = sys.stdin.buffer.read()
    file = FormattedFile(Path("stdin"), before, format_file(before))
    if options.diff:
        sys.stdout.write("".join(_diff(file)))
    elif not options.check:
        sys.stdout.write(file.result.data.decode("utf-8", "surrogateescape"))
    _print_remarks([file])
    return _exit_code([file], is_dry=options.check or options.diff)


def _exit_code(files: list[FormattedFile], *, is_dry: bool) -> Exit:
    if any(file.problem for file in files):
        return Exit.FAILED
    if any(file.result.finding for file in files):
        return Exit.INVALID
    return Exit.CHANGES if is_dry and any(file.has_changed for file in files) else Exit.OK


def _print_text(files: list[FormattedFile], options: Namespace) -> None:
    """Print names of changed files, or their differences, on stdout; the rest on stderr."""
    style = terminal.style()
    changed = [file for file in files if file.has_changed]
    for file in changed:
        if options.diff:
            colours = {"+": "green", "-": "red", "@": "cyan"}
            for line in _diff(file):
                text = style.safe(line.rstrip("\n"))
                print(style.paint(text, *([colours[line[0]]] if line[0] in colours else [])))
        else:
            print(style.safe(str(file.path)))
    _print_remarks(files)
    left = len(files) - len(changed)
    done = "would be formatted" if options.check or options.diff else "formatted"
    summary = f"{counted(len(changed), 'file')} {done}, {left} left as they are"
    print(summary, file=sys.stderr)


def _print_remarks(files: list[FormattedFile]) -> None:
    """Print on stderr what could not be formatted, and why."""
    from stoa_gitops.report.findings import diagnostics_text

    style = terminal.error_style()
    findings = [finding for file in files for finding in file.diagnostics()]
    if findings:
        sys.stderr.write(diagnostics_text(findings, style))
    for file in files:
        reason = file.problem or file.result.reason
        if reason:
            print(style.safe(f"{file.path}: left as it is: {reason}"), file=sys.stderr)


def _diff(file: FormattedFile) -> Iterator[str]:
    import difflib

    name = file.path.as_posix()
    return difflib.unified_diff(
        file.before.decode("utf-8", "replace").splitlines(keepends=True),
        file.result.data.decode("utf-8", "replace").splitlines(keepends=True),
        f"a/{name}",
        f"b/{name}",
    )


def _document(files: list[FormattedFile]) -> dict[str, Any]:
    from stoa_gitops.report.json_output import diagnostic_document

    return {
        "format_version": "1.0",
        "changed": [str(file.path) for file in files if file.has_changed],
        "unchanged": sum(not file.has_changed for file in files),
        "left": [
            {"path": str(file.path), "reason": file.problem or file.result.reason}
            for file in files
            if file.problem or file.result.reason
        ],
        "diagnostics": [
            diagnostic_document(finding) for file in files for finding in file.diagnostics()
        ],
    }
