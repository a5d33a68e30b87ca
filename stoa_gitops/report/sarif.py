"""Findings as SARIF 2.1.0 (OASIS), for code scanning."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from typing import Final

from stoa_gitops.model.diagnostics import Diagnostic, Severity
from stoa_gitops.report.finding_text import finding_with_hint, repository_path

_SCHEMA: Final = (
    "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
)
_ROOT: Final = "%SRCROOT%"

_PLACEHOLDER: Final = re.compile(r"\{([0-9]+)\}")
_LINK: Final = re.compile(r"\[(?=[^\[\]]*\]\()")

_FAMILIES: Final = {
    "yaml": ("The file is not readable YAML.", "Correct the syntax at the place shown."),
    "schema": (
        "The document does not fit the schema of its kind.",
        (
            "`stoa-gitops schema KIND` prints what is allowed; unknown keys are errors because a "
            "policy that is silently ignored is an open door."
        ),
    ),
    "file": (
        "The file cannot be part of the catalog.",
        "Correct or remove the file; what is no catalog document belongs elsewhere.",
    ),
    "document": (
        "The document is not one that belongs in its place.",
        "Correct `apiVersion` and `kind`, or move it to the folder of its kind.",
    ),
    "name": (
        "A name does not fit.",
        "A document is named as its folder or file is; correct one of the two.",
    ),
    "variable": (
        "A variable has no value.",
        "Set it in `environments/<env>.yaml`, or give a default: `${NAME:-default}`.",
    ),
    "reference": (
        "The document names something that the catalog does not have.",
        "Add what is missing, or correct the name.",
    ),
    "limit": ("A limit is exceeded.", "Raise the limit where it is set, or split what exceeds it."),
    "secret": (
        "A secret must not stand in the catalog.",
        (
            "Write a reference such as `{env: NAME}` or `{file: path}`, and replace the secret: it "
            "is in the history of the repository now."
        ),
    ),
}
_OTHER: Final = (
    "A rule of the catalog is not kept.",
    "The message names what is wrong; `stoa-gitops validate` shows the line and what to do.",
)


def diagnostics_sarif(
    findings: Sequence[Diagnostic], *, version: str = "", prefix: str = ""
) -> str:
    """Return one log with one run, ending with a newline.

    version of this program, where the caller wants it named
    prefix  the catalog's folder in its repository: locations are relative to the repository's root
    """
    ordered = sorted(findings, key=lambda finding: finding.order)
    codes = sorted({finding.code for finding in ordered})
    driver: dict[str, object] = {"name": "stoa-gitops", "rules": [_rule(c, ordered) for c in codes]}
    if version:
        driver["version"] = version
    log = {
        "$schema": _SCHEMA,
        "version": "2.1.0",
        "runs": [
            {
                "tool": {"driver": driver},
                # Ours count code points; the default of the standard is UTF-16 code units.
                "columnKind": "unicodeCodePoints",
                "originalUriBaseIds": {
                    _ROOT: {"description": {"text": "The root of the repository."}}
                },
                "results": [_result(finding, codes, prefix) for finding in ordered],
            }
        ],
    }
    return json.dumps(log, indent=2, sort_keys=True) + "\n"


def _rule(code: str, findings: Sequence[Diagnostic]) -> dict[str, object]:
    family = code.partition(".")[0].rstrip("s")
    short, text = _FAMILIES.get(family, _OTHER)
    level = (
        "error"
        if any(f.severity is Severity.ERROR for f in findings if f.code == code)
        else "warning"
    )
    more = f"More: `stoa-gitops explain {code}`."
    return {
        "id": code,
        "shortDescription": {"text": short},
        "help": {"text": f"{text} {more}", "markdown": f"{text} {more}"},
        "defaultConfiguration": {"level": level},
    }


def _result(finding: Diagnostic, codes: list[str], prefix: str) -> dict[str, object]:
    path = repository_path(finding.source.path, prefix)
    return {
        "ruleId": finding.code,
        "ruleIndex": codes.index(finding.code),
        "level": finding.severity.value,
        "message": {"text": _message(finding_with_hint(finding))},
        "locations": [
            {
                "physicalLocation": {
                    "artifactLocation": {"uri": _uri(path), "uriBaseId": _ROOT},
                    "region": {
                        "startLine": finding.source.line,
                        "startColumn": finding.source.column,
                        "endColumn": finding.source.column + max(finding.width, 1),
                    },
                }
            }
        ],
        "partialFingerprints": {"stoaGitopsFinding/v1": _fingerprint(finding, path)},
    }


def _message(text: str) -> str:
    """Escape what reads as a placeholder (`{0}`) or as a link (`[text](target)`)."""
    # SARIF 2.1.0 §3.11.5 doubles every brace, but viewers show both: only those that would read as
    # a placeholder are doubled. §3.11.6 escapes brackets by a backslash.
    return _LINK.sub(r"\\[", _PLACEHOLDER.sub(r"{{\1}}", text))


def _uri(path: str) -> str:
    """Percent-encode a relative path (RFC 3986 §4.2: a colon in it would read as a scheme)."""
    from urllib.parse import quote

    return quote(path, safe="/", errors="surrogatepass")


def _fingerprint(finding: Diagnostic, path: str) -> str:
    """Return a hash that stays when lines move: of rule, file, field and message."""
    text = f"{finding.code}\0{path}\0{finding.pointer}\0{finding.message}"
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]
