"""The jobs of docs/ci.md: their steps run against a real repository, with a stand-in for the forge
only.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from shlex import quote
from typing import Any

import pytest
from ruamel.yaml import YAML

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "ci.md").read_text()
STEPS = {
    "github": {"Validate", "Findings for code scanning", "Plan", "Comment"},
    "gitlab": {"validate", "plan"},
}


def workflow(heading: str) -> dict[str, Any]:
    """The YAML block below a heading."""
    section = TEXT.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    (block,) = re.findall(r"```yaml\n(.*?)```", section, re.DOTALL)
    return YAML(typ="safe").load(block)


GITHUB = workflow("GitHub Actions")
GITLAB = workflow("GitLab")


def github_step(job: str, name: str) -> dict[str, Any]:
    (step,) = [step for step in GITHUB["jobs"][job]["steps"] if step.get("name") == name]
    return step


class Repository:
    """The example catalog with a main branch, and a topic branch merged into it as GitHub does."""

    def __init__(self, root: Path) -> None:
        self.root = root
        shutil.copytree(ROOT / "catalog-example", root)
        self.git("init", "-q", "-b", "main")
        self.commit("first")
        self.git("checkout", "-q", "-b", "topic")
        self.edit("tenants/acme/apis/orders/api.yaml", "perMinute: 10", "perMinute: 7")
        self.commit("fewer calls")
        self.git("checkout", "-q", "main")
        self.edit("tenants/acme/tenant.yaml", "kind: Tenant", "kind: Tenant  # somebody else's")
        self.commit("meanwhile")

    def git(self, *words: str) -> str:
        command = ["git", "-c", "user.name=t", "-c", "user.email=t@example.org", *words]
        return subprocess.run(
            command, cwd=self.root, check=True, capture_output=True, text=True
        ).stdout.strip()

    def commit(self, message: str) -> None:
        self.git("add", "-A")
        self.git("commit", "-q", "-m", message)

    def edit(self, path: str, before: str, after: str) -> None:
        text = (self.root / path).read_text()
        assert before in text
        (self.root / path).write_text(text.replace(before, after, 1))

    def check_out_merge(self) -> None:
        self.git("checkout", "-q", "--detach", "main")
        self.git("merge", "-q", "--no-ff", "-m", "merge", "topic")


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Repository(tmp_path / "repo")


@pytest.fixture
def forge(tmp_path: Path) -> Path:
    """A folder with our program, and a `gh` and a `curl` that write down what they are asked."""
    folder = tmp_path / "forge"
    folder.mkdir()
    for name in ("gh", "curl"):
        write_program(
            folder / name,
            "import json, pathlib, sys\n"
            f"folder = pathlib.Path({str(folder)!r})\n"
            "with (folder / 'calls').open('a') as f:\n"
            f"    f.write(json.dumps([{name!r}, *sys.argv[1:]]) + '\\n')\n"
            f"answers = json.loads((folder / 'answers').read_text())\n"
            "found = (a for part, a in answers.items() if any(part in w for w in sys.argv))\n"
            "print(next(found, ''))\n",
        )
    (folder / "answers").write_text("{}")
    # of this checkout, whatever is installed beside the interpreter
    write_program(
        folder / "stoa-gitops",
        f"import sys\nsys.path[:0] = [{str(ROOT)!r}, {str(ROOT / 'proxy')!r}]\n"
        "from stoa_gitops.cli.main import main\nsys.exit(main())\n",
    )
    return folder


def write_program(path: Path, code: str) -> None:
    """Write a program in Python: a first line cannot name an interpreter in a path with spaces."""
    source = path.with_suffix(".py")
    source.write_text(code)
    path.write_text(f'#!/bin/sh\nexec {quote(sys.executable)} {quote(str(source))} "$@"\n')
    path.chmod(0o755)


def calls(forge: Path) -> list[list[str]]:
    return [json.loads(line) for line in (forge / "calls").read_text().splitlines()]


def run(script: str, repository: Repository, forge: Path, **variables: str) -> tuple[int, str]:
    """Run a step as the runners do: bash, stopping at the first failure."""
    path = os.pathsep.join([str(forge), str(Path(sys.executable).parent), os.environ["PATH"]])
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("STOA_", "GIT"))}
    done = subprocess.run(
        ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script],
        cwd=repository.root,
        env={**kept, "PATH": path, **variables},
        capture_output=True,
        text=True,
        timeout=300,
    )
    return done.returncode, done.stdout + done.stderr


def test_every_step_that_is_ours_is_tried_here() -> None:
    named = {
        step["name"]
        for job in GITHUB["jobs"].values()
        for step in job["steps"]
        if "run" in step and step["name"] != "Install"
    }
    assert named == STEPS["github"]
    assert {name for name, job in GITLAB.items() if "script" in job} == STEPS["gitlab"]


def test_a_fork_needs_no_secret_and_gets_no_rights() -> None:
    assert GITHUB["permissions"] == {}
    assert "pull_request_target" not in GITHUB[True if True in GITHUB else "on"]
    assert "secrets." not in json.dumps(GITHUB["jobs"])
    for job in GITHUB["jobs"].values():
        for step in job["steps"]:
            if step.get("name") == "Comment" or "upload-sarif" in step.get("uses", ""):
                assert "!github.event.pull_request.head.repo.fork" in step["if"]


def test_each_job_has_the_rights_of_its_steps_and_no_other() -> None:
    rights = {name: job["permissions"] for name, job in GITHUB["jobs"].items()}
    # upload-sarif reads the run that it belongs to, and in a private repository that is a right
    scanning = {"actions": "read", "contents": "read", "security-events": "write"}
    assert rights == {
        "validate": scanning,
        "plan": {"contents": "read", "pull-requests": "write"},
    }


def test_plans_have_the_whole_history() -> None:
    checkout = GITHUB["jobs"]["plan"]["steps"][0]
    assert checkout["uses"].startswith("actions/checkout@")
    assert checkout["with"]["fetch-depth"] == 0
    assert GITLAB["plan"]["variables"]["GIT_DEPTH"] == 0


def test_github_validates_and_makes_sarif_of_a_valid_catalog(
    repository: Repository, forge: Path
) -> None:
    repository.check_out_merge()
    assert run(github_step("validate", "Validate")["run"], repository, forge)[0] == 0
    script = github_step("validate", "Findings for code scanning")["run"]
    assert run(script, repository, forge)[0] == 0
    sarif = json.loads((repository.root / "findings.sarif").read_text())
    assert sarif["runs"][0]["results"] == []


def test_github_fails_for_an_invalid_catalog_and_still_makes_sarif(
    repository: Repository, forge: Path
) -> None:
    repository.edit("tenants/acme/apis/orders/api.yaml", "backend:", "backnd:")
    code, words = run(github_step("validate", "Validate")["run"], repository, forge)
    assert code == 5
    assert "::error file=tenants/acme/apis/orders/api.yaml" in words
    script = github_step("validate", "Findings for code scanning")["run"]
    assert run(script, repository, forge)[0] == 0
    sarif = json.loads((repository.root / "findings.sarif").read_text())
    assert {r["ruleId"] for r in sarif["runs"][0]["results"]} >= {"schema.unknown-key"}


def test_github_plans_this_change_alone_and_keeps_it_in_the_summary(
    repository: Repository, forge: Path, tmp_path: Path
) -> None:
    repository.check_out_merge()
    summary = tmp_path / "summary"
    script = github_step("plan", "Plan")["run"]
    code, words = run(script, repository, forge, GITHUB_STEP_SUMMARY=str(summary))
    assert code == 0, words
    plan = (repository.root / "plan.md").read_text()
    assert plan.startswith("<!-- stoa-plan -->\n## Plan: 1 to update")
    assert "perMinute: 7" in plan
    assert summary.read_text() == plan


def test_github_comments_the_findings_of_an_invalid_head(
    repository: Repository, forge: Path, tmp_path: Path
) -> None:
    repository.check_out_merge()
    repository.edit("tenants/acme/apis/orders/api.yaml", "backend:", "backnd:")
    script = github_step("plan", "Plan")["run"]
    code, words = run(script, repository, forge, GITHUB_STEP_SUMMARY=str(tmp_path / "summary"))
    assert code == 0, words
    plan = (repository.root / "plan.md").read_text()
    assert plan.startswith("<!-- stoa-plan -->\n## Plan: none, the catalog has ")
    assert "tenants/acme/apis/orders/api.yaml:10:3" in plan


@pytest.mark.parametrize(("known", "method"), [("", "POST"), ("4711", "PATCH")])
def test_github_posts_the_comment_once_and_edits_it_then(
    repository: Repository, forge: Path, known: str, method: str
) -> None:
    (repository.root / "plan.md").write_text("<!-- stoa-plan -->\n")
    (forge / "answers").write_text(json.dumps({"--jq": known}))
    step = github_step("plan", "Comment")
    variables = {"GITHUB_REPOSITORY": "acme/catalog", "NUMBER": "7", "GH_TOKEN": "t"}
    code, words = run(step["run"], repository, forge, **variables)
    assert code == 0, words
    _, write = calls(forge)
    assert write[write.index("--method") + 1] == method
    assert write[-1] == "body=@plan.md"
    assert any(word.endswith("/comments/4711" if known else "/issues/7/comments") for word in write)


def test_gitlab_reports_an_invalid_catalog_in_all_its_forms(
    repository: Repository, forge: Path
) -> None:
    repository.edit("tenants/acme/apis/orders/api.yaml", "backend:", "backnd:")
    code, words = run("\n".join(GITLAB["validate"]["script"]), repository, forge)
    assert code == 5
    assert "api.yaml:10:3: error[schema.unknown-key]" in words
    assert "<failure" in (repository.root / "findings.xml").read_text()
    assert json.loads((repository.root / "findings.sarif").read_text())["runs"][0]["results"]


def gitlab_plan(repository: Repository, forge: Path, **more: str) -> tuple[int, str]:
    repository.git("checkout", "-q", "topic")
    base = repository.git("merge-base", "main", "topic")
    return run(
        "\n".join(GITLAB["plan"]["script"]),
        repository,
        forge,
        CI_MERGE_REQUEST_DIFF_BASE_SHA=base,
        CI_API_V4_URL="https://gitlab.example/api/v4",
        CI_PROJECT_ID="3",
        CI_MERGE_REQUEST_IID="7",
        **more,
    )


def test_gitlab_plans_a_forks_change_without_any_token(repository: Repository, forge: Path) -> None:
    code, words = gitlab_plan(repository, forge)
    assert code == 0, words
    assert "STOA_PLAN_TOKEN is not set" in words
    assert "perMinute: 7" in (repository.root / "plan.md").read_text()
    assert not (forge / "calls").exists()


@pytest.mark.parametrize(("author", "method"), [(5, "PUT"), (6, "POST")])
def test_gitlab_edits_its_own_note_and_nobody_elses(
    repository: Repository, forge: Path, author: int, method: str
) -> None:
    note = {"id": 4711, "author": {"id": author}, "body": "<!-- stoa-plan -->\nold"}
    answers = {"/user": json.dumps({"id": 5}), "/notes?": json.dumps([note])}
    (forge / "answers").write_text(json.dumps(answers))
    code, words = gitlab_plan(repository, forge, STOA_PLAN_TOKEN="glpat-test")
    assert code == 0, words
    *_, write = calls(forge)
    assert write[write.index("--request") + 1] == method
    assert write[-1].endswith("/notes/4711" if method == "PUT" else "/merge_requests/7/notes")


def test_a_shallow_clone_is_told_what_it_needs_in_the_words_of_the_page(
    repository: Repository, forge: Path, tmp_path: Path
) -> None:
    repository.check_out_merge()
    repository.git("branch", "merged")
    shallow = tmp_path / "shallow"
    repository.git(
        "clone", "-q", "--depth", "1", "-b", "merged", repository.root.as_uri(), str(shallow)
    )
    repository.root = shallow
    code, words = run(
        github_step("plan", "Plan")["run"], repository, forge, GITHUB_STEP_SUMMARY="/dev/null"
    )
    assert code == 1
    assert words.strip() in TEXT
