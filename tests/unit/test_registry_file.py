"""registry.yaml <-> Registry, byte-stable."""

from __future__ import annotations

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.domain.registry import Entry, Registry
from agent.errors import InvalidFile
from agent.registry_file import blocks, entry_of, parse, render, revision_of, splice, splice_all
from tests.builders import an_entry

UNTIMED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow], max_examples=30)
NAMES = st.sampled_from(["a", "a-b", "ab", "word-count", "zeta", "null", "true", "on", "yes", "skills"]) | st.from_regex(
    r"[a-z][a-z0-9]{0,3}(-[a-z0-9]{1,3})?", fullmatch=True
)
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=30) | st.sampled_from(["a\n\n  word-count:\nb", "a\n\n\n", "  zeta:\n", "a: b #c"])


@st.composite
def entries(draw: st.DrawFn) -> Entry:
    return an_entry(
        name=draw(NAMES),
        description=draw(TEXT),
        aliases=draw(st.lists(TEXT, max_size=2)),
        commit=draw(st.from_regex(r"[0-9e]{40}", fullmatch=True)),
        proposal=draw(st.none() | st.integers(0, 99)),
        struck=draw(st.none() | st.integers(1, 9)),
        status=draw(st.sampled_from(["active", "retired"])),
        permissions=draw(st.sampled_from([{}, {"network": ["a.example:443"]}])),
    )


@st.composite
def registries(draw: st.DrawFn) -> Registry:
    found = draw(st.lists(entries(), max_size=6, unique_by=lambda entry: entry.name))
    return Registry(revision=draw(st.integers(0, 99)), skills=tuple(sorted(found, key=lambda entry: entry.name)))


def with_(registry: Registry, entry: Entry) -> Registry:
    others = [other for other in registry.skills if other.name != entry.name]
    return Registry(revision=registry.revision + 1, skills=tuple(sorted([*others, entry], key=lambda one: one.name)))


@UNTIMED
@given(registries())
def test_what_is_rendered_is_parsed_as_the_same_registry(registry: Registry) -> None:
    assert parse(render(registry)) == registry


@UNTIMED
@given(registries())
def test_any_yaml_reader_finds_the_same_skills(registry: Registry) -> None:
    whole = yaml.load(render(registry), yaml.CSafeLoader)

    assert list(whole["skills"]) == [entry.name for entry in registry.skills]
    assert all(whole["skills"][entry.name]["description"] == entry.description for entry in registry.skills)


@UNTIMED
@given(registries(), entries())
def test_splicing_gives_what_rendering_the_changed_registry_gives(registry: Registry, entry: Entry) -> None:
    assert splice(render(registry), entry, name=entry.name) == render(with_(registry, entry))


@UNTIMED
@given(registries(), st.lists(entries(), max_size=3))
def test_several_skills_are_spliced_with_one_rise_of_the_revision(registry: Registry, added: list[Entry]) -> None:
    expected = registry
    for entry in added:
        expected = with_(expected, entry)

    assert splice_all(render(registry), added) == render(expected.model_copy(update={"revision": registry.revision + 1}))


@UNTIMED
@given(registries(), entries())
def test_what_is_spliced_in_and_out_again_leaves_no_trace(registry: Registry, entry: Entry) -> None:
    without = Registry(revision=registry.revision, skills=tuple(other for other in registry.skills if other.name != entry.name))

    text = splice(splice(render(without), entry, name=entry.name), None, name=entry.name, revision=registry.revision)

    assert text == render(without)


COMMENTED = """\
# who can do what
apiVersion: skillops/v1
kind: Registry
revision: 41  # of many
skills:  # sorted
  # the first
  alpha: {version: 1.0.0, status: active, runtime: python, description: "odd\t style", artifact: directory, digest: d, commit: c, tree: t}

  # before beta
  beta:
    # inside beta
    version:   '1.0.0'
    status: active
    runtime: python

    description: >-
      folded

      text
    artifact: directory
    digest: d
    commit: c
    tree: t
  # the last word
"""


def test_bytes_of_other_blocks_and_their_comments_survive() -> None:
    spliced = splice(COMMENTED, an_entry(name="beta", version="1.1.0"), name="beta")

    before, after = COMMENTED.split("  beta:")[0].replace("41", "42"), "  # the last word\n"
    assert spliced.startswith(before)
    assert spliced.endswith(after)
    assert spliced.count("beta") == 2
    assert parse(spliced).entry("beta") == an_entry(name="beta", version="1.1.0")


def test_a_new_block_stands_above_the_comment_of_the_next() -> None:
    spliced = splice(COMMENTED, an_entry(name="apple"), name="apple")

    assert spliced.index("  apple:") < spliced.index("  # before beta")
    assert spliced.replace("revision: 42", "revision: 41").replace(splice_block(an_entry(name="apple")), "") == COMMENTED


def splice_block(entry: Entry) -> str:
    return render(Registry(revision=0, skills=(entry,))).split("skills:\n")[1]


def test_removing_the_last_block_leaves_a_file_that_is_still_a_registry() -> None:
    text = render(Registry(revision=1, skills=(an_entry(),)))

    emptied = splice(text, None, name="word-count")

    assert emptied == render(Registry(revision=2))


def test_several_may_leave_at_once() -> None:
    text = render(Registry(revision=1, skills=(an_entry(name="a"), an_entry(name="b"), an_entry(name="c"))))

    assert splice_all(text, [an_entry(name="d")], ["a", "c", "not-there"]) == render(
        Registry(revision=2, skills=(an_entry(name="b"), an_entry(name="d")))
    )


def test_a_file_that_does_not_end_its_last_line_takes_another_block() -> None:
    text = render(Registry(revision=1, skills=(an_entry(name="a"),))).rstrip("\n")

    assert [entry.name for entry in parse(splice(text, an_entry(name="b"), name="b")).skills] == ["a", "b"]


def test_each_block_is_read_on_its_own() -> None:
    second = list(blocks(render(Registry(revision=1, skills=(an_entry(name="a"), an_entry(name="b"))))))[1]

    assert entry_of(second) == an_entry(name="b")


def test_the_revision_is_read_from_the_header_alone() -> None:
    assert revision_of(COMMENTED.replace("version:   '1.0.0'", "version: [")) == 41


GOOD = render(Registry(revision=1, skills=(an_entry(name="a"), an_entry(name="b"))))


@pytest.mark.parametrize(
    ("text", "line", "expected"),
    [
        ("", 1, "skills:"),
        ("hello", 1, "skills:"),
        (GOOD[: GOOD.index("  a:")] + "  a:one word\n", 5, "expected `a:`"),
        ("a: [", 2, "expected YAML"),
        (GOOD.replace("kind: Registry", "kind: Zoo"), 2, "Registry"),
        (GOOD.replace("revision: 1", "revision: -1"), 3, "greater than or equal to 0"),
        (GOOD.replace("revision: 1\n", ""), 1, "revision: this key is required"),
        (GOOD.replace("  b:", "  a:"), 20, "'a' is already there"),
        (GOOD.replace("  a:", "  c:"), 20, "'b' stands below 'c'"),
        (GOOD.replace("  b:", "b:"), 20, "two spaces"),
        (GOOD.replace("  b:", "\tb:"), 20, "two spaces"),
        (GOOD.replace("  b:", "  Bad Name:"), 20, "two spaces"),
        (GOOD + "<<<<<<< HEAD\n", 35, "two spaces"),
        (GOOD.replace("    version: 1.0.0", "    version: 1.0", 1), 6, "put it in quotes"),
        (GOOD.replace("    artifact: directory\n", "", 1), 5, "artifact: this key is required"),
        (GOOD.replace("    status: active", "    status: asleep", 1), 7, "'active'"),
        (GOOD.replace("    tree: ", "    root: ", 1), 13, "not known"),
        (GOOD.replace("    tree: ", "    tree: [", 1), 14, "expected YAML"),
        (GOOD.replace("    tree: ", "    tree: &x ", 1), 13, "anchors"),
    ],
)
def test_a_broken_registry_is_refused_with_its_line(text: str, line: int, expected: str) -> None:
    with pytest.raises(InvalidFile, match=expected) as refusal:
        parse(text)

    assert (refusal.value.path, refusal.value.line) == ("registry.yaml", line), str(refusal.value)


def test_bytes_that_are_no_text_are_refused() -> None:
    with pytest.raises(InvalidFile, match=r"registry\.yaml:3: expected text in UTF-8"):
        parse(b"a\nb\n\xff")


def test_splicing_into_what_is_no_registry_is_refused() -> None:
    with pytest.raises(InvalidFile):
        splice("hello: world\n", an_entry(), name="word-count")
