"""Proposing: a branch with a skill on it, and its pull request.

The witness comes first: its cases are written from the frozen contract alone, their digest is recorded, and they are
committed by an identity of their own before the author begins. Everything that exists already is found and used, so
that a killed run goes on where it was.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from agent import messages
from agent import rulings as words
from agent.author import Assignment, Attempt, Author
from agent.cases import add_witness, cases_at, without_struck, witnessed
from agent.disputes import Disputes, still_to_mend
from agent.domain.decision import BudgetLimits, Problem
from agent.domain.dispute import Ruling
from agent.domain.event import Event
from agent.domain.gap import Contract, Gap
from agent.domain.proposal import AUTHOR, DEPLOYER, OURS, OUT_OF_BUDGET, WITNESS, Proposal, ProposalDraft
from agent.domain.request import Request
from agent.domain.requirement import requirements
from agent.domain.skill import WITNESS_PATH, Manifest, Version
from agent.errors import InvalidFile, ModelUnavailable, NotFound, Refused, UsageError
from agent.history import permissions_on_main, versions_of
from agent.manifest_file import read_manifest
from agent.ports import Forge, LanguageModel, Ledger
from agent.witness import contract_of

Record = Callable[[Event], Any]
MANIFEST = "skill.yaml"


def propose(
    request: Request,
    gap: Gap | None,
    proposal: Proposal | None,
    problems: Sequence[Problem],
    forge: Forge,
    model: LanguageModel,
    author: Author,
    ledger: Ledger,
    budget: BudgetLimits,
    record: Record,
) -> Proposal:
    """The whole stage for a buildable gap: witness, author's loop, commit, proposal. With a proposal: mends `problems`.

    Out of budget, the last attempt is pushed as a draft that says what failed. Raises ModelUnavailable where the model
    cannot be reached, HeadMoved where somebody else pushed in between.
    """
    if gap is None or gap.contract is None or not gap.buildable:
        raise UsageError(f"Request #{request.number} has no contract to build from.", next_step=f"skillops run {request.number}")
    contract = gap.contract
    branch = proposal.branch if proposal else branch_of(gap, contract)
    head = witnessed(gap, contract, branch, forge, model, ledger, record)
    mend = tuple(problems) or (_left_over(gap, ledger) if proposal and proposal.draft else ())
    disputes = Disputes(f"{request.title}\n\n{request.text}", gap, contract, model, ledger, record, budget.disputes)
    attempt = Attempt()
    while True:
        before, asked = cases_at(head, contract.name, forge), bool(mend)
        head = without_struck(gap, contract, branch, head, disputes.rulings(), forge, model, record)
        cases = cases_at(head, contract.name, forge)
        mend = still_to_mend(mend, before, cases)
        task = _assignment(gap, contract, head, disputes.told(mend, cases), disputes.open(mend, cases), forge)
        if attempt.passed or (asked and not mend):
            break
        attempt = _finished(task, proposal, ledger) or author.write(task, ledger, budget)
        if attempt.files is not None and (attempt.passed or attempt.over):
            message = messages.author_commit(contract.name, task.version, gap.request, revises=task.manifest is not None and bool(mend))
            head = put(forge, branch, contract.name, attempt.files, parent=head, message=message, author=AUTHOR) or head
        if not attempt.disputes:
            break
        disputes.hear(attempt.disputes, cases, head)
    return _opened(gap, task, attempt, branch, proposal, disputes.rulings(), forge, ledger, record)


def branch_of(gap: Gap, contract: Contract) -> str:
    """A gap that is assessed anew, because main moved on, starts from main on a branch of its own."""
    begun_from = f"-from-{gap.base_version}" if gap.verdict == "extend" else ""
    return f"skillops/{gap.request}-{contract.name}{begun_from}"


def _assignment(gap: Gap, contract: Contract, head: str, mend: tuple[Problem, ...], disputable: tuple[int, ...], forge: Forge) -> Assignment:
    """What is to be written from the files at `head`. A version once proposed is kept, while it is above that on main."""
    files = {path: data for path, data in forge.files(head, f"skills/{contract.name}").items() if path != WITNESS_PATH}
    here, on_main = _manifest(files.get(MANIFEST)), _manifest(forge.read(forge.main, _path(contract.name, MANIFEST)))
    first = on_main.semver.next_minor() if on_main else Version(major=1, minor=0, patch=0)
    needed = filter(None, (_manifest(forge.read(forge.main, _path(name, MANIFEST))) for name in requirements(contract)))
    return Assignment(gap.request, contract, str(max(first, here.semver) if here else first), head, files, here, mend, tuple(needed), disputable)


def _finished(task: Assignment, proposal: Proposal | None, ledger: Ledger) -> Attempt | None:
    """The work of a run that was killed between its last commit and opening the proposal, or None where there is work to do.

    An attempt notes the commit that it started from: where that is no more the head, its work was committed.
    """
    done = _since_retry(task.request, ledger)
    committed = done and done[-1].commit != task.head and task.manifest is not None and task.manifest.version == task.version
    if not committed or (proposal is not None and not proposal.draft):
        return None
    if done[-1].outcome == "passed":
        return Attempt(task.files, task.manifest, (), done[-1].data["notes"])
    return None


def _opened(
    gap: Gap, task: Assignment, attempt: Attempt, branch: str, proposal: Proposal | None, rulings: Sequence[Ruling],
    forge: Forge, ledger: Ledger, record: Record,
) -> Proposal:  # fmt: skip
    """Opens the proposal or brings it up to date, and says so in the ledger."""
    manifest = attempt.manifest or task.manifest
    body = messages.draft_body(gap, attempt.problems or task.problems or _left_over(gap, ledger), attempt.over)
    if not attempt.over and manifest is not None:
        body = messages.proposal_body(gap, manifest, attempt.notes, permissions_on_main(task.contract.name, forge))
    opened = forge.open_proposal(ProposalDraft(
        branch=branch, skill=task.contract.name, kind="extend" if gap.verdict == "extend" else "new", title=messages.proposal_title(gap),
        body=body + words.told(rulings), author=AUTHOR, request=gap.request, draft=bool(attempt.over),
    ))  # fmt: skip
    what = "gave_up" if attempt.over else "pushed" if proposal else "proposed"
    if attempt.over:
        forge.label(opened.number, add=[OUT_OF_BUDGET])
    elif OUT_OF_BUDGET in opened.labels:
        forge.label(opened.number, remove=[OUT_OF_BUDGET])
    record(opening(opened, task.version, what, attempt.over))
    return forge.proposal(opened.number)


def opening(opened: Proposal, version: str, what: str = "proposed", note: str = "") -> Event:
    """How a proposal comes into the trail."""
    return Event(
        stage="proposing", what=what, actor=opened.author, request=opened.request, proposal=opened.number, skill=opened.skill, commit=opened.head,
        note=note, data={"version": version}, key=f"{what}:{opened.number}:{opened.head}",
    )  # fmt: skip


def _since_retry(request: int, ledger: Ledger) -> list[Event]:
    """The attempts since a person last said `retry`."""
    attempts: list[Event] = []
    for entry in ledger.entries(request=request):
        if entry.event.what == "retried":
            attempts = []
        elif entry.event.what == "attempt":
            attempts.append(entry.event)
    return attempts


def _left_over(gap: Gap, ledger: Ledger) -> tuple[Problem, ...]:
    """What was wrong with the last attempt that was made for the request: what a draft is to mend when it is taken up again."""
    attempts = [entry.event for entry in ledger.entries(request=gap.request) if entry.event.what == "attempt"]
    return tuple(Problem.model_validate(problem) for problem in attempts[-1].data["problems"]) if attempts else ()


# ---- proposals that are not the agent's work -----------------------------------------------------------------------


def propose_folder(files: Mapping[str, bytes], who: str, forge: Forge, model: LanguageModel, record: Record) -> Proposal:
    """A skill that a person, or another tool, wrote: `files` are relative to its folder. The same gates, another author.

    Where a model can be reached, a witness writes cases from the manifest; those in `files` are passed over, for nobody
    examines their own work. Raises InvalidFile for a broken skill.yaml, Refused where nothing differs from main.
    """
    if who in OURS:
        raise UsageError(f"{who} is no person.", next_step="Set SKILLOPS_USER to your own login.")
    manifest = read_manifest(files.get(MANIFEST, b""), MANIFEST)
    extends = forge.object_id(forge.main, f"skills/{manifest.name}") is not None
    draft = ProposalDraft(
        branch=f"people/{manifest.name}-{manifest.version}", skill=manifest.name, kind="person", author=who,
        title=messages.person_title(manifest, extends=extends), body=messages.person_body(manifest, who, permissions_on_main(manifest.name, forge)),
    )  # fmt: skip
    proposal = put_up(draft, {path: data for path, data in files.items() if path != WITNESS_PATH}, forge)
    record(opening(proposal, manifest.version))
    try:
        add_witness(proposal, contract_of(manifest), forge, model, record)
    except ModelUnavailable as error:
        record(Event(stage="proposing", what="stumbled", actor=WITNESS, proposal=proposal.number, skill=manifest.name, outcome="could_not_tell",
                     note=f"no witness cases were written: {error.fault}", tokens=error.tokens, cost=error.cost))  # fmt: skip
    return forge.proposal(proposal.number)


def propose_rollback(name: str, to_version: str, files: Mapping[str, bytes], who: str, forge: Forge, why: str = "") -> Proposal:
    """The tree of an earlier version (`files`, witness cases among them) as the next patch version of the current one."""
    version = str(_current(name, forge).semver.next_patch())
    draft = ProposalDraft(
        branch=f"skillops/rollback-{name}-{version}", skill=name, kind="rollback", author=who,
        title=messages.rollback_title(name, to_version), body=messages.rollback_body(name, to_version, version, why),
    )  # fmt: skip
    return put_up(draft, _with(files, version=version), forge, keep=())


def propose_retire(name: str, who: str, forge: Forge, why: str = "") -> Proposal:
    """The skill as it is, marked as retired, as its next patch version."""
    version = str(_current(name, forge).semver.next_patch())
    draft = ProposalDraft(
        branch=f"skillops/retire-{name}-{version}", skill=name, kind="retire", author=who,
        title=messages.retire_title(name), body=messages.retire_body(name, version) + (f"\n\n{why}" if why else ""),
    )  # fmt: skip
    return put_up(draft, _with(forge.files(forge.main, f"skills/{name}"), version=version, status="retired"), forge)


def propose_revert(merged: Proposal, forge: Forge, why: str) -> Proposal | None:
    """Takes back what `merged` brought and what did not become healthy: the version before it, or retirement where it was the first.

    None where main has moved on since, and where it was itself a revert: two versions that both fail are for a person.
    """
    name, folder = merged.skill, f"skills/{merged.skill}"
    if merged.kind == "revert" or forge.object_id(merged.merged_commit or merged.head, folder) != forge.object_id(forge.main, folder):
        return None
    current = _current(name, forge)
    version = str(current.semver.next_patch())
    before = next((past.commit for past in versions_of(name, forge) if past.version != current.version and past.status != "retired"), None)
    files = forge.files(before or forge.main, folder)
    restored = _with(files, version=version) if before else _with(files, version=version, status="retired")
    draft = ProposalDraft(
        branch=f"skillops/revert-{name}-{version}", skill=name, kind="revert", author=DEPLOYER,
        title=messages.revert_title(merged), body=messages.revert_body(merged, version, why, first=before is None),
    )  # fmt: skip
    return put_up(draft, restored, forge, keep=())


def put_up(draft: ProposalDraft, files: Mapping[str, bytes], forge: Forge, keep: Sequence[str] = (WITNESS_PATH,)) -> Proposal:
    """Commits the files to the draft's branch and opens the proposal. Nobody adds to another's, to approve their own work there."""
    if other := next((each for each in forge.proposals("open") if each.branch == draft.branch and each.author != draft.author), None):
        hint = f'Ask for a change of it (`skillops revise {other.number} --why "…"`), or raise the version in skill.yaml.'
        raise Refused(f"{other.author} has proposed this version of {draft.skill} already: #{other.number}.", next_step=hint)
    if not _changed(forge.files(forge.main, f"skills/{draft.skill}"), files, keep):  # whatever an earlier proposal left on the branch
        raise Refused(f"{draft.skill} is on main exactly like this.", next_step="Change something, and raise the version in skill.yaml.")
    head = forge.head(draft.branch)
    put(forge, draft.branch, draft.skill, files, parent=head, message=messages.draft_commit(draft), author=draft.author, keep=keep)
    return forge.open_proposal(draft)


def put(
    forge: Forge, branch: str, name: str, files: Mapping[str, bytes], *, parent: str | None, message: str, author: str,
    keep: Sequence[str] = (WITNESS_PATH,),
) -> str | None:  # fmt: skip
    """Makes `skills/<name>` on the branch be `files`, and lets the paths of `keep` be; the branch's head (`parent` where nothing differs)."""
    changed = _changed(forge.files(parent or forge.main, f"skills/{name}"), files, keep)
    if not changed:
        return parent
    return forge.commit(branch, {_path(name, path): data for path, data in changed.items()}, parent=parent, message=message, author=author)


def _changed(now: Mapping[str, bytes], files: Mapping[str, bytes], keep: Sequence[str]) -> dict[str, bytes | None]:
    """What makes `files` of what is there now."""
    return {path: data for path, data in files.items() if now.get(path) != data} | dict.fromkeys(now.keys() - files.keys() - set(keep))


def _with(files: Mapping[str, bytes], **values: str) -> dict[str, bytes]:
    """The files with keys of skill.yaml set, everything else in it as its author wrote it."""
    text = files.get(MANIFEST, b"").decode()
    for key, value in values.items():
        text, found = re.subn(rf"(?m)^{key}:.*$", f"{key}: {value}", text, count=1)
        text = text if found else f"{text.rstrip()}\n{key}: {value}\n"
    read_manifest(text.encode(), MANIFEST)
    return {**files, MANIFEST: text.encode()}


def _current(name: str, forge: Forge) -> Manifest:
    data = forge.read(forge.main, _path(name, MANIFEST))
    if data is None:
        raise NotFound(f"There is no skill {name!r} on main.", next_step="`skillops list` shows those that there are.")
    return read_manifest(data, _path(name, MANIFEST))


def _manifest(data: bytes | None) -> Manifest | None:
    """A manifest that may be missing or broken: then what follows mends it."""
    try:
        return read_manifest(data, MANIFEST) if data is not None else None
    except InvalidFile:
        return None


def _path(name: str, path: str) -> str:
    return f"skills/{name}/{path}"
