"""Wiring: settings in, parts out. The only file that names concrete adapters."""

from __future__ import annotations

import getpass
import hashlib
import importlib
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agent.advisories import ask
from agent.anchors import AnchoredLedger
from agent.author import Author
from agent.branch_ledger import BranchLedger
from agent.catalog import Catalog
from agent.conversation import Conversations
from agent.deliveries import Deliveries
from agent.domain.audit import Advisory
from agent.domain.check import CheckReport
from agent.domain.event import Event
from agent.domain.package import Package
from agent.errors import CouldNotTell
from agent.facts import Facts
from agent.forges.checkout import Checkout
from agent.forges.local import LocalForge
from agent.halting import Halts
from agent.keys import Keys
from agent.ledger import SqliteLedger
from agent.memory import Memory
from agent.parts import Parts, policy_of, runners
from agent.pasted import struck_out
from agent.people import take_back
from agent.pipeline import Pipeline
from agent.ports import Forge, LanguageModel, Ledger, Reviewer, Tell
from agent.profiles import profile_named
from agent.settings import Settings
from agent.stages.deploying import OnDemand
from agent.stages.releasing import REGISTRY, artifact_of
from agent.tiers import walled
from agent.vault import Vault
from agent.wiring_checks import checks_of, cutoff, policy_here
from agent.wiring_models import embedder_of, model_of, model_of_agent
from agent.wiring_models import rekeying as rekeying
from agent.wiring_runtimes import builder_of, languages_of, runtime_of, sandbox_of, vault_of
from agent.workbench import Bench, TryOut, examine, subject_of_folder
from agent.workflow_runtime import WorkflowRuntime
from agent.workplace import Workplace

if TYPE_CHECKING:
    from agent.chats.slack import Slack
    from agent.gateway.door import Door
    from agent.gateway.gateway import Gateway
    from agent.gateway.pages.feed import Feed
    from agent.gateway.secrets import Link

GATEWAY = "http://127.0.0.1:8765"  # where `skillops serve` listens unless told otherwise
CHECKS = ("scope", "manifest", "style", "security", "secrets", "dependencies", "tests", "contract")
REVIEWERS = ("correctness", "security", "fit")


def silent(event: Event) -> None:
    """The watcher of a command that shows nothing."""


def settings_of(path: Path, **options: Any) -> tuple[Settings, Checkout]:
    """The settings of the skills repository that `path` lies in, and its working clone."""
    settings = Settings.load(Checkout.root_of(path), **options)
    return settings, Checkout.find(path, remote=settings.forge != "local")


def open_workplace(path: Path, tell: Tell = silent, stand_in: LanguageModel | None = None, **options: Any) -> Workplace:
    """Everything for one repository, from its settings and what lies in its origin. Nothing is started.

    `stand_in` is used instead of the model that the settings name.
    """
    settings, checkout = settings_of(path, **options)
    model = stand_in or model_of(settings, checkout.kept)
    parts = parts_of(settings, checkout.kept, tell, model)
    pipeline = Pipeline(parts)
    if isinstance(parts.runtime, WorkflowRuntime):
        parts.runtime.deploy_now = pipeline.deploy
    conversations = Conversations(
        forge=parts.forge, catalog=parts.catalog, runtime=OnDemand(parts.runtime, pipeline.deploy), model=parts.model,
        memory=Memory(checkout.kept / "conversations.sqlite"), record=parts.record, workers=settings.workers,
        strike=parts.strike, tell=tell, halts=parts.halts, facts=Facts(checkout.kept / "facts.sqlite"), lines=parts.lines,
        take_back=partial(take_back, parts),
        profile=lambda name: profile_named(name, parts.forge), operator=parts.user if settings.callers_apart else None,
        model_of=lambda profile: stand_in or model_of_agent(profile, settings, checkout.kept, model),
    )  # fmt: skip
    return Workplace(parts, checkout, pipeline, conversations)


def open_keys(path: Path) -> tuple[Keys, str]:
    """The API keys of the repository that `path` lies in, and who its user is."""
    settings, checkout = settings_of(path)
    return _keys(checkout), settings.user or _login()


def open_vault(path: Path) -> tuple[Vault, str]:
    """The vault of the repository that `path` lies in, and who its user is."""
    settings, checkout = settings_of(path)
    return vault_of(settings, checkout.kept), settings.user or _login()


def secret_link(path: Path, name: str, skills: list[str] | None, seconds: float, gateway: str, person: str = "") -> Link:
    """A link to a one-time form of the gateway at `gateway`, or where the settings say that it is."""
    from agent.gateway.secrets import Wanted, make_link
    from agent.slot import fit

    fit(name, None, skills or (), person)
    settings, checkout = settings_of(path)
    wanted = Wanted(name=name, skills=None if skills is None else tuple(skills), minutes=seconds / 60, person=person)
    return make_link(vault_of(settings, checkout.kept), gateway or settings.gateway_url or GATEWAY, wanted, settings.user or _login())


def gateway_of(place: Workplace, host: str, *, work: bool, feed: Feed | None = None) -> Gateway:
    """The gateway to one repository, as it is reached at `host`; with `work`, it has a worker. `feed` hears what the place does."""
    from agent.gateway.gateway import Gateway
    from agent.gateway.server import LOOPBACK_NAMES, is_loopback
    from agent.gateway.worker import Worker

    settings = place.parts.settings
    hooked = bool(settings.github_webhook_secret.get_secret_value())
    return Gateway(
        place, _keys(place.checkout), hosts=LOOPBACK_NAMES.union((host.lower(), *map(str.lower, settings.gateway_hosts))),
        origins=frozenset(settings.gateway_origins), rate=settings.gateway_rate, daily=settings.gateway_daily, at_once=settings.gateway_concurrency,
        on_loopback=is_loopback(host), feed=feed, webhook_path="/webhooks/github" if hooked else "",
        chat_paths=frozenset(("/slack/events",) if settings.slack_signing_secret.get_secret_value() else ()),
        worker=Worker(place, deliveries=_deliveries(place.checkout) if hooked else None) if work else None,
    )  # fmt: skip


def app_of(gateway: Gateway, chat: Slack | None = None) -> Door:
    """The gateway's application, with the webhooks where they are set up, and what Slack sends to the `chat`."""
    from agent.gateway import chats, webhooks
    from agent.gateway.app import make_app

    secret, forge = gateway.place.parts.settings.github_webhook_secret.get_secret_value(), gateway.place.parts.forge
    more = [chats.router(path, chat.answer) for path in gateway.chat_paths if chat]
    if secret:
        more.append(webhooks.router(gateway, _deliveries(gateway.place.checkout), secret, getattr(forge, "login", "")))
    return make_app(gateway, *more)


def chat_of(gateway: Gateway) -> Slack | None:
    """The chat in Slack, where the settings have one. ConfigurationError where it is set up by half, or Slack does not take the token."""
    from agent.chats import slack
    from agent.chats.desk import Desk
    from agent.chats.inbox import Inbox

    settings = gateway.place.parts.settings
    if not slack.is_set_up(settings):
        return None
    client = slack.client_of(settings)
    board = slack.SlackBoard(client, settings.gateway_url, slack.client_of(settings, waits=False))
    desk = Desk(gateway, Inbox(gateway.place.checkout.kept / "slack.sqlite"), board)
    if gateway.feed:
        gateway.feed.heard_by(desk.hear)
    return slack.Slack(desk, board, slack.our_user(client), settings)


def _deliveries(checkout: Checkout) -> Deliveries:
    return Deliveries(checkout.kept / "deliveries.sqlite")


def _keys(checkout: Checkout) -> Keys:
    return Keys(checkout.kept / "keys.sqlite")


def parts_of(settings: Settings, kept: Path, tell: Tell, model: LanguageModel, given: tuple[Forge, Ledger] | None = None) -> Parts:
    """The parts, for settings already loaded; `kept` is the folder of what belongs to the repository and is not in git.

    `given` takes the place of the forge and the ledger that the settings name.
    """
    sandbox = sandbox_of(settings)
    catalog, vault = Catalog(settings.state / "catalog.sqlite", embedder_of(settings, kept)), vault_of(settings, kept)
    forge, ledger = given or anchored(*forge_of(settings, kept), settings)
    rules = lambda: policy_of(forge).dependencies  # noqa: E731
    languages = languages_of(catalog, lambda: cutoff(rules()))
    builder = builder_of(settings, settings.state / "artifacts", languages)
    runtime = WorkflowRuntime(
        runtime_of(settings, sandbox, languages), catalog, partial(artifact_of, forge=forge, builder=builder),
        settings.state / "workflows", settings.workers, partial(struck_out, vault),
    )  # fmt: skip

    def record(event: Event) -> None:
        ledger.record(event)
        tell(event)

    written = {name: language for name, language in languages.items() if name not in ("container", "workflow")}  # what a model writes is code
    trial = TryOut(checks_of(settings, sandbox, languages, rules, catalog, light=True), builder, runtime, settings.workers)
    return Parts(
        settings=settings, user=settings.user or _login(), forge=forge, ledger=ledger,
        catalog=catalog, model=model, sandbox=sandbox, languages=languages,
        checks=checks_of(settings, sandbox, languages, rules, catalog, light=False), reviewers=_reviewers(model), builder=builder, runtime=runtime,
        vault=vault, author=Author(model, written, trial, record, settings.state / "drafts"), tell=tell,
        alone=lambda: _turn(kept / "run.lock"), halts=Halts(kept / "halts.sqlite"), lines=runtime.lines,
    )  # fmt: skip


def anchored(forge: Forge, ledger: Ledger, settings: Settings) -> tuple[Forge, Ledger]:
    """The ledger held against what this clone has seen of it, and what the releases on main say."""
    name = hashlib.sha256(f"{settings.forge} {settings.github_repository}".encode()).hexdigest()[:8]

    def releases() -> list[str]:
        since = policy_of(forge).ledger_since
        lines = takewhile(lambda line: not since or not line.commit.startswith(since), forge.history(REGISTRY))
        return [line.ledger for line in lines]

    return forge, AnchoredLedger(ledger, name, settings.state / f"ledger-{name}.seen", releases)


def forge_of(settings: Settings, kept: Path) -> tuple[Forge, Ledger]:
    """Where requests and proposals live, and the trail beside them. The local forge is the bare repository that `kept` lies in."""
    if settings.forge == "local":
        return LocalForge(kept.parent), SqliteLedger(kept / "ledger.sqlite")
    from agent.forges.github import Key, forge_of_repository

    key = Key(
        token=settings.github_token.get_secret_value(), app_id=settings.github_app_id,
        private_key=settings.github_app_key.get_secret_value(), installation=settings.github_installation,
    )  # fmt: skip
    forge = forge_of_repository(
        settings.github_repository, key, settings.github_api, login=settings.github_login, method=settings.github_merge,
        cache=settings.state / "github.git" if settings.github_commits == "git" else None, git=settings.github_git,
    )  # fmt: skip
    return forge, BranchLedger(forge)


def advise_of(settings: Settings) -> Callable[[Sequence[Package]], Sequence[Advisory]]:
    """What asks the database of advisories that the settings name."""
    return partial(ask, address=settings.advisories)


def check_folder(folder: Path, settings: Settings) -> CheckReport:
    """The eight checks on a skill's folder as it lies on disk; nothing is posted. Where others are required, those of the repository are."""
    sandbox, languages = sandbox_of(settings), languages_of()
    with tempfile.TemporaryDirectory(prefix="skillops-") as temporary:
        place = Path(temporary)
        subject = subject_of_folder(folder, place / folder.resolve().name)
        if subject.manifest and (subject.manifest.runtime == "workflow" or subject.manifest.requires):
            parts = open_workplace(settings.repository).parts
            parts.sync()
            builder, runtime, checks = parts.builder, parts.runtime, parts.checks_of(subject.skill)
        else:
            builder, runtime = builder_of(settings, place / "artifacts", languages), runtime_of(settings, sandbox, languages)
            policy = policy_here(settings)
            made = checks_of(settings, sandbox, languages, lambda: policy.dependencies, light=False)
            checks = walled(made, policy.min_tier, subject.skill, *runners(sandbox, runtime))
        with Bench(subject, builder, runtime) as bench:
            return examine(checks, subject, bench, settings.workers)


def _reviewers(model: LanguageModel) -> dict[str, Reviewer]:
    return {name: importlib.import_module(f"reviewers.{name}").make(model) for name in REVIEWERS}


def _login() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "somebody"


@contextmanager
def _turn(path: Path) -> Iterator[None]:
    """Waits for the repository's other commands; the system frees the lock of a killed one."""
    import fcntl

    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        handle = path.open("a")
    except OSError as error:
        raise CouldNotTell(f"The lock {path.name} cannot be taken.", why=str(error), next_step="Check the disk and its permissions.") from None
    with handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
