"""The local forge: a bare git repository, with its requests and proposals in a SQLite file inside it.

It is the reference adapter of the Forge port: state that another forge keeps on a server lies in `skillops/forge.sqlite`.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Literal, get_args

from agent.domain.check import CheckReport, CheckResult
from agent.domain.proposal import Proposal, ProposalDraft, Written
from agent.domain.request import Comment, Request, RequestDraft
from agent.domain.review import Review
from agent.errors import ConfigurationError, HeadMoved, NotFound, Refused, UsageError
from agent.forges.git_door import is_bare, isolated_git, run_git
from agent.forges.git_objects import GitObjects
from agent.forges.sound import LABEL, TEXT, TITLE, sound
from agent.sqlite_file import SqliteFile

_SCHEMA = """
CREATE TABLE IF NOT EXISTS thread (
  number INTEGER PRIMARY KEY AUTOINCREMENT,  -- requests and proposals share their numbers
  kind TEXT NOT NULL, state TEXT NOT NULL DEFAULT 'open',
  key TEXT NOT NULL,                         -- the request's key, the proposal's branch
  draft TEXT NOT NULL,                       -- RequestDraft or ProposalDraft as JSON
  closed_as TEXT NOT NULL DEFAULT '',
  opened_at TEXT, head TEXT, base TEXT, merged_commit TEXT
);
CREATE UNIQUE INDEX IF NOT EXISTS one_request ON thread (key) WHERE kind = 'request';
CREATE UNIQUE INDEX IF NOT EXISTS one_open_proposal ON thread (key) WHERE kind = 'proposal' AND state = 'open';
CREATE INDEX IF NOT EXISTS by_state ON thread (kind, state);
CREATE INDEX IF NOT EXISTS by_skill ON thread (kind, json_extract(draft, '$.skill'), state);
CREATE INDEX IF NOT EXISTS by_request ON thread (kind, json_extract(draft, '$.request'));
CREATE TABLE IF NOT EXISTS label (number INTEGER, label TEXT, PRIMARY KEY (number, label)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS comment (
  id INTEGER PRIMARY KEY AUTOINCREMENT, number INTEGER NOT NULL, author TEXT NOT NULL, text TEXT NOT NULL, marker TEXT,
  UNIQUE (number, marker)
);
CREATE TABLE IF NOT EXISTS verdict (
  number INTEGER, head TEXT, shelf TEXT, name TEXT, outcome TEXT NOT NULL, by_person INTEGER NOT NULL, document TEXT NOT NULL,
  PRIMARY KEY (number, head, shelf, name)
);
"""
_THREADS = (
    "SELECT *, (SELECT json_group_array(label) FROM (SELECT label FROM label WHERE number = thread.number ORDER BY label)) AS labels FROM thread"
)
_Kind = Literal["request", "proposal"]


class LocalForge(GitObjects):
    """The Forge port over the bare repository `origin`. Safe for several threads and processes."""

    def __init__(self, origin: Path, main: str = "main") -> None:
        super().__init__(origin, main)
        self._file = SqliteFile(self.origin / "skillops" / "forge.sqlite", _SCHEMA)

    @classmethod
    def found(cls, origin: Path, main: str = "main") -> LocalForge:
        """Makes a bare repository without a commit; finds the one that is there already."""
        if not is_bare(origin):
            if origin.exists() and (not origin.is_dir() or any(origin.iterdir())):
                raise ConfigurationError(f"{origin} is there already and is no bare git repository.", next_step="Name a folder that does not exist.")
            origin.parent.mkdir(parents=True, exist_ok=True)
            command = ("init", "--quiet", "--bare", "--template=", f"--initial-branch={main}", str(origin.absolute()))
            status, _, complaint = run_git(isolated_git(origin.parent), *command)
            if status:
                raise ConfigurationError(f"git could not make {origin}.", why=complaint.strip(), next_step="Name a folder that you may write in.")
        return cls(origin, main)

    def count_from(self, number: int) -> None:
        """The next request or proposal has this number; for a mirror of another forge."""
        with self._file.writing() as connection:
            connection.execute("DELETE FROM sqlite_sequence WHERE name = 'thread'")
            connection.execute("INSERT INTO sqlite_sequence (name, seq) VALUES ('thread', ?)", (number - 1,))

    # ---- requests -------------------------------------------------------------------------------------------------

    def open_request(self, draft: RequestDraft) -> Request:
        sound("title", draft.title, TITLE)
        sound("text", draft.text, TEXT)
        with self._file.writing() as connection:
            find = f"{_THREADS} WHERE kind = 'request' AND key = ?"
            if (row := connection.execute(find, (draft.key,)).fetchone()) is None:
                connection.execute("INSERT INTO thread (kind, key, draft) VALUES ('request', ?, ?)", (draft.key, draft.model_dump_json()))
                row = connection.execute(find, (draft.key,)).fetchone()
        return self._request(row)

    def request(self, number: int) -> Request:
        return self._request(self._row("request", number))

    def requests(self, state: Literal["open", "closed", "all"] = "open") -> Sequence[Request]:
        return [self._request(row) for row in self._rows("request", state)]

    def close_request(self, number: int, closed_as: str) -> None:
        endings = [ending for ending in get_args(Request.model_fields["closed_as"].annotation) if ending]
        if closed_as not in endings:
            raise UsageError(f"A request is not closed as {closed_as!r}.", next_step=f"One of {', '.join(endings)}.")
        self._row("request", number)
        with self._file.writing() as connection:
            connection.execute("UPDATE thread SET state = 'closed', closed_as = ? WHERE number = ? AND state = 'open'", (closed_as, number))

    def label(self, number: int, *, add: Iterable[str] = (), remove: Iterable[str] = ()) -> None:
        added, removed = ([(number, sound("label", label, LABEL)) for label in labels] for labels in (add, remove))
        self._row(None, number)
        with self._file.writing() as connection:
            connection.executemany("DELETE FROM label WHERE number = ? AND label = ?", removed)
            connection.executemany("INSERT OR IGNORE INTO label VALUES (?, ?)", added)

    def say(self, number: int, text: str, *, author: str, marker: str | None = None) -> None:
        said = (number, sound("author", author, TITLE), sound("comment", text, TEXT), marker and sound("marker", marker, TITLE))
        self._row(None, number)
        with self._file.writing() as connection:
            connection.execute(
                "INSERT INTO comment (number, author, text, marker) VALUES (?, ?, ?, ?)"
                " ON CONFLICT (number, marker) DO UPDATE SET author = excluded.author, text = excluded.text",
                said,
            )

    def comments(self, number: int) -> Sequence[Comment]:
        self._row(None, number)
        with self._file.reading() as connection:
            rows = connection.execute("SELECT * FROM comment WHERE number = ? ORDER BY id", (number,)).fetchall()
        return [Comment.model_validate(dict(row)) for row in rows]

    def may_judge(self, person: str) -> bool:
        """Whoever can write to the origin on this machine."""
        return True

    def react(self, comment: int, *, heeded: bool) -> None:
        """There is nobody to see it."""

    # ---- proposals ------------------------------------------------------------------------------------------------

    def open_proposal(self, draft: ProposalDraft) -> Proposal:
        sound("title", draft.title, TITLE)
        sound("text", draft.body, TEXT)
        head, main = self.head(draft.branch), self.head(self.main)
        if head is None or main is None or draft.branch == self.main:
            raise UsageError(f"There is no branch {draft.branch!r} to propose to {self.main}.", next_step="Commit to a branch of its own first.")
        if self._joined({head}, main):
            raise UsageError(f"The branch {draft.branch} adds nothing to {self.main}.", next_step="Commit the change to it first.")
        with self._file.writing() as connection:
            row = connection.execute(
                "SELECT number, draft FROM thread WHERE kind = 'proposal' AND state = 'open' AND key = ?", (draft.branch,)
            ).fetchone()
            if row:
                number = row["number"]
                told = {"title": draft.title, "body": draft.body, "draft": draft.draft}
                kept = ProposalDraft.model_validate_json(row["draft"]).model_copy(update=told)
                connection.execute("UPDATE thread SET draft = ? WHERE number = ?", (kept.model_dump_json(), number))
            else:
                values = (draft.branch, draft.model_dump_json(), head, head, main)
                insert = "INSERT INTO thread (kind, key, draft, opened_at, head, base) VALUES ('proposal', ?, ?, ?, ?, ?)"
                number = connection.execute(insert, values).lastrowid
        return self.proposal(number)

    def proposal(self, number: int) -> Proposal:
        return self._proposals([self._row("proposal", number)])[0]

    def proposals(
        self, state: Literal["open", "merged", "closed", "all"] = "open", *, skill: str | None = None, request: int | None = None
    ) -> Sequence[Proposal]:
        if state in ("open", "all"):  # looking at the open ones may find some of them merged
            return [each for each in self._proposals(self._rows("proposal", state, skill, request)) if state in ("all", each.state)]
        self._proposals(self._rows("proposal", "open", skill, request))
        return self._proposals(self._rows("proposal", state, skill, request))

    def close_proposal(self, number: int) -> None:
        proposal = self.proposal(number)
        self._end(number, "closed", proposal.head, proposal.base, None)

    def post_check(self, number: int, result: CheckResult) -> None:
        self._post(number, result.head, "check", result.name, result.outcome, False, result.model_dump_json())

    def checks(self, number: int, head: str) -> CheckReport:
        documents = self._posted(number, head, "check")
        return CheckReport(head=head, results=tuple(CheckResult.model_validate_json(document) for document in documents))

    def post_review(self, number: int, review: Review) -> None:
        self._post(number, review.head, "review", review.reviewer, review.verdict, review.kind == "person", review.model_dump_json())

    def reviews(self, number: int, head: str) -> tuple[Review, ...]:
        return tuple(Review.model_validate_json(document) for document in self._posted(number, head, "review"))

    def written(self, proposal: Proposal) -> tuple[Written, ...]:
        return self._written(proposal.base, proposal.head)

    def forget_verdicts(self, number: int, head: str) -> None:
        self._row("proposal", number)
        with self._file.writing() as connection:
            forget = "DELETE FROM verdict WHERE number = ? AND head = ? AND outcome = 'could_not_tell' AND NOT by_person"
            connection.execute(forget, (number, head))

    def forget_run(self, run: int) -> None:
        """Nobody knows a result by a number here."""

    def merge(self, number: int, *, expected_head: str, message: str, author: str) -> str:
        proposal = self.proposal(number)
        if proposal.merged_commit:
            return proposal.merged_commit
        if proposal.state == "closed":
            raise Refused(f"Proposal #{number} is closed.", next_step="Open it anew from its branch.")
        if proposal.head != expected_head:
            raise HeadMoved(
                f"Proposal #{number} is at {proposal.head[:12]}, and {expected_head[:12]} was judged.",
                next_step="`skillops run` judges the new commit.",
            )
        # The ref goes first: were we killed here, `_proposals` would find the merge in main's history.
        commit = self._merge(proposal.branch, expected_head, f"{message.rstrip()}\n\nSkillOps-Proposal: {number}", author)
        self._end(number, "merged", expected_head, self._parents(commit)[0], commit)
        return commit

    # ---- rows -----------------------------------------------------------------------------------------------------

    def _rows(self, kind: _Kind, state: str, skill: str | None = None, request: int | None = None) -> list[sqlite3.Row]:
        wanted: dict[str, str | int | None] = {"kind = ?": kind, "state = ?": None if state == "all" else state}
        wanted |= {"json_extract(draft, '$.skill') = ?": skill, "json_extract(draft, '$.request') = ?": request}
        conditions = {condition: value for condition, value in wanted.items() if value is not None}
        with self._file.reading() as connection:
            sql = f"{_THREADS} WHERE {' AND '.join(conditions)} ORDER BY number"
            return connection.execute(sql, tuple(conditions.values())).fetchall()

    def _row(self, kind: _Kind | None, number: int) -> sqlite3.Row:
        """One thread; NotFound where there is none of that kind with that number."""
        key = number if 0 < number < 2**63 else 0  # SQLite's integers; 0 is nobody's number
        with self._file.reading() as connection:
            row: sqlite3.Row | None = connection.execute(f"{_THREADS} WHERE number = ?", (key,)).fetchone()
            fits = row is not None and kind in (None, row["kind"])
            newest = None if fits else connection.execute("SELECT max(number) FROM thread WHERE ? IN (kind, '')", (kind or "",)).fetchone()[0]
        if row is None or not fits:
            what = f"#{number} is a {row['kind']}, not a {kind}." if row else f"There is no {kind or 'request or proposal'} #{number}."
            raise NotFound(what, next_step=f"The newest is #{newest}." if newest else "There is none yet.")
        return row

    def _request(self, row: sqlite3.Row) -> Request:
        draft = RequestDraft.model_validate_json(row["draft"]).model_dump(exclude={"key"})
        return Request(**draft, **self._common(row), closed_as=row["closed_as"])

    def _common(self, row: sqlite3.Row) -> dict[str, Any]:
        import json

        url = f"local://{self.origin.name}/{row['kind']}s/{row['number']}"
        return {"number": row["number"], "state": row["state"], "labels": tuple(json.loads(row["labels"])), "url": url}

    def _proposals(self, rows: Sequence[sqlite3.Row]) -> list[Proposal]:
        """The rows as proposals, the open ones as git has them now; one that main holds already is entered as merged."""
        main = self.head(self.main) or ""
        heads = {row["number"]: self.head(row["key"]) or row["head"] for row in rows if row["state"] == "open"}
        joined = self._joined(set(heads.values()), main)
        found = []
        for row in rows:
            git = {key: row[key] for key in ("head", "base", "merged_commit")}
            state = row["state"]
            if state == "open":
                git |= {"head": heads[row["number"]], "base": main}
                if git["head"] in joined and (commit := self._brought_by(row, git["head"], main)):
                    state, git["base"], git["merged_commit"] = "merged", self._base_of(commit, row), commit
                    self._end(row["number"], "merged", git["head"], git["base"], commit)
            draft = ProposalDraft.model_validate_json(row["draft"]).model_dump()
            found.append(Proposal(**draft, **{**self._common(row), "state": state}, **git))
        return found

    def _joined(self, heads: set[str], main: str) -> set[str]:
        """Those of `heads` that are in main's history."""
        return self._beyond.joined({head for head in heads if main and self.head(head)}, main)

    def _brought_by(self, row: sqlite3.Row, head: str, main: str) -> str | None:
        """The commit that brought a head into main: its merge, or itself where a person moved main forward to it.

        None where it was the branch that was moved, back to a commit of main: that merged nothing.
        """
        return self._merge_of(head, main) or (head if self._is_ancestor(row["opened_at"], main) else None)

    def _base_of(self, commit: str, row: sqlite3.Row) -> str:
        parents = self._parents(commit)
        return parents[0] if len(parents) > 1 else row["base"]

    def _end(self, number: int, state: str, head: str, base: str, merged_commit: str | None) -> None:
        with self._file.writing() as connection:
            ending = "UPDATE thread SET state = ?, head = ?, base = ?, merged_commit = ? WHERE number = ? AND state = 'open'"
            connection.execute(ending, (state, head, base, merged_commit, number))

    def _post(self, number: int, head: str, shelf: str, name: str, outcome: str, by_person: bool, document: str) -> None:
        self._row("proposal", number)
        with self._file.writing() as connection:
            values = (number, head, shelf, name, str(outcome), by_person, document)
            connection.execute("INSERT OR REPLACE INTO verdict VALUES (?, ?, ?, ?, ?, ?, ?)", values)

    def _posted(self, number: int, head: str, shelf: str) -> list[str]:
        self._row("proposal", number)
        with self._file.reading() as connection:
            query = "SELECT document FROM verdict WHERE number = ? AND head = ? AND shelf = ? ORDER BY name"
            return [row["document"] for row in connection.execute(query, (number, head, shelf))]
