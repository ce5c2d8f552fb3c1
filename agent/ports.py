"""The sockets that concrete parts plug into. Each has one contract suite in `tests/contracts`, run on every adapter."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from pathlib import Path
from typing import IO, Any, Literal, NamedTuple, Protocol

from pydantic import Field

from agent.domain import Frozen
from agent.domain.capability import Capability
from agent.domain.check import CheckReport, CheckResult, Finding, Subject, TestReport
from agent.domain.decision import Spent
from agent.domain.event import Entered, Event
from agent.domain.package import Package
from agent.domain.proposal import Change, Proposal, ProposalDraft, Written
from agent.domain.release import Artifact, Endpoint, Load, Service
from agent.domain.request import Comment, Request, RequestDraft
from agent.domain.requirement import Shelf
from agent.domain.review import Review
from agent.domain.skill import Health, Manifest, Resources
from agent.domain.stand_in import NO_STAND_INS, StandIns

# ---- the forge: three narrow ports; one adapter is all three ------------------------------------------------------


class Repository(Protocol):
    """Git content, by object and never by work tree. `ref` is a branch name or a commit id."""

    main: str

    def looking(self) -> AbstractContextManager[None]:
        """Inside the block, on this thread, what is read may be up to half a minute old; what we write ourselves is seen at once."""
        ...

    def head(self, ref: str) -> str | None:
        """The commit that `ref` names, or None."""
        ...

    def read(self, ref: str, path: str) -> bytes | None:
        """One blob, or None."""
        ...

    def files(self, ref: str, folder: str) -> dict[str, bytes]:
        """All regular blobs of at most 1 MiB below `folder`, by path relative to it. Links and submodules are left out."""
        ...

    def object_id(self, ref: str, path: str) -> str | None:
        """The git object id of the blob or tree at `path`, or None."""
        ...

    def children(self, ref: str, folder: str) -> dict[str, str]:
        """Name to git object id of what lies directly in `folder`."""
        ...

    def changes(self, base: str, head: str) -> tuple[Change, ...]:
        """What `head` changes against the merge base of the two."""
        ...

    def diff(self, base: str, head: str, folder: str = "") -> str:
        """A unified diff against the merge base, without binary content."""
        ...

    def commit(self, branch: str, files: Mapping[str, bytes | None], *, parent: str | None, message: str, author: str, orphan: bool = False) -> str:
        """Commits `files` (None deletes) on top of `parent` and moves `branch` there; returns the commit.

        Compare-and-swap: raises HeadMoved where the branch is not at `parent` (None: the branch must not exist, and
        starts at the head of main or, as an `orphan`, with nothing). Writing the same files on the same parent twice gives the
        head, not a new commit.
        """
        ...

    def history(self, path: str, limit: int = 50) -> Sequence[CommitLine]:
        """The commits of main that changed `path`, newest first."""
        ...


class CommitLine(Frozen):
    """One line of history; `at` is ISO 8601. `ledger` is the trailer of that name, by which a release says how far the ledger was."""

    commit: str
    author: str
    at: str
    message: str
    ledger: str = ""


class Requests(Protocol):
    """Issues and what is said on them (and on proposals: they share their numbers)."""

    def open_request(self, draft: RequestDraft) -> Request: ...
    def request(self, number: int) -> Request:
        """Raises NotFound."""
        ...

    def requests(self, state: Literal["open", "closed", "all"] = "open") -> Sequence[Request]: ...
    def close_request(self, number: int, closed_as: str) -> None: ...
    def label(self, number: int, *, add: Iterable[str] = (), remove: Iterable[str] = ()) -> None:
        """Labels of a request or a proposal."""
        ...

    def say(self, number: int, text: str, *, author: str, marker: str | None = None) -> None:
        """Comments. With a marker, the comment with that marker is edited where there is one."""
        ...

    def comments(self, number: int) -> Sequence[Comment]: ...
    def may_judge(self, person: str) -> bool:
        """Whether the forge itself lets this person change things there. Policy says on top of that who may approve."""
        ...

    def react(self, comment: int, *, heeded: bool) -> None:
        """Shows on somebody's comment that it was heeded, or refused; nothing where the forge cannot."""
        ...


class Proposals(Protocol):
    """Pull requests with their checks and reviews. Verdicts are kept by commit."""

    def open_proposal(self, draft: ProposalDraft) -> Proposal:
        """Opens the proposal of `draft.branch`; where an open one exists, updates its title, body and draft state."""
        ...

    def proposal(self, number: int) -> Proposal:
        """Raises NotFound."""
        ...

    def proposals(
        self, state: Literal["open", "merged", "closed", "all"] = "open", *, skill: str | None = None, request: int | None = None
    ) -> Sequence[Proposal]:
        """By number; with `skill`, those of one skill alone, and with `request`, those for one request."""
        ...

    def close_proposal(self, number: int) -> None: ...
    def post_check(self, number: int, result: CheckResult) -> None:
        """One result a head and name; posting again replaces it."""
        ...

    def checks(self, number: int, head: str) -> CheckReport: ...
    def post_review(self, number: int, review: Review) -> None:
        """One review a head and reviewer; posting again replaces it."""
        ...

    def reviews(self, number: int, head: str) -> tuple[Review, ...]: ...
    def written(self, proposal: Proposal) -> tuple[Written, ...]:
        """Who wrote what it adds to main: of each commit that is not ours the author and the committer, and who pushed it, where that is kept."""
        ...

    def forget_verdicts(self, number: int, head: str) -> None:
        """Drops the could-not-tell results of a head, so that they are looked for again."""
        ...

    def forget_run(self, run: int) -> None:
        """Drops one check's result, by the forge's own number of it, so that the check is made again. One that is not ours is left alone."""
        ...

    def merge(self, number: int, *, expected_head: str, message: str, author: str) -> str:
        """Merges and returns the commit on main; merging twice returns the first. HeadMoved where the head differs,
        Refused where it conflicts."""
        ...


class Forge(Repository, Requests, Proposals, Protocol):
    """Where all state lives. The local forge is the reference."""


# ---- running untrusted code ---------------------------------------------------------------------------------------


class Mount(Frozen):
    """`source` of this machine shown at `target` inside, read-only unless `writable`."""

    source: Path
    target: str
    writable: bool = False


class Limits(Frozen):
    """`seconds` of wall time; `memory`, `output` (each stream) and `disk` in bytes; `processes` at once."""

    seconds: float = 60.0
    memory: int = 512 * 2**20
    processes: int = 64
    output: int = 2**20
    disk: int = 64 * 2**20


class SandboxSpec(Frozen):
    """What to run, on a system root that is read-only, with no network and an empty writable /tmp.

    `argv[0]` is a path inside. `result_fd`: where true, descriptor 3 is open for a result of at most `limits.output`
    bytes, apart from what the program prints. `loopback`: whether sockets of the internet's families can be made, which reach
    loopback alone; without it there are unix sockets only. `low_ports`: whether ports below 1024 may be listened on inside.
    `files`, by path inside, are held in memory alone and can be read by the program and by nobody else (mode 400); each
    folder that holds one holds nothing else.
    """

    argv: tuple[str, ...]
    mounts: tuple[Mount, ...] = ()
    env: dict[str, str] = {}
    cwd: str = "/tmp"
    stdin: bytes = b""
    limits: Limits = Limits()
    result_fd: bool = False
    loopback: bool = False
    low_ports: bool = False
    files: dict[str, bytes] = Field(default={}, repr=False)


Ending = Literal["ok", "nonzero", "timeout", "out_of_memory", "pids", "output_limit", "could_not_tell"]


class SandboxResult(Frozen):
    """How a run ended. `stdout` and `stderr` are cut at the output limit; `result` came over descriptor 3."""

    ending: Ending
    exit_code: int | None = None
    stdout: bytes = b""
    stderr: bytes = b""
    result: bytes = b""
    seconds: float = 0.0


class Availability(Frozen):
    """Whether a part can work here; `why` and `fix` where not."""

    ok: bool
    why: str = ""
    fix: str = ""


class Usage(Frozen):
    """What a running server uses: `memory` in bytes now, `cpu` in seconds since it started. None: nobody can tell."""

    memory: int | None = None
    cpu: float | None = None


class SandboxProcess(Protocol):
    """A service in the sandbox. `pid` is that of its outermost process on this machine."""

    pid: int

    def running(self) -> bool: ...
    def usage(self) -> Usage: ...
    def stop(self, grace_seconds: float = 2.0) -> None: ...


class Sandbox(Protocol):
    """Runs code that nobody has judged yet. Never falls back to running it bare."""

    name: str

    def available(self) -> Availability: ...
    def run(self, spec: SandboxSpec) -> SandboxResult:
        """Runs to the end and dies with its starter. Raises SandboxUnavailable."""
        ...

    def start(self, spec: SandboxSpec, *, log: Path, outlive: bool = False) -> SandboxProcess:
        """Starts a service that prints to `log`; unless `outlive`, it dies with its starter."""
        ...


class AdoptingSandbox(Sandbox, Protocol):
    """A sandbox whose services another process than their starter can take over."""

    def started_at(self, pid: int) -> float | None:
        """When the process started; with `pid` it names one process for good. None where there is none."""
        ...

    def attach(self, pid: int, started: float) -> SandboxProcess | None:
        """The service that runs as `pid`, where `started_at` still says `started`; else None."""
        ...


class Language(Protocol):
    """One language of the shelf. Static analysis reads; everything that runs code does so in the sandbox.

    `entrypoint` is the file that a new skill's manifest names.
    """

    name: str
    entrypoint: str

    def template(self, manifest: Manifest) -> dict[str, bytes]:
        """The files of a skill that passes its own checks, by path in the skill's folder (skill.yaml not among them)."""
        ...

    def digest(self) -> str:
        """Identifies the toolchain and the server shim: a part of every artifact's digest."""
        ...

    def prepare(self, root: Path, manifest: Manifest, target: Path) -> None:
        """Fills `target` with what runs: code, locked dependencies, server shim. No code of the skill is executed.
        Raises Refused for a broken lock file, CouldNotTell where the index is out of reach."""
        ...

    def server(self, artifact: Path, manifest: Manifest, socket_folder: Path) -> SandboxSpec:
        """How to start the built skill; it listens on `skill.sock` in `socket_folder` (mounted writable)."""
        ...

    def dockerfile(self, manifest: Manifest, base: str, labels: Mapping[str, str] | None = None) -> str:
        """The Dockerfile of an image on `base` whose context is what `prepare` made; it listens on port 8080. A pure function."""
        ...

    def run_tests(self, root: Path, manifest: Manifest, sandbox: Sandbox, *, mutants: int = 0, seed: int = 0, gut: bool = False) -> TestReport:
        """The author's tests with coverage; where asked, with a gutted implementation and with mutants."""
        ...

    def tidy(self, root: Path) -> None:
        """Formats in place what the language's formatter can, so that a model need not be asked for white space."""
        ...

    def style(self, root: Path) -> tuple[Finding, ...]: ...
    def security(self, root: Path) -> tuple[Finding, ...]: ...
    def capabilities(self, root: Path) -> tuple[Capability, ...]:
        """What the code can do, from its syntax alone: tests apart, each thing once, what the manifest allows marked as declared."""
        ...

    def dependencies(self, root: Path, manifest: Manifest) -> tuple[Finding, ...]: ...
    def lock(self, manifest: Manifest) -> dict[str, bytes]:
        """The lock file, with hashes, of the manifest's dependencies; empty where it has none."""
        ...

    def locked(self, files: Mapping[str, bytes]) -> tuple[Package, ...]:
        """What the lock file among a skill's files names; only of one that `dependencies` finds nothing wrong with."""
        ...

    def newer(self, manifest: Manifest) -> tuple[str, ...]:
        """The manifest's dependencies, each at the newest version that it is compatible with and that fits the others; as they are where
        those are the newest. Raises as `lock` does."""
        ...


class Index(Protocol):
    """Where the packages of one ecosystem come from: what the machine's own client is set up with, never what a proposal says."""

    def released(self, packages: Sequence[Package]) -> Mapping[Package, datetime | None]:
        """When the index took each in (of the files that its hashes allow, the youngest); None where the index does not say.
        Raises Refused where it has no such package, CouldNotTell where it is out of reach."""
        ...


class Context(NamedTuple):
    """What an image is built from: a tar with its Dockerfile in it, whose base images are named by digest. `bases` has those by the reference
    that the settings or the skill give. Whoever is handed it closes `packed`."""

    digest: str
    packed: IO[bytes]
    bases: Mapping[str, str]


class Builder(Protocol):
    def digest(self, files: Mapping[str, bytes], manifest: Manifest) -> str:
        """The digest that building would give, without building."""
        ...

    def build(self, root: Path, files: Mapping[str, bytes], manifest: Manifest) -> Artifact:
        """Builds, or finds what was built from the same inputs. Raises Refused or CouldNotTell."""
        ...

    def find(self, digest: str) -> Artifact | None: ...

    def pack(self, root: Path, files: Mapping[str, bytes], manifest: Manifest) -> Context | None:
        """What an image is built from, for an engine elsewhere; None where no images are made here.
        Raises Refused, CouldNotTell, and ConfigurationError where a base image is of this machine alone."""
        ...

    def fetch(self, digest: str, image: str) -> Artifact | None:
        """The artifact that a release pushed as `image` (a reference by digest), brought here; None where none of that kind is used here.
        Raises CouldNotTell where the registry of images is out of reach, Refused where it holds something else there."""
        ...


class Deployment(Frozen):
    """What should serve: one version of one skill. With a `person`, for their calls alone: then it is handed that person's own secrets."""

    skill: str
    version: str
    digest: str
    runtime: str
    location: str
    resources: Resources = Resources()
    health: Health = Health()
    manifest: Manifest
    person: str = ""

    def owned_by(self, person: str) -> Deployment:
        return self.model_copy(update={"person": person})

    @property
    def place(self) -> str:
        """By which callers are led to it; also the name of what it keeps. Nobody can give themselves a name that is led to another's."""
        if not self.person:
            return self.skill
        return f"{self.skill}.{hashlib.sha256(self.person.encode(errors='surrogatepass')).hexdigest()[:32]}"


class Secrets(Protocol):
    """The vault, as whoever starts skills knows it. Everything raises CouldNotTell or ConfigurationError where it cannot be read."""

    def values(self, skill: str, names: Sequence[str], person: str = "") -> dict[str, str]:
        """The secrets of a skill by name; with a `person`, those that are theirs. Raises MissingSecret where the vault has not all of them."""
        ...

    def revision(self, skill: str, names: Sequence[str], person: str = "") -> str:
        """Changes whenever one of these is set, rotated, removed, or given to other skills."""
        ...

    def known(self, skill: str) -> Sequence[str]:
        """Every value that the skill may have, whoever calls it: what must not be read in what it prints."""
        ...


class Running(Protocol):
    """One server of a skill that a launcher has started. `name` is its own among all of a clone."""

    name: str
    endpoint: Endpoint

    def running(self) -> bool: ...
    def listens(self) -> bool:
        """Whether one may try to connect to it by now."""
        ...

    def ending(self) -> str:
        """Why it no longer runs, as the end of a sentence."""
        ...

    def stop(self) -> None:
        """Ends it, however it stands; what could not be cleared away now is cleared away by a later sweep. Never raises."""
        ...

    def log(self, lines: int) -> str:
        """The end of what it printed."""
        ...

    def kept(self) -> dict[str, Any]:
        """As JSON values, what `Launcher.attach` knows it again by."""
        ...

    def usage(self) -> Usage: ...


class Launcher(Protocol):
    """Starts the servers of skills for the supervisor of one clone, and leads callers to them.

    Everything may raise OSError; where an engine is asked, CouldNotTell too.
    """

    name: str

    def available(self) -> Availability: ...
    def launch(self, deployment: Deployment, name: str, *, trial: StandIns | None = None) -> Running:
        """Starts a server, which outlives its starter and need not be healthy yet; for a `trial`, with storage that is thrown away, and
        with the stand-ins that answer in it.
        Raises Refused where it cannot be served here."""
        ...

    def attach(self, name: str, kept: Mapping[str, Any]) -> Running | None:
        """The server that an earlier supervisor started as `name`, where it runs still; else None. ValueError, KeyError or
        TypeError where `kept` was not written by such a launcher."""
        ...

    def sweep(self, living: Container[str]) -> None:
        """Clears away what is left of servers that are not among `living`."""
        ...

    def switch(self, place: str, serving: Sequence[Running]) -> None:
        """From now on `endpoint` leads to these, in one step; to nothing where there are none. `place` is a `Deployment.place`."""
        ...

    def endpoint(self, place: str) -> Endpoint:
        """Where callers reach it, whatever serves there."""
        ...

    def logs(self, skill: str, lines: int) -> str | None:
        """The end of what the skill's servers print and printed; None where it never ran here."""
        ...

    def close(self) -> None:
        """The orderly end, when no server is left."""
        ...


class Endpoints(Protocol):
    """Where skills answer: the part of a runtime that callers need."""

    def endpoint(self, skill: str, person: str = "") -> Endpoint:
        """Where it answers; starts it where it rests. Raises NotFound where it is not deployed.

        `person` is who calls. It counts for a skill with personal secrets: what answers there is theirs alone, and MissingSecret is raised
        where the vault has none of theirs.
        """
        ...


class Runtime(Endpoints, Protocol):
    """Owns running skills and hands out endpoints; it does not call them."""

    name: str

    def available(self) -> Availability: ...
    def deploy(self, deployment: Deployment) -> Service:
        """Starts the new version beside the old, probes it, and switches. Raises Refused with the reason where it
        does not become healthy; then the old version stays in service. Deploying what already serves does nothing."""
        ...

    def remove(self, skill: str) -> None: ...
    def services(self) -> Sequence[Service]: ...
    def logs(self, skill: str, lines: int = 200) -> str: ...
    def stats(self, skill: str | None = None) -> Sequence[Load]:
        """What runs now, a line for each server; of one skill or of all. Raises NotFound where it is not deployed."""
        ...

    def trial(self, artifact: Artifact, manifest: Manifest, stand_ins: StandIns = NO_STAND_INS) -> AbstractContextManager[Endpoint]:
        """A throw-away instance that is healthy when handed out and dies with its starter. It reaches no host: where it asks for
        one, its stand-in answers or nobody. Raises Refused with the reason (and the end of its log) where it does not become healthy."""
        ...


# ---- models, checks, reviewers, the trail -------------------------------------------------------------------------


class Message(Frozen):
    role: Literal["system", "user", "assistant"]
    content: str


class Question(Frozen):
    """What is put to a model. `purpose` and `variables` identify it for a recorded session; `answer_schema` is the
    JSON Schema of the answer wanted."""

    purpose: str
    variables: dict[str, Any]
    messages: tuple[Message, ...]
    answer_schema: dict[str, Any]


class Completion(Frozen):
    """What a model said. `cost` in US dollars (0 where unknown). `stopped`: why it said no more, where that was not its own choice."""

    text: str
    model: str
    stopped: Literal["", "length", "content_filter", "refusal"] = ""
    tokens_in: int = 0
    tokens_out: int = 0
    cost: float = 0.0
    seconds: float = 0.0

    @property
    def tokens(self) -> int:
        return self.tokens_in + self.tokens_out


class LanguageModel(Protocol):
    name: str

    def available(self) -> Availability: ...
    def complete(self, question: Question) -> Completion:
        """Raises ModelUnavailable (could not tell) where there is no answer."""
        ...


class Workbench(Protocol):
    """What the checks and reproducers of one subject share, so that nothing is built or started twice."""

    def artifact(self) -> Artifact: ...
    def trial(self) -> Endpoint: ...


class Registered(Shelf, Protocol):
    """The registry, as those who judge what requires what need it."""

    def dependants(self, name: str) -> Sequence[Manifest]:
        """The skills that require the one named, retired ones left out."""
        ...


class Check(Protocol):
    name: str

    def run(self, subject: Subject, bench: Workbench) -> CheckResult:
        """States a fact. An exception means that it could not tell; the stage turns it into that outcome."""
        ...


class Reviewed(Frozen):
    """What a reviewer reads: everything here is data, nothing is an instruction."""

    skill: str
    head: str
    files: dict[str, str]
    base_files: dict[str, str]
    request: str
    contract: str
    registry_neighbours: tuple[str, ...] = ()


class Reviewer(Protocol):
    name: str

    def review(self, reviewed: Reviewed) -> Review:
        """A verdict bound to `reviewed.head`; `could_not_tell` where the model gave none."""
        ...


class Ledger(Protocol):
    """The audit trail: append-only and hash-chained."""

    def record(self, event: Event) -> Entered: ...
    def entries(self, *, request: int | None = None, proposal: int | None = None, after: int = 0, most: int | None = None) -> Sequence[Entered]:
        """In order; with both given, those that belong to both. Of those with a number above `after` the first `most`."""
        ...

    def last(self, *, request: int | None = None, proposal: int | None = None) -> Entered | None:
        """The newest of those that `entries` gives; the number of the newest of all is how many there are."""
        ...

    def tampered(self) -> int | None:
        """The number of the first entry that does not fit the chain, or None."""
        ...

    def spent(self, request: int) -> Spent:
        """What a request has used since a person last said `retry` (event `retried`): attempts are the events
        `attempt`; tokens, cost and minutes are summed over all of its events."""
        ...


Tell = Callable[[Event], None]
"""Who watches: the command's live display, the gateway's pages. Called for every event after it is recorded."""
