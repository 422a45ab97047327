"""The files that a contributor meets first say what the Makefile, pyproject.toml and GitHub take them to say."""

import re
import tomllib
from pathlib import Path

import pytest
from check_jsonschema import main as check_jsonschema
from click.testing import CliRunner
from ruamel.yaml import YAML

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
FORMS = ROOT / ".github" / "ISSUE_TEMPLATE"


def read_yaml(path):
    return YAML(typ="safe").load(path.read_text())


def recipe(target):
    """The commands of a target, as a shell in the root gets them."""
    found = re.search(rf"^{target}:.*\n((?:\t.*\n)+)", (ROOT / "Makefile").read_text(), re.MULTILINE)
    return [line.strip().removeprefix("@").replace("$(BIN)", ".venv/bin") for line in found[1].splitlines()]


def test_a_commit_is_checked_by_what_make_check_runs_and_by_nothing_else():
    hooks = [hook for repo in read_yaml(ROOT / ".pre-commit-config.yaml")["repos"] for hook in repo["hooks"]]
    assert [hook["entry"] for hook in hooks] == recipe("check")


def test_a_hook_sees_the_whole_tree_and_installs_nothing():
    for repo in read_yaml(ROOT / ".pre-commit-config.yaml")["repos"]:
        assert repo["repo"] == "local"
        for hook in repo["hooks"]:
            assert hook["language"] == "system"
            assert hook["pass_filenames"] is False
            assert not {"files", "exclude", "types", "types_or", "stages", "args"} & set(hook)


@pytest.mark.parametrize(
    ("name", "schema"),
    [("bug_report.yml", "issue-forms"), ("feature_request.yml", "issue-forms"), ("config.yml", "issue-config")],
)
def test_github_can_read_the_issue_forms(name, schema):
    checked = CliRunner().invoke(check_jsonschema, ["--builtin-schema", f"vendor.github-{schema}", str(FORMS / name)])
    assert checked.exit_code == 0, checked.output


def test_no_issue_form_is_left_unread():
    assert {path.name for path in FORMS.iterdir()} == {"bug_report.yml", "feature_request.yml", "config.yml"}


def test_the_package_and_the_image_carry_the_licence():
    assert PROJECT["license"] == "Apache-2.0"
    let_in = (ROOT / ".dockerignore").read_text().splitlines()
    for name in (PROJECT["readme"], *PROJECT["license-files"]):
        assert (ROOT / name).is_file()
        assert f"!{name}" in let_in


def test_the_licence_is_filled_in():
    text = (ROOT / "LICENSE").read_text()
    assert "Copyright 2026 The Longhaul authors" in text
    assert "[yyyy]" not in text
    assert "[name of copyright owner]" not in text
