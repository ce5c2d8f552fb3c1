"""The contract of the Forge port, run on every adapter. The local forge is the reference."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from agent.domain.check import TestRun
from agent.domain.proposal import AUTHOR, WITNESS, ProposalDraft, Written
from agent.domain.request import RequestDraft
from agent.errors import HeadMoved, NotFound, Refused, UsageError
from agent.forges.local import LocalForge
from agent.ports import Forge
from tests import hub
from tests.builders import a_result, a_review

# An adapter opens the forge that belongs to a folder, and makes it where there is none.
ADAPTERS: dict[str, Callable[[Path], Forge]] = {
    "local": lambda folder: LocalForge.found(folder / "origin.git"),
    "github": lambda folder: hub.Hub(os.environ[HUB]).forge(str(folder)),
}
HUB = "TEST_HUB"  # the address of this run's GitHub server, for the processes that a test starts too
SKILL = "skills/word-count"


@pytest.fixture(scope="session")
def server() -> Iterator[None]:
    """One GitHub server for all of them; each test has a repository of its own there."""
    with hub.running() as github:
        os.environ[HUB] = github.url
        yield


@pytest.fixture(params=["local", pytest.param("github", marks=pytest.mark.github)])
def reopen(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], Forge]:
    """Opens the forge of this test, as another process would."""
    if request.param == "github":
        request.getfixturevalue("server")
    return lambda: ADAPTERS[request.param](tmp_path)


@pytest.fixture
def empty(reopen: Callable[[], Forge]) -> Forge:
    return reopen()


@pytest.fixture
def forge(empty: Forge) -> Forge:
    write(empty, "main", {"registry.yaml": b"revision: 1\n", "README.md": b"Skills.\n"})
    return empty


def write(forge: Forge, branch: str, files: dict[str, bytes | None], parent: str | None = None, author: str = "ada") -> str:
    return forge.commit(branch, files, parent=parent, message="A change", author=author)


def a_request_draft(**traits: Any) -> RequestDraft:
    return RequestDraft.model_validate(
        {"key": "k1", "title": "Count words", "text": "How many words has a text?", "requester": "ada", "source": "cli", **traits}
    )


def a_proposal_draft(**traits: Any) -> ProposalDraft:
    return ProposalDraft.model_validate(
        {
            "branch": "skill/word-count-1",
            "skill": "word-count",
            "kind": "new",
            "title": "Add word-count",
            "body": "It counts.",
            "author": "ada",
            **traits,
        }
    )


def open_one(forge: Forge, branch: str = "skill/word-count-1", files: dict[str, bytes | None] | None = None, **traits: Any) -> tuple[int, str]:
    """A branch with a commit and its proposal; number and head."""
    head = write(forge, branch, files or {f"{SKILL}/skill.py": b"x = 1\n"})
    return forge.open_proposal(a_proposal_draft(branch=branch, **traits)).number, head


# ---- repository: reading ------------------------------------------------------------------------------------------


def test_an_empty_repository_has_no_head_and_takes_its_first_commit(empty: Forge) -> None:
    assert empty.head("main") is None
    assert empty.read("main", "registry.yaml") is None
    assert empty.children("main", "") == {}
    assert empty.history("registry.yaml") == () or list(empty.history("registry.yaml")) == []

    first = write(empty, "main", {"registry.yaml": b"revision: 1\n"})

    assert empty.head("main") == first
    assert empty.read("main", "registry.yaml") == b"revision: 1\n"


def test_a_ref_is_a_branch_or_a_commit_and_nothing_else(forge: Forge) -> None:
    head = forge.head("main")
    assert head is not None
    tree = forge.object_id("main", "")

    assert forge.head(head) == head
    for no_ref in ("other", "", "main~0", "HEAD", "main:", "-x", "@{0}", "refs/heads/main", "0" * 40, str(tree), head[:12], "ma\nin", "x\ud800"):
        assert forge.head(no_ref) is None, no_ref


def test_reading_gives_the_blob_at_a_branch_and_at_a_commit_or_none(forge: Forge) -> None:
    old = forge.head("main")
    assert old is not None
    write(forge, "main", {"README.md": b"\xff\x00 not text"}, parent=old)

    assert forge.read("main", "README.md") == b"\xff\x00 not text"
    assert forge.read(old, "README.md") == b"Skills.\n"
    assert forge.read("main", "none.md") is None
    assert forge.read("nowhere", "README.md") is None
    assert forge.read("main", "a\nb") is None


def test_a_folder_is_no_blob_and_a_blob_is_no_folder(forge: Forge) -> None:
    write(forge, "main", {f"{SKILL}/skill.py": b"x"}, parent=forge.head("main"))

    assert forge.read("main", SKILL) is None
    assert forge.files("main", "README.md") == {}
    assert forge.children("main", "README.md") == {}


def test_files_are_all_blobs_below_a_folder_by_relative_path(forge: Forge) -> None:
    write(
        forge,
        "main",
        {f"{SKILL}/skill.py": b"x", f"{SKILL}/tests/test_skill.py": b"t", "skills/word-counter/skill.py": b"no"},
        parent=forge.head("main"),
    )

    assert forge.files("main", SKILL) == {"skill.py": b"x", "tests/test_skill.py": b"t"}
    assert forge.files("main", f"{SKILL}/") == forge.files("main", SKILL)
    assert forge.files("main", "skills/none") == {}
    assert forge.files("main", "../x") == {}


def test_a_blob_over_one_mebibyte_is_left_out_of_files_and_named_by_changes(forge: Forge) -> None:
    head = write(forge, "skill/big", {f"{SKILL}/fits": b"a" * 2**20, f"{SKILL}/big": b"a" * (2**20 + 1)})

    assert set(forge.files(head, SKILL)) == {"fits"}
    assert {change.path: change.size for change in forge.changes("main", head)} == {f"{SKILL}/fits": 2**20, f"{SKILL}/big": 2**20 + 1}


def test_an_object_id_changes_with_the_content_alone(forge: Forge) -> None:
    first = write(forge, "main", {f"{SKILL}/skill.py": b"x"}, parent=forge.head("main"))
    tree = forge.object_id("main", SKILL)
    second = write(forge, "main", {"README.md": b"Other."}, parent=first)

    assert tree is not None and forge.object_id(second, SKILL) == tree
    assert forge.children(second, "skills") == {"word-count": tree}
    assert forge.children(second, SKILL) == {"skill.py": forge.object_id(second, f"{SKILL}/skill.py")}
    assert set(forge.children(second, "")) == {"README.md", "registry.yaml", "skills"}
    assert forge.object_id(second, "skills/none") is None


def test_changes_are_against_the_merge_base(forge: Forge) -> None:
    start = forge.head("main")
    head = write(forge, "skill/a", {f"{SKILL}/skill.py": b"x\n", "README.md": None, "registry.yaml": b"revision: 9\n", "data.bin": b"\0\1"})
    write(forge, "main", {"elsewhere.md": b"main moved"}, parent=start)

    changes = {change.path: change for change in forge.changes("main", head)}

    assert {path: (change.status, change.mode, change.size, change.binary) for path, change in changes.items()} == {
        f"{SKILL}/skill.py": ("added", "100644", 2, False),
        "README.md": ("deleted", "000000", 0, False),
        "registry.yaml": ("modified", "100644", 12, False),
        "data.bin": ("added", "100644", 2, True),
    }
    assert forge.changes("main", str(start)) == ()


def test_a_diff_is_unified_and_without_binary_content(forge: Forge) -> None:
    start = forge.head("main")
    head = write(forge, "skill/a", {f"{SKILL}/skill.py": b"x = 1\n", "data.bin": b"\0SECRET", "README.md": b"Abilities.\n"})
    write(forge, "main", {"elsewhere.md": b"main moved"}, parent=start)

    whole, part = forge.diff("main", head), forge.diff("main", head, SKILL)

    assert "+x = 1" in whole and "-Skills.\n+Abilities." in whole and "elsewhere" not in whole
    assert "data.bin" in whole and "SECRET" not in whole
    assert "+x = 1" in part and "README" not in part


def test_history_is_mains_and_newest_first(forge: Forge) -> None:
    first = forge.commit("main", {f"{SKILL}/skill.py": b"1"}, parent=forge.head("main"), message="One\n\nBody", author="ada")
    other = forge.commit("main", {"README.md": b"2"}, parent=first, message="Two", author="bob")
    third = forge.commit("main", {f"{SKILL}/skill.py": b"3"}, parent=other, message="Three", author="bob")
    write(forge, "skill/a", {f"{SKILL}/skill.py": b"not on main"})

    lines = forge.history(SKILL)

    assert [(line.commit, line.author, line.message) for line in lines] == [(third, "bob", "Three"), (first, "ada", "One")]
    assert all(line.at[10] == "T" for line in lines)
    assert [line.commit for line in forge.history(SKILL, limit=1)] == [third]
    assert list(forge.history("none")) == []


# ---- repository: writing ------------------------------------------------------------------------------------------


def test_a_new_branch_starts_at_the_head_of_main(forge: Forge) -> None:
    head = write(forge, "skill/a", {f"{SKILL}/skill.py": b"x"})

    assert forge.head("skill/a") == head
    assert forge.read(head, "README.md") == b"Skills.\n"
    assert forge.read("main", f"{SKILL}/skill.py") is None


def test_an_orphan_starts_with_nothing_and_goes_on_like_any_branch(forge: Forge) -> None:
    first = forge.commit("ledger", {"a": b"1"}, parent=None, message="First", author="ada", orphan=True)
    second = forge.commit("ledger", {"b": b"2"}, parent=first, message="Second", author="ada", orphan=True)

    assert set(forge.children("ledger", "")) == {"a", "b"} and forge.head("ledger") == second
    with pytest.raises(HeadMoved):
        forge.commit("ledger", {"c": b"3"}, parent=None, message="Late", author="ada", orphan=True)


def test_an_orphan_that_others_moved_is_not_moved_and_what_was_done_is_found(forge: Forge, reopen: Callable[[], Forge]) -> None:
    def put(forge: Forge, content: bytes, parent: str | None) -> str:
        return forge.commit("ledger", {"folder/a": content}, parent=parent, message="One\n\nBody", author="ada", orphan=True)

    first = put(forge, b"1", None)
    second = put(reopen(), b"2", first)

    with pytest.raises(HeadMoved):
        put(forge, b"3", first)
    assert put(forge, b"2", first) == second == forge.head("ledger")
    with pytest.raises(HeadMoved):
        forge.commit("none", {"a": b"1"}, parent=first, message="m", author="ada", orphan=True)


def test_in_a_look_what_we_write_is_seen_at_once(forge: Forge) -> None:
    number = forge.open_request(a_request_draft()).number
    with forge.looking():
        assert (forge.head("skill/word-count-1"), forge.proposals("all"), list(forge.comments(number))) == (None, [], [])
        proposal, head = open_one(forge, request=number)
        forge.say(number, "On it.", author="skillops", marker="m")
        forge.label(number, add=["hold"])
        forge.post_check(proposal, a_result("style", head=head))
        forge.post_review(proposal, a_review("fit", head=head))

        assert forge.head("skill/word-count-1") == head and [each.number for each in forge.proposals("all")] == [proposal]
        assert [each.text for each in forge.comments(number)] == ["On it."] and forge.request(number).labels == ("hold",)
        assert [each.name for each in forge.checks(proposal, head).results] == ["style"] and len(forge.reviews(proposal, head)) == 1
        commit = forge.merge(proposal, expected_head=head, message="Merge", author="ada")
        assert (forge.proposal(proposal).state, forge.head("main"), forge.read("main", f"{SKILL}/skill.py")) == ("merged", commit, b"x = 1\n")
        forge.close_request(number, "done")
        assert forge.request(number).closed_as == "done" and forge.requests() == []


def test_a_commit_adds_replaces_and_deletes(forge: Forge) -> None:
    first = write(forge, "skill/a", {f"{SKILL}/a": b"1", f"{SKILL}/deep/b": b"2", f"{SKILL}/a.b": b"3"})

    second = write(forge, "skill/a", {f"{SKILL}/a": b"new", f"{SKILL}/deep/b": None, f"{SKILL}/a-b": b""}, parent=first)

    assert forge.files(second, SKILL) == {"a": b"new", "a.b": b"3", "a-b": b""}
    assert "deep" not in forge.children(second, SKILL)
    assert forge.files(first, SKILL) == {"a": b"1", "deep/b": b"2", "a.b": b"3"}


def test_a_branch_that_is_not_at_the_parent_is_not_moved(forge: Forge) -> None:
    first = write(forge, "skill/a", {"a": b"1"})
    second = write(forge, "skill/a", {"a": b"2"}, parent=first)

    for files, parent in (({"a": b"3"}, first), ({"a": b"3"}, None), ({"a": b"3"}, "0" * 40), ({"a": b"3"}, first[:10])):
        with pytest.raises(HeadMoved):
            write(forge, "skill/a", files, parent=parent)
    with pytest.raises(HeadMoved):
        write(forge, "skill/none", {"a": b"3"}, parent=first)
    with pytest.raises(HeadMoved):
        write(forge, "main", {"a": b"3"})

    assert forge.head("skill/a") == second


def test_the_same_commit_done_again_gives_the_head(forge: Forge) -> None:
    start = forge.head("main")
    released = write(forge, "main", {"registry.yaml": b"revision: 2\n"}, parent=start)
    first = write(forge, "skill/a", {"a": b"1"})
    second = write(forge, "skill/a", {"a": b"2", "README.md": None}, parent=first)

    assert write(forge, "main", {"registry.yaml": b"revision: 2\n"}, parent=start) == released
    assert write(forge, "skill/a", {"a": b"2", "README.md": None}, parent=first) == second
    with pytest.raises(HeadMoved):
        write(forge, "skill/a", {"a": b"2"}, parent=first)


def test_a_branch_made_again_gives_its_head_even_where_main_has_moved(forge: Forge) -> None:
    start = forge.head("main")
    first = write(forge, "skill/a", {"a": b"1"})
    write(forge, "main", {"b": b"2"}, parent=start)

    assert write(forge, "skill/a", {"a": b"1"}) == first
    with pytest.raises(HeadMoved):
        write(forge, "skill/a", {"a": b"other"})


def test_the_first_commit_done_again_gives_the_head(empty: Forge) -> None:
    first = write(empty, "main", {"a": b"1"})

    assert write(empty, "main", {"a": b"1"}) == first
    with pytest.raises(HeadMoved):
        write(empty, "main", {"a": b"2"})


def test_files_that_are_there_already_make_no_commit(forge: Forge) -> None:
    head = forge.head("main")

    assert write(forge, "main", {"README.md": b"Skills.\n", "none": None, "none/below": None}, parent=head) == head
    assert write(forge, "skill/a", {"README.md": b"Skills.\n"}) == head
    assert write(forge, "skill/a", {"README.md": b"Skills.\n"}) == head
    assert forge.head("skill/a") == head


@pytest.mark.parametrize(
    "path",
    [
        "../a",
        "a/../b",
        "/a",
        "a//b",
        "a/",
        "",
        ".git/config",
        "a/.GIT/x",
        ".git ./x",
        "GIT~1/x",
        ".g\u200cit/x",
        ".git::$INDEX_ALLOCATION/x",
        "a\nb",
        "a\\b",
    ],
)
def test_odd_paths_are_not_committed(forge: Forge, path: str) -> None:
    with pytest.raises(UsageError):
        write(forge, "skill/a", {path: b"x"})
    assert forge.head("skill/a") is None


@pytest.mark.parametrize("branch", ["", "-x", "a..b", "a b", "a.lock", "HEAD", "x/", "a\nb", "a" * 40, "x~1"])
def test_what_is_no_name_of_a_branch_is_refused(forge: Forge, branch: str) -> None:
    with pytest.raises(UsageError):
        write(forge, branch, {"a": b"x"})


@pytest.mark.parametrize(("author", "message"), [("", "m"), ("a <b>", "m"), ("a\nb", "m"), ("ada", "nul \0"), ("ada", "half \ud800")])
def test_an_author_or_a_message_that_git_would_misread_is_refused(forge: Forge, author: str, message: str) -> None:
    with pytest.raises(UsageError):
        forge.commit("skill/a", {"a": b"x"}, parent=None, message=message, author=author)
    assert forge.head("skill/a") is None


def test_a_file_cannot_be_a_folder_too(forge: Forge) -> None:
    with pytest.raises(UsageError):
        write(forge, "skill/a", {"a": b"x", "a/b": b"y"})
    with pytest.raises(UsageError):
        write(forge, "skill/a", {"a/b": b"y", "a": b"x"})


def test_a_file_may_become_a_folder_and_a_folder_a_file(forge: Forge) -> None:
    first = write(forge, "skill/a", {"a": b"file", "b/c": b"in a folder"})

    second = write(forge, "skill/a", {"a": None, "a/x": b"1", "b/c": None, "b": b"2"}, parent=first)

    assert forge.files(second, "") == {"README.md": b"Skills.\n", "registry.yaml": b"revision: 1\n", "a/x": b"1", "b": b"2"}


def test_of_many_threads_that_write_on_the_same_parent_one_wins(forge: Forge) -> None:
    parent = forge.head("main")

    def attempt(number: int) -> str:
        try:
            return write(forge, "main", {f"file-{number}": b"x"}, parent=parent)
        except HeadMoved:
            return ""

    with ThreadPoolExecutor(8) as pool:
        won = [commit for commit in pool.map(attempt, range(8)) if commit]

    assert won == [forge.head("main")]
    assert len([name for name in forge.children("main", "") if name.startswith("file-")]) == 1


def test_threads_that_write_the_same_on_the_same_parent_share_one_commit(forge: Forge) -> None:
    parent = forge.head("main")
    with ThreadPoolExecutor(4) as pool:
        commits = set(pool.map(lambda _: write(forge, "main", {"a": b"x"}, parent=parent), range(4)))

    assert commits == {forge.head("main")}


def append(adapter: str, folder: Path, name: str, times: int) -> None:
    """What each of two processes does: add a line to one file of main, again and again, until each has gone in."""
    forge = ADAPTERS[adapter](folder)
    for number in range(times):
        while True:
            head = forge.head("main")
            assert head is not None
            try:
                write(forge, "main", {"log": (forge.read(head, "log") or b"") + f"{name}{number}\n".encode()}, parent=head)
                break
            except HeadMoved:
                continue
        forge.open_request(a_request_draft(key=f"{name}{number}"))


def test_two_processes_lose_no_commit_and_share_no_number(forge: Forge, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    adapter = request.node.callspec.params["reopen"]
    context = multiprocessing.get_context("spawn")
    both = [context.Process(target=append, args=(adapter, tmp_path, name, 12)) for name in "ab"]
    for process in both:
        process.start()
    for process in both:
        process.join(300)

    assert [process.exitcode for process in both] == [0, 0]
    log = (forge.read("main", "log") or b"").decode().split()
    assert sorted(log) == sorted(f"{name}{number}" for name in "ab" for number in range(12))
    assert [line for line in log if line[0] == "a"] == [f"a{number}" for number in range(12)]
    assert len(forge.history("log")) == 24
    assert [request.number for request in forge.requests()] == list(range(1, 25))


# ---- requests -----------------------------------------------------------------------------------------------------


def test_a_request_is_kept_as_it_was_raised(forge: Forge, reopen: Callable[[], Forge]) -> None:
    text = "Zähle „Wörter“ 🙂\r\n\t<script>alert(1)</script> \x1b[31m '; DROP TABLE thread; --"
    opened = forge.open_request(a_request_draft(text=text, conversation="c1", source="chat"))

    assert (opened.number, opened.title, opened.text, opened.requester, opened.source) == (1, "Count words", text, "ada", "chat")
    assert (opened.conversation, opened.state, opened.closed_as, opened.labels) == ("c1", "open", "", ())
    assert opened.url.endswith("/requests/1") or opened.url.endswith("/issues/1")
    assert reopen().request(1) == opened


def test_the_same_key_never_opens_a_second_request(forge: Forge) -> None:
    first = forge.open_request(a_request_draft())
    forge.close_request(first.number, "done")

    again = forge.open_request(a_request_draft(title="Other words", text="Other text"))

    assert (again.number, again.title, again.state) == (first.number, first.title, "closed")
    assert len(forge.requests("all")) == 1


def test_a_part_names_the_request_that_it_is_of_and_leaves_the_words_of_that_alone(forge: Forge, reopen: Callable[[], Forge]) -> None:
    whole = forge.open_request(a_request_draft(text="Count words.\r\nAnd lines."))
    parts = [forge.open_request(a_request_draft(key=f"part {number}", title=f"Part {number}", parent=whole.number)) for number in (1, 2, 1)]
    forge.close_request(parts[1].number, "done")

    assert [part.parent for part in parts] == [whole.number] * 3 and parts[0] == parts[2] == reopen().request(parts[0].number)
    assert (forge.request(whole.number), whole.parent) == (whole, None)
    assert [(each.number, each.parent) for each in reopen().requests()] == [(whole.number, None), (parts[0].number, whole.number)]


def test_threads_that_raise_the_same_request_get_the_same_number(forge: Forge) -> None:
    with ThreadPoolExecutor(8) as pool:
        numbers = list(pool.map(lambda number: forge.open_request(a_request_draft(key=f"k{number % 2}")).number, range(16)))

    assert sorted(set(numbers)) == [1, 2]


def test_requests_are_listed_by_state(forge: Forge) -> None:
    for number in range(3):
        forge.open_request(a_request_draft(key=f"k{number}"))
    forge.close_request(2, "covered")

    assert [request.number for request in forge.requests()] == [1, 3]
    assert [(request.number, request.closed_as) for request in forge.requests("closed")] == [(2, "covered")]
    assert [request.number for request in forge.requests("all")] == [1, 2, 3]


def test_closing_twice_keeps_the_first_ending(forge: Forge) -> None:
    forge.open_request(a_request_draft())
    forge.close_request(1, "refused")
    forge.close_request(1, "done")

    assert forge.request(1).closed_as == "refused"
    with pytest.raises(UsageError):
        forge.close_request(1, "whatever")


def test_what_does_not_exist_is_not_found_and_the_newest_is_named(forge: Forge) -> None:
    forge.open_request(a_request_draft())
    number, head = open_one(forge)

    with pytest.raises(NotFound) as found:
        forge.request(99)
    assert "#1" in found.value.next_step
    calls: list[Callable[[], object]] = [
        lambda: forge.request(number), lambda: forge.proposal(1), lambda: forge.proposal(10**30), lambda: forge.request(-1), lambda: forge.request(0),
        lambda: forge.close_request(number, "done"), lambda: forge.close_proposal(1), lambda: forge.label(99, add=["x"]),
        lambda: forge.say(99, "x", author="ada"), lambda: forge.comments(99), lambda: forge.post_check(1, a_result(head=head)),
        lambda: forge.post_review(99, a_review(head=head)), lambda: forge.checks(1, head), lambda: forge.reviews(99, head),
        lambda: forge.forget_verdicts(1, head), lambda: forge.merge(1, expected_head=head, message="m", author="ada"),
    ]  # fmt: skip
    for call in calls:
        with pytest.raises(NotFound):
            call()


def test_labels_are_added_and_removed_on_requests_and_proposals(forge: Forge) -> None:
    forge.open_request(a_request_draft())
    number, _ = open_one(forge)
    for thread in (1, number):
        forge.label(thread, add=["hold", "b", "b"])
        forge.label(thread, add=["hold", "c"], remove=["b", "never-there"])

    assert forge.request(1).labels == ("c", "hold")
    assert forge.proposal(number).labels == ("c", "hold")
    assert forge.proposals()[0].labels == ("c", "hold")


def test_comments_are_kept_in_order_and_a_marked_one_is_edited(forge: Forge) -> None:
    forge.open_request(a_request_draft())
    number, _ = open_one(forge)
    forge.say(1, "first", author="ada")
    forge.say(1, "progress: 1", author="skillops", marker="progress")
    forge.say(1, "first", author="ada")
    forge.say(1, "progress: 2", author="skillops", marker="progress")
    forge.say(1, "outcome", author="skillops", marker="outcome")
    forge.say(number, "progress: 0", author="skillops", marker="progress")

    said = forge.comments(1)

    assert [(comment.text, comment.marker) for comment in said] == [
        ("first", None), ("progress: 2", "progress"), ("first", None), ("outcome", "outcome")
    ]  # fmt: skip
    assert [comment.id for comment in said] == sorted({comment.id for comment in said})
    assert {(comment.number, comment.author) for comment in said} == {(1, "ada"), (1, "skillops")}
    assert [comment.text for comment in forge.comments(number)] == ["progress: 0"]


def test_text_that_no_forge_would_keep_is_refused_whole(forge: Forge) -> None:
    longest = "ü" * 65_000  # GitHub takes 65,536 characters, and a marker of ours is among them there
    forge.open_request(a_request_draft(key="k0", text=longest))
    forge.say(1, longest, author="ada")
    for text in ("nul \0", "x" * 65_537, "x" * 10_000_000):
        with pytest.raises(UsageError):
            forge.open_request(a_request_draft(text=text))
        with pytest.raises(UsageError):
            forge.say(1, text, author="ada", marker="m")
    with pytest.raises(UsageError):
        forge.say(1, "half \ud800", author="ada")
    with pytest.raises(UsageError):
        forge.open_request(a_request_draft(title="x" * 257))
    with pytest.raises(UsageError):
        forge.label(1, add=["fine", "nul \0"])

    assert len(forge.requests("all")) == len(forge.comments(1)) == 1
    assert forge.request(1).text == longest and forge.request(1).labels == ()


# ---- proposals ----------------------------------------------------------------------------------------------------


def test_a_proposal_shares_its_numbers_with_requests_and_follows_its_branch(forge: Forge) -> None:
    forge.open_request(a_request_draft())
    number, head = open_one(forge, request=1)

    opened = forge.proposal(number)
    assert (opened.number, opened.head, opened.base, opened.request, opened.state, opened.merged_commit) == (
        2,
        head,
        forge.head("main"),
        1,
        "open",
        None,
    )
    assert (opened.branch, opened.skill, opened.kind, opened.title, opened.body, opened.author) == (
        "skill/word-count-1", "word-count", "new", "Add word-count", "It counts.", "ada"
    )  # fmt: skip
    assert "2" in opened.url

    pushed = write(forge, opened.branch, {f"{SKILL}/skill.py": b"x = 2\n"}, parent=head)
    moved = write(forge, "main", {"README.md": b"moved"}, parent=forge.head("main"))
    assert (forge.proposal(number).head, forge.proposal(number).base) == (pushed, moved)


def test_opening_again_updates_title_body_and_draft_state_alone(forge: Forge) -> None:
    number, _ = open_one(forge)

    again = forge.open_proposal(a_proposal_draft(title="Better", body="More.", draft=True, author="mallory", kind="revert"))

    assert (again.number, again.title, again.body, again.draft) == (number, "Better", "More.", True)
    assert (again.author, again.kind) == ("ada", "new")
    assert len(forge.proposals("all")) == 1


def test_threads_that_open_the_same_branch_share_one_proposal(forge: Forge) -> None:
    write(forge, "skill/word-count-1", {"a": b"1"})
    with ThreadPoolExecutor(6) as pool:
        numbers = set(pool.map(lambda _: forge.open_proposal(a_proposal_draft()).number, range(12)))

    assert numbers == {1}


def test_a_proposal_needs_a_branch_that_adds_something(forge: Forge) -> None:
    write(forge, "skill/same", {"README.md": b"Skills.\n"})
    for branch in ("skill/none", "main", "skill/same"):
        with pytest.raises(UsageError):
            forge.open_proposal(a_proposal_draft(branch=branch))
    with pytest.raises(UsageError):
        forge.open_proposal(a_proposal_draft(body="nul \0"))

    assert list(forge.proposals("all")) == []


def test_a_closed_proposal_keeps_its_head_and_a_new_one_can_be_opened(forge: Forge) -> None:
    number, head = open_one(forge)
    forge.close_proposal(number)
    write(forge, "skill/word-count-1", {"later": b"x"}, parent=head)
    forge.close_proposal(number)

    closed = forge.proposal(number)
    assert (closed.state, closed.head, closed.merged_commit) == ("closed", head, None)
    assert forge.head("skill/word-count-1") is not None
    assert forge.open_proposal(a_proposal_draft()).number == number + 1
    with pytest.raises(Refused):
        forge.merge(number, expected_head=head, message="m", author="ada")


def test_proposals_are_listed_by_state(forge: Forge) -> None:
    for name in "abc":
        open_one(forge, f"skill/{name}", {f"skills/{name}/skill.py": b"x"})
    forge.close_proposal(2)
    forge.merge(3, expected_head=forge.proposal(3).head, message="m", author="ada")

    numbers = {state: [proposal.number for proposal in forge.proposals(state)] for state in ("open", "merged", "closed", "all")}

    assert numbers == {"open": [1], "merged": [3], "closed": [2], "all": [1, 2, 3]}
    assert {proposal.number: proposal for proposal in forge.proposals("all")} == {number: forge.proposal(number) for number in (1, 2, 3)}


def test_proposals_of_one_skill_are_found_among_all(forge: Forge) -> None:
    for skill in ("word-count", "word-counter", "word-count"):
        branch = f"skill/{skill}-{len(forge.proposals())}"
        write(forge, branch, {f"skills/{skill}/{len(forge.proposals())}.py": b"x"})
        forge.open_proposal(a_proposal_draft(branch=branch, skill=skill))
    forge.merge(3, expected_head=forge.proposal(3).head, message="m", author="ada")

    numbers = {state: [proposal.number for proposal in forge.proposals(state, skill="word-count")] for state in ("open", "merged", "all")}

    assert numbers == {"open": [1], "merged": [3], "all": [1, 3]}
    assert forge.proposals("all", skill="word") == []


def test_proposals_for_one_request_are_found_among_all(forge: Forge) -> None:
    asked, other = (forge.open_request(a_request_draft(key=key)).number for key in ("a", "b"))
    for branch, request in (("skill/a", asked), ("skill/b", other), ("skill/c", asked), ("skill/d", None)):
        write(forge, branch, {f"{branch}/skill.py": b"x"})
        forge.open_proposal(a_proposal_draft(branch=branch, request=request))
    first, *_ = (proposal.number for proposal in forge.proposals("open", request=asked))
    forge.merge(first, expected_head=forge.proposal(first).head, message="m", author="ada")

    branches = {state: [proposal.branch for proposal in forge.proposals(state, request=asked)] for state in ("open", "merged", "all")}

    assert branches == {"open": ["skill/c"], "merged": ["skill/a"], "all": ["skill/a", "skill/c"]}
    assert forge.proposals("all", request=99) == []


def test_one_check_result_a_head_and_name_and_the_last_one_counts(forge: Forge) -> None:
    number, head = open_one(forge)
    findings = [{"message": "half \\ud800 and nul \0", "path": "a.py", "line": 3}]
    forge.post_check(number, a_result("style", "failed", head=head, findings=findings, seconds=0.5))
    forge.post_check(number, a_result("tests", head=head))
    forge.post_check(number, a_result("style", head="c" * 40))
    kept = forge.checks(number, head)
    forge.post_check(number, a_result("style", head=head))

    assert kept.head == head and {result.name: result.outcome for result in kept.results} == {"style": "failed", "tests": "passed"}
    assert next(result for result in kept.results if result.name == "style").findings[0].message == "half \\ud800 and nul \0"
    assert {result.name: result.outcome for result in forge.checks(number, head).results} == {"style": "passed", "tests": "passed"}
    assert forge.checks(number, "d" * 40).results == ()


def test_what_the_tests_came_to_is_kept_with_a_verdict_and_of_too_much_the_failures(forge: Forge) -> None:
    number, head = open_one(forge)
    ran = [TestRun(id=f"test_skill.py::test_{each:03}[<b>--]", outcome="passed", seconds=each / 1000) for each in range(199)]
    ran.append(TestRun(id="test_skill.py::test_last", outcome="failed", message="1 is not 2", seconds=0.5))
    forge.post_check(number, a_result("tests", "failed", head=head).with_tests(ran))
    kept = forge.checks(number, head).results[0]
    assert len(kept.tests) == 200 and kept.tests[0] == ran[-1] and set(kept.tests) == set(ran)

    findings = [{"message": "x" * 1000, "path": "a.py", "line": line} for line in range(1, 50)]
    forge.post_check(number, a_result("tests", "failed", head=head, findings=findings).with_tests(ran * 2))
    crowded = forge.checks(number, head).results[0]
    assert crowded.tests[0] == ran[-1] and len(crowded.tests) + crowded.untold == 400 and len(crowded.findings) == 49


def test_one_review_a_head_and_reviewer_and_the_last_one_counts(forge: Forge) -> None:
    number, head = open_one(forge)
    forge.post_review(number, a_review("fit", "revise", head=head))
    forge.post_review(number, a_review("ada", kind="person", head=head))
    forge.post_review(number, a_review("fit", head=head, summary="Now it fits."))

    assert {review.reviewer: (review.verdict, review.summary) for review in forge.reviews(number, head)} == {
        "fit": ("approve", "Now it fits."),
        "ada": ("approve", "Looks right."),
    }
    assert forge.reviews(number, "d" * 40) == ()


def test_who_wrote_a_proposal_is_told_commit_by_commit_and_ours_are_nobodys(forge: Forge) -> None:
    first = write(forge, "skill/word-count-1", {f"{SKILL}/skill.py": b"x = 1\n"}, author=AUTHOR)
    number = forge.open_proposal(a_proposal_draft(author=AUTHOR)).number
    assert forge.written(forge.proposal(number)) == ()

    bobs = write(forge, "skill/word-count-1", {f"{SKILL}/skill.py": b"x = 2\n"}, parent=first, author="Bob B")
    witness = write(forge, "skill/word-count-1", {f"{SKILL}/witness.yaml": b"cases: []\n"}, parent=bobs, author=WITNESS)
    write(forge, "main", {"README.md": b"Of no proposal.\n"}, parent=forge.head("main"), author="eve")

    assert forge.proposal(number).head == witness
    assert forge.written(forge.proposal(number)) == (Written(commit=bobs, people=("Bob B",)),)


def test_forgetting_drops_what_could_not_be_told_of_that_head_alone(forge: Forge) -> None:
    number, other = open_one(forge)
    head = write(forge, "skill/word-count-1", {f"{SKILL}/skill.py": b"x = 2\n"}, parent=other)
    for at in (head, other):
        forge.post_check(number, a_result("style", "could_not_tell", head=at))
        forge.post_check(number, a_result("tests", "failed", head=at))
        forge.post_review(number, a_review("fit", "could_not_tell", head=at))
        forge.post_review(number, a_review("security", "reject", head=at))
        forge.post_review(number, a_review("ada", "could_not_tell", kind="person", head=at))

    forge.forget_verdicts(number, head)

    assert [result.name for result in forge.checks(number, head).results] == ["tests"]
    assert {review.reviewer for review in forge.reviews(number, head)} == {"security", "ada"}
    assert len(forge.checks(number, other).results) == 2 and len(forge.reviews(number, other)) == 3


def test_verdicts_posted_side_by_side_are_all_kept(forge: Forge) -> None:
    number, head = open_one(forge)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda name: forge.post_check(number, a_result(f"check-{name:02}", head=head)), range(24)))

    assert forge.checks(number, head).covers(f"check-{name:02}" for name in range(24))


# ---- merging ------------------------------------------------------------------------------------------------------


def test_merging_brings_the_branch_into_main_and_says_which_proposal(forge: Forge) -> None:
    number, head = open_one(forge)
    before = write(forge, "main", {"README.md": b"moved"}, parent=forge.head("main"))

    commit = forge.merge(number, expected_head=head, message="Merge word-count\n\nCloses #1", author="skillops-deployer")

    assert forge.head("main") == commit
    assert forge.read("main", f"{SKILL}/skill.py") == b"x = 1\n" and forge.read("main", "README.md") == b"moved"
    merged = forge.proposal(number)
    assert (merged.state, merged.head, merged.base, merged.merged_commit) == ("merged", head, before, commit)
    assert forge.history(SKILL)[0].commit == commit and forge.history(SKILL)[0].message == "Merge word-count"
    assert forge.head("skill/word-count-1") == head


def test_merging_twice_returns_the_first_commit(forge: Forge) -> None:
    number, head = open_one(forge)
    first = forge.merge(number, expected_head=head, message="m", author="ada")
    write(forge, "main", {"later": b"x"}, parent=first)

    assert forge.merge(number, expected_head=head, message="m", author="ada") == first
    forge.close_proposal(number)
    assert forge.proposal(number).state == "merged"


def test_a_head_that_was_not_judged_is_not_merged(forge: Forge) -> None:
    number, judged = open_one(forge)
    write(forge, "skill/word-count-1", {f"{SKILL}/evil.py": b"x"}, parent=judged)
    main = forge.head("main")

    with pytest.raises(HeadMoved):
        forge.merge(number, expected_head=judged, message="m", author="ada")

    assert forge.head("main") == main and forge.proposal(number).state == "open"


def test_a_conflict_is_refused_and_names_the_file(forge: Forge) -> None:
    number, head = open_one(forge, files={"README.md": b"Theirs.\n"})
    main = write(forge, "main", {"README.md": b"Ours.\n"}, parent=forge.head("main"))

    with pytest.raises(Refused) as refused:
        forge.merge(number, expected_head=head, message="m", author="ada")

    assert "README.md" in refused.value.why
    assert forge.head("main") == main and forge.proposal(number).state == "open"


def test_proposals_merged_side_by_side_all_arrive(forge: Forge) -> None:
    numbers = [open_one(forge, f"skill/{name}", {f"skills/{name}/skill.py": b"x"})[0] for name in "abcd"]
    with ThreadPoolExecutor(4) as pool:
        commits = list(pool.map(lambda number: forge.merge(number, expected_head=forge.proposal(number).head, message="m", author="ada"), numbers))

    assert len(set(commits)) == 4 and set(forge.children("main", "skills")) == set("abcd")
    assert {proposal.merged_commit for proposal in forge.proposals("merged")} == set(commits)


def test_one_proposal_merged_by_several_is_merged_once(forge: Forge) -> None:
    number, head = open_one(forge)
    with ThreadPoolExecutor(4) as pool:
        commits = set(pool.map(lambda _: forge.merge(number, expected_head=head, message="m", author="ada"), range(4)))

    assert commits == {forge.head("main")} == {forge.proposal(number).merged_commit}
    assert len(forge.history(SKILL)) == 1
