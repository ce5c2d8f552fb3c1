"""What the command shows in the terminal, drawn with rich: work live on stderr, results on stdout."""

from __future__ import annotations

import json
import shlex
import shutil
import sys
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.json import JSON
from rich.markup import escape as escape_markup
from rich.table import Table

from agent.domain.check import CheckReport, Outcome
from agent.domain.event import Event
from agent.domain.wording import TURNS
from agent.errors import SkillOpsError
from agent.pending import taken
from agent.story import SHORT, Story, event_sentence

if TYPE_CHECKING:
    from agent.conversation import Result
    from agent.doctor import Diagnosis
    from agent.domain.invocation import InvocationResult, Receipt
    from agent.domain.registry import Entry
    from agent.domain.release import Load, Service
    from agent.domain.review import Review
    from agent.domain.skill import Manifest
    from agent.pipeline import Outcome as RunOutcome

out, err = Console(highlight=False), Console(stderr=True, highlight=False)
SIGNS = {
    "passed": "[green]✓[/]", "failed": "[red]✗[/]", "could_not_tell": "[yellow]?[/]", "approve": "[green]✓[/]", "revise": "[yellow]↺[/]",
    "reject": "[red]✗[/]", "merge": "[green]✓[/]", "wait": "[yellow]…[/]",
}  # fmt: skip

# A control character in somebody else's text could move the cursor or hide what stands there (ECMA-48, C0 and C1).
_CONTROLS = {code: "�" for code in (*range(32), 127, *range(128, 160)) if chr(code) not in "\n\t"} | TURNS


def escape(text: str) -> str:
    """Text by others, as rich and a terminal show it: as it is written, and nothing more."""
    return escape_markup(text.translate(_CONTROLS))


def say(text: str) -> None:
    """Lines on stdout."""
    out.print(escape(text), soft_wrap=True)


def json_of(value: object) -> None:
    """A value of others' as JSON on stdout, in colours. JSON itself escapes C0 alone."""
    drawn = JSON(json.dumps(value, ensure_ascii=False), ensure_ascii=False).text
    drawn.plain = drawn.plain.translate(_CONTROLS)
    out.print(drawn, soft_wrap=True)


class Watcher:
    """Shows events as they happen, each that the ledger keeps once only once. Called from several threads."""

    def __init__(self, console: Console = err) -> None:
        self._console, self._shown = console, set[str]()

    def __call__(self, event: Event) -> None:
        if event.what == "started" or event.key in self._shown:
            return
        if event.key:
            self._shown.add(event.key)
        if event.what == "finished":
            self._console.print(f"[bold]{event.stage:<11}[/][dim]{event.seconds:6.2f} s[/]")
            return
        seconds = f" [dim]{event.seconds:.2f} s[/]" if event.seconds >= 0.005 else ""
        self._console.print(f"  {SIGNS.get(event.outcome, '·')} {escape(event_sentence(event, SHORT))}{seconds}", soft_wrap=True)


class DemoScreen(Watcher):
    """The demo's narrator: headings and what people say, between the events."""

    def heading(self, text: str) -> None:
        self._console.print(f"\n[bold cyan]{escape(text)}[/]")

    def says(self, who: str, text: str) -> None:
        self._console.print(f"[bold]{escape(who)}[/]: {escape(text)}", soft_wrap=True)

    def receipts(self, receipts: Sequence[Receipt]) -> None:
        for receipt in receipts:
            self._console.print(f"  [dim]{escape(receipt_line(receipt))}[/]", soft_wrap=True)

    def timeline(self, seconds: dict[str, float], total: float) -> None:
        """Where the seconds went, as bars."""
        self.heading(f"{total:.1f} seconds")
        longest = max(seconds.values(), default=1.0) or 1.0
        for stage, spent in seconds.items():
            self._console.print(f"  {stage:<13}{spent:6.2f} s [cyan]{'█' * max(1, round(40 * spent / longest))}[/]")

    def closing(self, lines: Sequence[str]) -> None:
        self.heading("Where to look")
        for line in lines:
            self._console.print(f"  {escape(line)}", soft_wrap=True)


def command() -> str:
    """How this command is called from anywhere: by its name where the shell finds it, else by its place."""
    here = Path(sys.argv[0]).absolute()
    return "skillops" if here.name != "skillops" or shutil.which("skillops") else shlex.quote(str(here))


class Quiet(DemoScreen):
    """Shows nothing: for --json."""

    def __init__(self) -> None:
        super().__init__(Console(quiet=True))


def errors(error: SkillOpsError) -> None:
    """What, why, and the next step, on stderr."""
    err.print(f"[bold red]{escape(error.what)}[/]", soft_wrap=True)
    for text in filter(None, (error.why, error.next_step)):
        err.print(escape(text), soft_wrap=True)
    if error.receipt and error.receipt.calls:
        err.print(f"[dim]{escape(receipt_line(error.receipt))}[/]", soft_wrap=True)


def outcome_of(outcome: RunOutcome, answers: Sequence[Result]) -> None:
    for answer in answers:
        turn_of(answer, None)
    for work, step in outcome.waiting:
        out.print(f"{work} waits for the {step.waiting_for or 'person'}: {escape(step.why)}", soft_wrap=True)
        if step.waiting_for == "requester":
            say(f'Answer with: skillops reply {work.request} "…"')
    for work, error in outcome.troubled:
        out.print(f"{work} could not go on: {escape(error.fault)}", soft_wrap=True)
        if error.next_step:
            say(error.next_step)
    if not (outcome.waiting or outcome.troubled or answers):
        out.print("Nothing is left to move." if outcome.moved else "There is no open work.")


def turn_of(result: Result, outcome: RunOutcome | None, spent: tuple[int, float] | None = None) -> None:
    """An answer with its receipts, a question with the answers that it takes, or what it waits for. `spent`: the tokens and dollars of
    the whole conversation."""
    out.print(escape(result.text), soft_wrap=True)
    if result.question and result.kind == "asks":
        until = datetime.fromtimestamp(result.question.until).astimezone().strftime("%Y-%m-%d %H:%M %Z")
        out.print(f"[dim]Answer with {escape(result.question.wanted)}; `cancel` leaves it. I wait until {until}.[/]", soft_wrap=True)
    for receipt in result.receipts:
        out.print(f"[dim]{escape(receipt_line(receipt))}[/]", soft_wrap=True)
    if result.kind == "waits" and outcome:
        outcome_of(outcome, ())
    if result.kind in ("asks", "waits"):
        out.print(f'[dim]Go on with: skillops ask --conversation {result.conversation} "…"[/]', soft_wrap=True)
    if spent and spent[0]:
        in_all = f"; this conversation {taken(*spent)}" if spent[0] != result.tokens else ""
        err.print(f"[dim]{taken(result.tokens, result.cost)}{in_all}[/]")


def table_of(records: Sequence[dict[str, object]]) -> None:
    """Records as a table."""
    columns = list(dict.fromkeys(column for record in records for column in record))
    table = Table(*map(escape, columns), box=None, header_style="bold")
    for record in records:
        table.add_row(*(escape("" if record.get(column) is None else str(record[column])) for column in columns))
    out.print(table)


def receipt_line(receipt: Receipt) -> str:
    by = f", proposal #{receipt.proposal}, approved by {', '.join(receipt.approvers) or 'nobody'}" if receipt.proposal else ""
    by += f", {receipt.struck} of its witness cases struck" if receipt.struck else ""
    called = ", ".join(f"{each.skill} {each.version}{f' ({each.failed})' if each.failed else ''}" for each in receipt.calls)
    given = f"; what looks like a secret was given to it ({', '.join(receipt.pasted)}), and is kept nowhere" if receipt.pasted else ""
    return f"receipt: {receipt.skill} {receipt.version} ({receipt.digest[:19]}{by})" + (f", which called {called}" if called else "") + given


def result_of(result: InvocationResult) -> None:
    json_of(result.outputs)
    err.print(f"[dim]{escape(receipt_line(result.receipt))}[/]", soft_wrap=True)


def report_of(report: CheckReport) -> None:
    for result in report.results:
        out.print(f"{SIGNS[result.outcome]} {result.name:<13}[dim]{result.seconds:6.2f} s[/]  {escape(result.summary)}", soft_wrap=True)
        for finding in result.findings:
            place = f"{finding.path}:{finding.line}: " if finding.path and finding.line else f"{finding.path}: " if finding.path else ""
            style = "red" if finding.level == "error" and result.outcome is Outcome.FAILED else "dim"
            out.print(f"    [{style}]{escape(place + finding.message)}[/]", soft_wrap=True)


def reviews_of(reviews: Sequence[Review]) -> None:
    for review in reviews:
        out.print(f"{SIGNS.get(review.verdict, '?')} {escape(review.reviewer)}: {review.verdict}. {escape(review.summary)}", soft_wrap=True)
        for remark in review.remarks:
            place = f"{remark.path}:{remark.line}: " if remark.path else ""
            out.print(f"    {'[red]blocks[/] ' if remark.blocks else ''}{escape(place + remark.message)}", soft_wrap=True)


def skills_of(revision: int, entries: Sequence[Entry], services: Sequence[Service]) -> None:
    running = {service.skill: service for service in services}
    table = Table("skill", "version", "status", "runs", "what it does", title=f"registry revision {revision}", box=None, title_justify="left")
    for entry in entries:
        service = running.get(entry.name)
        runs = f"{service.version} {service.state}" if service else "on demand" if entry.status != "retired" else "no"
        table.add_row(entry.name, entry.version, entry.status, runs, escape(entry.description))
    out.print(table if entries else 'The registry holds no skills yet. `skillops request "…"` asks for the first.')


def skill_of(entry: Entry, manifest: Manifest | None, services: Sequence[Service], calls: Sequence[str] = (), called_by: Sequence[str] = ()) -> None:
    out.print(f"[bold]{entry.name}[/] {entry.version} ({entry.status})\n{escape(entry.description)}", soft_wrap=True)
    origin = f"proposal #{entry.proposal}, approved by {escape(', '.join(entry.approvals)) or 'nobody'}" if entry.proposal else entry.origin
    asked = ", ".join(entry.permissions.wider_than(type(entry.permissions)())) or "nothing"
    out.print(f"came from  {origin}\ncommit     {entry.commit[:12]}\ndigest     {entry.digest}\nmay reach  {escape(asked)}", soft_wrap=True)
    if manifest and manifest.requires:
        out.print(f"uses       {escape(', '.join(manifest.requires))}", soft_wrap=True)
    if calls:
        out.print(f"may call   {escape(', '.join(calls))}", soft_wrap=True)
    if called_by:
        out.print(f"used by    {escape(', '.join(called_by))}", soft_wrap=True)
    for service in services:
        out.print(f"runs       {service.version} {service.state}, {service.restarts} restarts {escape(service.detail)}", soft_wrap=True)
    if manifest and entry.status != "retired":
        example = shlex.quote(json.dumps(manifest.examples[0].inputs, ensure_ascii=False))
        out.print(f"call it    skillops invoke {entry.name} --input {escape(example)}", soft_wrap=True)
        for what, schema in (("inputs", manifest.inputs), ("outputs", manifest.outputs)):
            out.print(what)
            json_of(schema)


def loads_of(loads: Sequence[Load]) -> None:
    table = Table("skill", "version", "instance", "memory", "processor", "calls", "at once", "restarts", box=None)
    for load in loads:
        memory = "?" if load.memory is None else f"{load.memory / 2**20:.1f} MiB"
        cpu = "?" if load.cpu is None else f"{load.cpu:.2f} s"
        counts = ("?" if count is None else str(count) for count in (load.calls, load.in_flight))
        table.add_row(load.skill, load.version, load.instance, memory, cpu, *counts, str(load.restarts))
    out.print(table if loads else "No skill runs now; one starts when it is called.")


def story_of(story: Story) -> None:
    out.print(f"[bold]#{story.number} {escape(story.title)}[/]  {story.state}", soft_wrap=True)
    stage = ""
    for entry in story.entries:
        if entry.event.stage != stage:
            stage = entry.event.stage
            out.print(f"[bold cyan]{stage}[/]")
        event = entry.event
        cost = f" {event.tokens} tokens" if event.tokens else ""
        cost += f" ${event.cost:.4f}" if event.cost else ""
        seconds = f" {event.seconds:.2f} s" if event.seconds >= 0.005 else ""
        sign = SIGNS.get(event.outcome, "·")
        out.print(f"  [dim]{entry.at[11:19]}[/] {sign} {escape(event_sentence(event))}[dim]{seconds}{cost}[/]", soft_wrap=True)
    chain = "the chain of hashes holds" if story.tampered is None else f"[red]tampered with at entry {story.tampered}[/]"
    out.print(f"{story.seconds:.1f} s of work, {story.tokens} tokens, ${story.cost:.4f}; {chain}", soft_wrap=True)


def diagnoses_of(diagnoses: Sequence[Diagnosis]) -> None:
    for diagnosis in diagnoses:
        sign = "[green]✓[/]" if diagnosis.ok else "[red]✗[/]" if diagnosis.needed else "[yellow]·[/]"
        out.print(f"{sign} {diagnosis.what}: {escape(diagnosis.found)}", soft_wrap=True)
        for line in () if diagnosis.ok else diagnosis.fix.splitlines():
            say(f"    {line}")


def settings_of(rows: Sequence[dict[str, str]]) -> None:
    """Each setting with its value and origin, and below it what it is for."""
    for row in rows:
        out.print(f"[bold]{row['name']}[/] = {escape(row['value']) or '[dim]not set[/]'}  [dim]({escape(row['source'])})[/]", soft_wrap=True)
        out.print(f"    [dim]{escape(row['description'])}[/]", soft_wrap=True)
