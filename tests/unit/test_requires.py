"""What a manifest may require, who is left behind, what it comes to: told before anything runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from agent.catalog import Catalog
from agent.checks.manifest import ManifestCheck
from agent.domain.check import CheckReport, CheckResult
from agent.domain.decision import Policy
from agent.domain.requirement import DEEPEST, depth, keep_dependants, may_do, reach
from agent.domain.risk import risk_of
from agent.domain.skill import Manifest
from agent.errors import Refused
from agent.gateway.pages.wants import wants_of
from agent.registry_file import splice_all
from agent.switchboard import place_of
from tests.builders import a_manifest, an_entry
from tests.subjects import SKILL_YAML, ToldBench, ToldLanguage, a_subject, skill_files

MAIL = a_manifest(
    name="mail-fetch", version="1.4.0", permissions={"network": ["imap.example.com:993"], "secrets": ["IMAP_PASSWORD"]},
    annotations={"readOnly": False, "idempotent": False, "destructive": True},
)  # fmt: skip
PLAIN = a_manifest(name="csv-to-json", version="1.2.0")


class Registry:
    def __init__(self, *manifests: Manifest) -> None:
        self.manifests = {each.name: each for each in manifests}

    def manifest(self, name: str) -> Manifest | None:
        return self.manifests.get(name)

    def dependants(self, name: str) -> list[Manifest]:
        return [each for each in self.manifests.values() if any(text.split(" ")[0] == name for text in each.requires)]


def checked(tmp_path: Path, requires: str, *registry: Manifest, before: str = "", annotations: str = "", **files: str) -> CheckResult:
    """word-count, which requires what is said, as the manifest check sees it; `before` is what the version on the base required."""
    more = f"annotations: {annotations}\n" if annotations else ""
    now = SKILL_YAML.replace("version: 1.0.0", f"version: 1.1.0\n{more}requires: {requires}")
    base = skill_files(**{"skill.yaml": SKILL_YAML.replace("version: 1.0.0", f"version: 1.0.0\nrequires: {before}")}) if before else None
    subject = a_subject(tmp_path, skill_files(**{"skill.yaml": now, **files}), base_files=base)
    return ManifestCheck({"python": ToldLanguage()}, Registry(*registry)).run(subject, ToldBench())


def told(result: CheckResult) -> str:
    return "; ".join(finding.message for finding in result.findings if finding.level == "error")


@pytest.mark.parametrize(
    ("requires", "registry", "said"),
    [
        ("[csv-to-json]", [PLAIN], ""),
        ("['csv-to-json >=1.0,<2']", [PLAIN], ""),
        ("[csv-to-json]", [], "csv-to-json is not in the registry"),
        ("[csv-to-json]", [PLAIN.model_copy(update={"status": "retired"})], "csv-to-json is retired"),
        ("['csv-to-json >=2']", [PLAIN], "csv-to-json is 1.2.0 in the registry, and 'csv-to-json >=2' is required"),
        ("['No Name!', 'csv-to-json >=2']", [PLAIN], "csv-to-json is 1.2.0 in the registry, and 'csv-to-json >=2' is required"),
        ("[csv-to-json]", [PLAIN.model_copy(update={"requires": ("word-count",)})], "without end: word-count → csv-to-json → word-count"),
        ("[a]", [a_manifest(name="a", requires=["b"]), a_manifest(name="b", requires=["word-count"])], "word-count → a → b → word-count"),
        ("[mail-fetch]", [MAIL], "it says readOnly: true, and what it requires is not"),
        ("[mail-fetch]", [MAIL], "it says idempotent: true, and what it requires is not"),
        ("[mail-fetch]", [MAIL], "what it requires is destructive, so it has to say destructive: true as well"),
    ],
)
def test_what_is_required_is_there_leads_nowhere_back_and_does_no_more_than_is_said(
    tmp_path: Path, requires: str, registry: list[Manifest], said: str
) -> None:
    found = told(checked(tmp_path, requires, *registry))
    assert said in found and bool(said) == bool(found)


def test_a_row_of_skills_that_call_one_another_has_an_end(tmp_path: Path) -> None:
    row = [a_manifest(name=f"s{number}", requires=[f"s{number + 1}"]) for number in range(1, DEEPEST)]
    shelf = [*row, a_manifest(name=f"s{DEEPEST}")]
    assert depth(shelf[0], Registry(*shelf)) == DEEPEST
    assert f"more than {DEEPEST} skills" in told(checked(tmp_path, "[s1]", *shelf)) and not told(checked(tmp_path / "2", "[s2]", *shelf))


def test_a_new_requirement_is_shown_with_all_that_can_be_reached_by_it(tmp_path: Path) -> None:
    sends = a_manifest(name="sends", requires=["mail-fetch"], annotations=MAIL.annotations)
    marks = "{readOnly: false, idempotent: false, destructive: true}"
    result = checked(tmp_path, "[csv-to-json, sends]", PLAIN, sends, MAIL, before="[csv-to-json]", annotations=marks)
    assert told(result) == ""
    gained = CheckReport(head=result.head, results=(result,)).gained
    assert [one.what for one in gained] == [
        "sends (destructive)", "mail-fetch (network imap.example.com:993, secret IMAP_PASSWORD, destructive)",
    ]  # fmt: skip
    assert "csv-to-json (reaches nothing)" in [one.what for one in result.capabilities if not one.gained]
    asks = a_manifest(requires=["sends"])
    risk, why = risk_of(asks, None, Policy(), called=reach(asks, Registry(sends, MAIL)))
    assert risk == "high" and any("mail-fetch, which reads the secrets IMAP_PASSWORD" in each for each in why)
    assert risk_of(a_manifest(requires=["csv-to-json"]), None, Policy(), called=[PLAIN])[0] == "low"
    row = next(row for row in wants_of(asks, a_manifest(), Policy(), shelf=Registry(sends, MAIL)).rows if row.what == "calls skills")
    assert row.wider and row.before == "nothing" and "secret IMAP_PASSWORD" in row.now


def test_who_requires_a_skill_is_not_left_behind(tmp_path: Path) -> None:
    uses = a_manifest(name="uses", requires=["word-count >=1.0,<1.1"])
    assert "uses requires another version of it than this; first propose versions of them that take 1.1.0" in told(checked(tmp_path, "[]", uses))
    with pytest.raises(Refused, match="word-count cannot be retired: uses requires it"):
        keep_dependants("word-count", None, [uses])
    with pytest.raises(Refused, match=r"word-count cannot go back to 0\.9\.0: uses requires it"):
        keep_dependants("word-count", "0.9.0", [uses])
    keep_dependants("word-count", "1.0.4", [uses])
    keep_dependants("csv-to-json", None, [uses])


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("{name: csv-to-json, answers: [{inputs: {text: a}, outputs: {words: 1}}]}", ""),
        ("{name: csv-to-json, answers: [{error: {code: odd}}]}", ""),
        ("{name: mail-fetch, answers: [{outputs: {}}]}", "mail-fetch is not required"),
        ("{name: csv-to-json, answers: [{inputs: {text: 5}, outputs: {words: 1}}]}", "csv-to-json 1.2.0 is not called like that"),
        ("{name: csv-to-json, answers: [{inputs: {text: a}, outputs: {words: one}}]}", "or does not answer so"),
        ("{name: csv-to-json, answers: [{inputs: {text: a}}]}", "either outputs or an error"),
        ("{name: csv-to-json, answers: []}", "at least 1"),
    ],
)
def test_a_required_skill_is_stood_in_for_by_what_it_could_answer(tmp_path: Path, script: str, said: str) -> None:
    text = f"apiVersion: skillops/v1\nkind: StandIns\nskills:\n  - {script}\n"
    found = told(checked(tmp_path, "[csv-to-json]", PLAIN, **{"tests/stand-ins.yaml": text}))
    assert said in found and bool(said) == bool(found)


def test_the_catalog_knows_who_requires_a_skill(tmp_path: Path) -> None:
    manifests = {
        each.name: each for each in (PLAIN, a_manifest(name="uses", requires=["csv-to-json >=1"]), a_manifest(name="csv", requires=["csv-to-json-2"]))
    }
    entries = [an_entry(name=name) for name in manifests]
    text = splice_all("apiVersion: skillops/v1\nkind: Registry\nrevision: 1\nskills: {}\n", entries, [])
    catalog = Catalog(tmp_path / "catalog.sqlite")
    catalog.sync("blob", lambda: text, lambda entry: manifests[entry.name])
    assert [each.name for each in catalog.dependants("csv-to-json")] == ["uses"] and catalog.dependants("uses") == []


def test_what_is_no_ticket_leads_to_nobody(tmp_path: Path) -> None:
    odd: list[Any] = ["", "1-00000000", "../../etc/passwd", "1-0000000g." + "0" * 32, "1-00000000." + "0" * 32]
    assert [place_of(tmp_path, each) for each in odd] == [None] * 5
    assert may_do(PLAIN) == "csv-to-json (reaches nothing)"
