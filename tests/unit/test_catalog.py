"""The catalog: the registry's parsed index, and search over it."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.catalog import Catalog
from agent.domain.registry import Entry, Registry
from agent.domain.skill import Manifest
from agent.errors import CouldNotTell, InvalidFile, ModelUnavailable
from agent.registry_file import parse, render, splice
from tests.builders import a_manifest, an_entry

WORDS = an_entry(name="word-count", description="Count the words of a text.", aliases=["how long is a text"])
CSV = an_entry(name="csv-to-json", description="Convert CSV tables into JSON records.", aliases=["parse csv", "table to records"])
WEATHER = an_entry(name="weather-report", description="Tell the weather of a city: temperature, wind and rain.")
OLD = an_entry(name="word-tally", description="Count words, as it was done before.", status="retired")
ENTRIES = (CSV, WEATHER, WORDS, OLD)
TEXT = render(Registry(revision=7, skills=ENTRIES))
PROPERTIES = {"csv-to-json": "delimiterSign", "weather-report": "cityName", "word-count": "text", "word-tally": "text"}


def manifest_of(entry: Entry) -> Manifest | None:
    name = PROPERTIES.get(entry.name)
    described = {name: {"type": "string", "description": f"The {entry.name} input, such as a zebra."}} if name else {}
    return a_manifest(name=entry.name, inputs={"type": "object", "properties": {"text": {}, **described}}) if name else None


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "catalog.sqlite"


@pytest.fixture
def catalog(path: Path) -> Catalog:
    return synced(Catalog(path))


def synced(catalog: Catalog, text: str = TEXT, blob: str = "blob-7") -> Catalog:
    catalog.sync(blob, lambda: text, manifest_of)
    return catalog


def names(catalog: Catalog, text: str, **traits: Any) -> list[str]:
    return [hit.entry.name for hit in catalog.search(text, **traits)]


def never(*_: object) -> Any:
    raise AssertionError("this was not to be asked for")


# ---- the index -----------------------------------------------------------------------------------------------------


def test_the_index_holds_what_the_registry_holds(catalog: Catalog) -> None:
    assert catalog.revision() == 7
    assert tuple(catalog.entries()) == parse(TEXT).skills
    assert catalog.entry("csv-to-json") == CSV
    assert catalog.entry("no-such") is None
    assert [entry.name for entry in catalog.entries("retired")] == ["word-tally"]
    assert catalog.trees() == {entry.name: entry.tree for entry in ENTRIES}


def test_manifests_are_kept(catalog: Catalog) -> None:
    manifest = catalog.manifest("csv-to-json")

    assert manifest == manifest_of(CSV)
    assert catalog.manifest("no-such") is None


def test_the_same_blob_is_not_read_again(path: Path, catalog: Catalog) -> None:
    catalog.sync("blob-7", never, never)
    Catalog(path).sync("blob-7", never, never)


def test_a_new_blob_asks_for_the_changed_skills_alone(catalog: Catalog) -> None:
    asked: list[str] = []
    text = splice(TEXT, CSV.model_copy(update={"version": "1.1.0"}), name="csv-to-json")
    text = splice(text, None, name="weather-report")
    text = splice(text, an_entry(name="zip-code", description="Find the town of a zip code."), name="zip-code")

    def manifest(entry: Entry) -> Manifest | None:
        asked.append(entry.name)
        return None

    catalog.sync("blob-10", lambda: text, manifest)

    assert asked == ["csv-to-json", "zip-code"]
    assert tuple(catalog.entries()) == parse(text).skills
    assert (catalog.revision(), names(catalog, "weather city"), names(catalog, "town")) == (10, [], ["zip-code"])
    assert names(catalog, "zebra") == ["word-count"], "what is indexed of a changed skill's manifest is replaced"


ENTRY = st.builds(
    lambda name, description, status, tree: an_entry(name=name, description=description, status=status, tree=tree * 40),
    st.sampled_from(["a", "b", "c", "d", "e", "f", "on", "null"]),
    st.sampled_from(["One thing.", "2\n\n  a:\n"]),
    st.sampled_from(["active", "retired"]),
    st.sampled_from(["a", "b"]),
)
REGISTRIES = st.lists(ENTRY, max_size=8, unique_by=lambda entry: entry.name)


@settings(deadline=None, suppress_health_check=list(HealthCheck), max_examples=25)
@given(st.lists(REGISTRIES, min_size=1, max_size=3))
def test_whatever_came_before_the_index_is_what_a_new_one_would_be(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch, states: list[list[Entry]]
) -> None:
    monkeypatch.setattr("agent.catalog.SECTION", 2)
    folder = tmp_path_factory.mktemp("index")
    old = Catalog(folder / "old.sqlite")
    for number, state in enumerate(states):
        text = render(Registry(revision=number, skills=tuple(state))).replace("  b:", "  # above b\n  b:")
        old.sync(str(number), lambda text=text: text, manifest_of)
        assert old.trees() == {entry.name: entry.tree for entry in state}

    new = Catalog(folder / "new.sqlite")
    new.sync("last", lambda: text, manifest_of)

    assert old.entries() == new.entries() == list(parse(text).skills)
    assert sorted(names(old, "thing two")) == sorted(names(new, "thing two"))


@pytest.mark.parametrize(
    ("broken", "line"),
    [
        (TEXT.replace("version: 1.0.0", "version: 1.0", 1), 6),
        (TEXT.replace("  word-count:", "  csv-to-json:"), 38),
        (TEXT + "<<<<<<< HEAD\n", TEXT.count("\n") + 1),
        (TEXT.replace("kind: Registry", "kind: Zoo"), 2),
        (TEXT.replace("skills:", "skils:"), None),
        ("", None),
    ],
)
def test_a_broken_registry_leaves_the_index_as_it_was(catalog: Catalog, broken: str, line: int | None) -> None:
    with pytest.raises(InvalidFile) as refusal:
        catalog.sync("blob-8", lambda: broken, manifest_of)

    assert line in (None, refusal.value.line), str(refusal.value)
    assert (catalog.revision(), tuple(catalog.entries())) == (7, parse(TEXT).skills)


def test_a_skill_that_is_moved_or_doubled_is_refused_wherever_it_lands(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent.catalog.SECTION", 2)
    letters = "abcdefgh"
    blocks = {letter: render(Registry(revision=1, skills=(an_entry(name=letter),))).split("skills:\n")[1] for letter in letters}
    head = "apiVersion: skillops/v1\nkind: Registry\nrevision: 1\nskills:\n"
    catalog = synced(Catalog(path), head + "".join(blocks.values()))

    for moved in letters:
        for place in range(9):
            for rest in (letters, letters.replace(moved, "")):
                order = rest[:place] + moved + rest[place:]
                if order == letters:
                    continue
                with pytest.raises(InvalidFile, match=r"already there|sorted by name"):
                    catalog.sync(order, lambda order=order: head + "".join(blocks[letter] for letter in order), manifest_of)
    assert [entry.name for entry in catalog.entries()] == [*letters]


def test_a_manifest_that_cannot_be_had_leaves_the_index_as_it_was(catalog: Catalog) -> None:
    def manifest(entry: Entry) -> Manifest | None:
        raise CouldNotTell("git is away")

    with pytest.raises(CouldNotTell, match="git is away"):
        catalog.sync("blob-8", lambda: splice(TEXT, an_entry(name="new"), name="new"), manifest)

    assert (catalog.revision(), catalog.entry("new")) == (7, None)


def test_before_the_first_sync_there_is_nothing(path: Path) -> None:
    catalog = Catalog(path)

    assert (catalog.revision(), catalog.entries(), catalog.search("words"), catalog.nearest("x")) == (0, [], [], [])


@pytest.mark.parametrize(
    "damage", [lambda path: path.write_bytes(b"no database " * 999), lambda path: (path.unlink(), path.write_bytes(b"")), Path.unlink]
)
def test_a_damaged_or_deleted_index_is_made_anew(path: Path, damage: Callable[[Path], object]) -> None:
    synced(Catalog(path))
    for rest in path.parent.glob("*-*"):
        rest.unlink()
    damage(path)

    catalog = synced(Catalog(path))

    assert tuple(catalog.entries()) == parse(TEXT).skills
    assert names(catalog, "count words")[0] == "word-count"


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.unlink(),
        lambda path: (path.unlink(), path.write_bytes(b"no database " * 999)),
        lambda path: sqlite3.connect(path, isolation_level=None).execute("DROP TABLE skill"),
    ],
)
def test_an_index_that_is_damaged_while_in_use_is_made_anew(path: Path, catalog: Catalog, damage: Callable[[Path], object]) -> None:
    damage(path)

    assert names(catalog, "count words")[0] == "word-count"
    assert tuple(catalog.entries()) == parse(TEXT).skills


def test_an_index_of_an_older_make_is_made_anew(path: Path) -> None:
    path.parent.mkdir()
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE skill (name TEXT)")

    assert tuple(synced(Catalog(path)).entries()) == parse(TEXT).skills


def test_an_index_that_cannot_be_written_could_not_be_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(CouldNotTell, match="could not be read or written"):
        synced(Catalog(tmp_path / "file" / "catalog.sqlite"))


SYNCING = """
import sys
from pathlib import Path
from agent.catalog import Catalog
catalog = Catalog(Path(sys.argv[1]))
for number in range(1, 6):
    text = Path(sys.argv[2], f"{number}.yaml").read_text()
    catalog.sync(str(number), lambda: text, lambda entry: None)
print(catalog.revision(), len(catalog.entries()), len(catalog.search("count", limit=99)))
"""


def test_what_another_process_indexed_is_seen(path: Path, catalog: Catalog) -> None:
    catalog.trees()
    text = splice(splice(TEXT, None, name="weather-report"), CSV.model_copy(update={"tree": "d" * 40}), name="csv-to-json")
    synced(Catalog(path), text, "blob-9")

    assert catalog.trees() == {"csv-to-json": "d" * 40, "word-count": WORDS.tree, "word-tally": OLD.tree}
    synced(catalog)
    assert catalog.trees() == {entry.name: entry.tree for entry in ENTRIES}


def test_processes_that_sync_at_once_end_with_the_same_index(path: Path, tmp_path: Path) -> None:
    text = render(Registry(revision=0))
    for number in range(1, 6):
        text = splice(text, an_entry(name=f"count-{number}"), name=f"count-{number}")
        (tmp_path / f"{number}.yaml").write_text(text)

    command = [sys.executable, "-c", SYNCING, str(path), str(tmp_path)]
    runs = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]

    assert [run.communicate(timeout=120)[0] for run in runs][-1].split()[1:] != []
    assert all(run.returncode == 0 for run in runs)
    last = Catalog(path)
    last.sync("5", lambda: text, lambda entry: None)
    assert tuple(last.entries()) == parse(text).skills
    assert len(last.search("count", limit=99)) == 5


# ---- search --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("query", "best"),
    [
        ("How many words are there in this text, please?", "word-count"),
        ("wordcount", "word-count"),
        ("counting a word", "word-count"),
        ("parse a CSV", "csv-to-json"),
        ("converting tables", "csv-to-json"),
        ("city name", "weather-report"),
        ("delimiter", "csv-to-json"),
        ("temper", "weather-report"),
        ("WÉATHER", "weather-report"),
    ],
)
def test_a_skill_is_found_by_what_it_does(catalog: Catalog, query: str, best: str) -> None:
    assert names(catalog, query)[0] == best


def test_a_name_tells_more_than_an_alias_and_that_more_than_a_description(path: Path) -> None:
    others = [an_entry(name=f"other-{letter}", description="Something else.") for letter in "abcdef"]
    named, aliased = an_entry(name="translate"), an_entry(name="polyglot", aliases=["translate"])
    described = an_entry(name="dolmetsch", description="Can translate.")
    registry = Registry(revision=1, skills=(described, aliased, named, *others))

    catalog = synced(Catalog(path), render(registry))

    assert names(catalog, "translate") == ["translate", "polyglot", "dolmetsch"]


def test_retired_skills_are_not_found(catalog: Catalog) -> None:
    assert "word-tally" not in names(catalog, "word tally count words before")


def test_scores_fall_and_stay_between_0_and_1(catalog: Catalog) -> None:
    scores = [hit.score for hit in catalog.search("count the words of a csv table in the rain")]

    assert len(scores) == 3
    assert scores == sorted(scores, reverse=True)
    assert all(0 <= score <= 1 for score in scores)


def test_no_more_hits_than_asked_for(catalog: Catalog) -> None:
    assert len(names(catalog, "count words csv weather", limit=2)) == 2


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(st.text(max_size=60) | st.text(st.sampled_from("\"*^():{}-+~ANDORNEAR \x00;'words"), max_size=30))
def test_any_text_at_all_is_a_query(catalog: Catalog, text: str) -> None:
    assert all(0 <= hit.score <= 1 for hit in catalog.search(text))


@pytest.mark.parametrize("text", ['words" OR "csv', "words AND NOT words", "name:words", "words*", "NEAR(words csv)", "{name}: words", "-words"])
def test_the_syntax_of_queries_is_only_words(catalog: Catalog, text: str) -> None:
    assert "word-count" in names(catalog, text)


@pytest.mark.parametrize("text", ["", " ", "?!", "xyzzy", "\x00", "\ud800"])
def test_what_says_nothing_finds_nothing(catalog: Catalog, text: str) -> None:
    assert names(catalog, text) == []


def test_an_enormous_text_finds_what_its_beginning_is_about(catalog: Catalog) -> None:
    assert names(catalog, "count the words " + "of this x7 " * 200_000)[0] == "word-count"


def test_a_word_that_nearly_all_skills_have_still_finds_some(path: Path) -> None:
    entries = tuple(an_entry(name=f"text-{number:04}", description="Do something with text.") for number in range(900))
    catalog = synced(
        Catalog(path), render(Registry(revision=1, skills=(*entries, an_entry(name="zulu-text", description="Translate text to Zulu."))))
    )

    assert len(names(catalog, "text")) == 8
    assert names(catalog, "text zulu")[0] == "zulu-text"


def test_the_nearest_names_are_told(catalog: Catalog) -> None:
    assert catalog.nearest("word-cuont")[0] == "word-count"
    assert "word-tally" not in catalog.nearest("word-tally")
    assert catalog.nearest("nope") == catalog.nearest("my-go") == []
    assert catalog.nearest("x" * 10_000) == []
    assert catalog.nearest("\udcff") == [] and catalog.entry("\udcff") is catalog.manifest("\udcff") is None


# ---- meaning -------------------------------------------------------------------------------------------------------

MEANINGS = ({"rain", "weather", "umbrella"}, {"words", "count", "essay"}, {"csv", "table", "spreadsheet"})


class Embedder:
    """Texts to vectors by three meanings; each text that was asked for is kept."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.down = False

    def __call__(self, texts: Sequence[str]) -> list[list[float]]:
        if self.down:
            raise ModelUnavailable("no embeddings today")
        self.asked += texts
        return [[0.01 + sum(word in text.lower() for word in words) for words in MEANINGS] + [-0.5] * 5 for text in texts]


def test_a_skill_is_found_by_meaning_where_no_word_is_shared(path: Path) -> None:
    catalog = synced(Catalog(path, Embedder()))

    assert names(Catalog(path), "umbrella") == []
    assert names(catalog, "umbrella")[0] == "weather-report"
    assert names(catalog, "essay")[0] == "word-count"
    assert "word-tally" not in names(catalog, "essay")


def test_vectors_are_made_for_changed_skills_alone(path: Path) -> None:
    embed = Embedder()
    catalog = synced(Catalog(path, embed))
    embed.asked.clear()

    synced(catalog, splice(TEXT, CSV.model_copy(update={"version": "1.1.0"}), name="csv-to-json"), "blob-8")

    assert [text.split(":")[0] for text in embed.asked] == ["csv-to-json"]
    assert names(catalog, "spreadsheet")[0] == "csv-to-json"


def test_without_embeddings_words_are_searched(path: Path) -> None:
    embed = Embedder()
    catalog = synced(Catalog(path, embed))
    embed.down = True

    assert names(catalog, "count words")[0] == "word-count"
    synced(catalog, splice(TEXT, an_entry(name="new", description="A new thing."), name="new"), "blob-8")
    assert names(catalog, "new thing")[0] == "new"


def test_skills_that_missed_their_vectors_get_them_with_the_next_change(path: Path) -> None:
    embed = Embedder()
    embed.down = True
    catalog = synced(Catalog(path, embed))
    embed.down = False

    synced(catalog, splice(TEXT, an_entry(name="new"), name="new"), "blob-8")

    assert names(catalog, "umbrella")[0] == "weather-report"


@pytest.mark.parametrize("vectors", [[], [[0.0, 0.0]], [[float("nan")]], [[1.0]] * 9, [[]]])
def test_nonsense_for_vectors_is_searched_by_words(path: Path, vectors: list[list[float]]) -> None:
    catalog = synced(Catalog(path, lambda texts: vectors))

    assert names(catalog, "count words")[0] == "word-count"


def test_vectors_of_another_model_are_not_compared(path: Path) -> None:
    synced(Catalog(path, Embedder()))

    assert names(Catalog(path, lambda texts: [[1.0, 2.0]] * len(texts)), "count words")[0] == "word-count"
