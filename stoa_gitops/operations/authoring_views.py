"""What commands for those who write a catalog print as JSON, as pydantic models.

They are the source of schemas; the commands write these documents without them, because pydantic
costs about 0.1 s of start.
"""

from __future__ import annotations

from typing import Any, Literal

from stoa_gitops.operations.output_views import Count, DiagnosticView, Document, Text


class InitView(Document):
    """A new catalog."""

    format_version: Literal["1.0"]
    """MAJOR.MINOR; a minor version adds, a major one breaks."""
    folder: Text
    """The folder of the catalog, as it was given."""
    name: Text
    """Name of the catalog."""
    tenant: Text
    """Name of the first tenant."""
    api: Text
    """Name of its first API."""
    repository: bool
    """Whether the folder was made a Git repository."""
    written: list[Text]
    """Files that were written."""
    kept: list[Text]
    """Files that were there already, and are as they were."""
    serve: list[Text]
    """Commands that serve the catalog."""
    call: list[Text]
    """Commands that call its first API while it is served."""


class ExplainedFieldView(Document):
    """One field below the one that is explained."""

    name: Text
    """Its name, dotted where it is not directly below."""
    type: Text
    required: bool
    default: Any
    """null where there is none."""
    description: str


class ExplainedSupportView(Document):
    """Whether one gateway type has what a field needs."""

    capability: Text
    """Name of the capability."""
    gateway: Text
    """Title of the gateway type."""
    types: list[Text]
    """Its names in documents."""
    support: Literal["yes", "depends", "no"]
    """depends: the running gateway decides, and is asked before a plan is made."""
    reason: str
    """What it does instead, or on what it depends; may be empty."""


class FieldExplanationView(Document):
    """A kind, a policy type, the options of a gateway type, or a field of these."""

    format_version: Literal["1.0"]
    name: Text
    """The whole dotted name."""
    type: Text
    """The type in words."""
    required: bool
    default: Any
    """null where there is none."""
    description: str
    constraints: list[Text]
    """What a value must keep to, beside its type."""
    example: Any
    """A value that the field takes."""
    place: str | None
    """The file in a catalog; null for what stands in other documents."""
    fields: list[ExplainedFieldView]
    gateways: list[ExplainedSupportView]
    """Empty where every gateway type has it."""


class ExampleBlockView(Document):
    """A file of an example, or commands of a shell."""

    path: str | None
    """Path in a catalog; null for commands."""
    text: Text


class FindingExplanationView(Document):
    """A code of a finding."""

    format_version: Literal["1.0"]
    code: Text
    meaning: Text
    example: list[ExampleBlockView]
    """Files of a catalog that is otherwise valid; empty where no file makes the finding."""
    fix: Text
    """What to do about it."""
    fixed: list[ExampleBlockView]
    """The files as they should be; may be empty."""


class ExplanationView(Document):
    """What `explain` says of its topics, in their order."""

    format_version: Literal["1.0"]
    """MAJOR.MINOR; a minor version adds, a major one breaks."""
    explanations: list[FieldExplanationView | FindingExplanationView]


class LeftFileView(Document):
    """A file that was left as it is."""

    path: Text
    reason: Text


class FormatView(Document):
    """What `fmt` did, or with `--check` or `--diff` would do."""

    format_version: Literal["1.0"]
    """MAJOR.MINOR; a minor version adds, a major one breaks."""
    changed: list[Text]
    """Files whose text is another one now."""
    unchanged: Count
    """Other files with documents."""
    left: list[LeftFileView]
    """Files that could not be read, written or formatted."""
    diagnostics: list[DiagnosticView]
    """Why files are no YAML; they are left as they are."""


class KeptFieldView(Document):
    """A field that a person changed after an earlier import, and that the document changed, too."""

    field: Text
    """Dotted, items of lists by what names them: `spec.policies[api_key].config.name`."""
    yours: Any
    """What stands there; null where nothing does."""
    imported: Any
    """What the document has; null where it has nothing."""


class NotExpressedView(Document):
    """A part of a document that an API document does not say."""

    what: Text
    field: str
    value: str
    effect: Text
    """What happens instead."""


class ImportedView(Document):
    """What became of one document."""

    source: Text
    """The file or URL, as it was given; without user and query."""
    outcome: Literal["created", "updated", "unchanged", "refused"]
    api: str | None
    """Key of what was written, an API or an application; null where nothing was."""
    title: str
    """Title of the document."""
    files: list[Text]
    """Its files in the catalog, whether they differ or not."""
    reason: str
    """Why it is refused, with file, line and column; empty otherwise."""
    kept: list[KeptFieldView]
    not_expressed: list[NotExpressedView]


class ImportView(Document):
    """What `import` did."""

    format_version: Literal["1.0"]
    """MAJOR.MINOR; a minor version adds, a major one breaks."""
    written: list[Text]
    """Files that were written, because they are new or differ."""
    dry_run: bool
    """Nothing was written, because only a report was asked for."""
    imports: list[ImportedView]
    not_expressed: list[NotExpressedView]
    """Parts of the file that belong to nothing that was written."""
    gone: list[Text]
    """Files of an earlier import that this one has no longer; they stay."""
