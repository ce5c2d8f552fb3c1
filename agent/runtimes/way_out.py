"""A skill's way out of its sandbox: the folder with its door, what is mounted for it, and how the server is started behind the forwarder."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agent.broker.keys import Brokers, Key
from agent.domain.skill import Manifest
from agent.domain.stand_in import StandIns
from agent.egress import forwarder
from agent.egress.hosting import Egress
from agent.egress.rules import Rule
from agent.errors import SkillOpsError
from agent.interpreter import base_mounts, interpreter
from agent.ports import Mount, SandboxSpec
from agent.runtimes.ways import RULE, rules_of

if TYPE_CHECKING:
    from agent.runtimes.way_back import WayBack

INSIDE, PROGRAM = "/run/egress", "/run/forwarder.py"
DOOR, WAY, CERTIFICATES = "door", "way", "certificates.pem"
NAMES_ADDRESS = "127.0.0.53"
MEMORY = 64 * 2**20  # bytes for the forwarder, beside what the server may use
# Where programs look for the authorities that they trust: OpenSSL and Python, Node, curl, Python's requests.
TRUST = ("SSL_CERT_FILE", "NODE_EXTRA_CA_CERTS", "CURL_CA_BUNDLE", "REQUESTS_CA_BUNDLE")
SYSTEM_BUNDLE = Path("/etc/ssl/certs/ca-certificates.crt")
log = logging.getLogger("agent.egress")


def prepare(folder: Path, rules: Sequence[Rule], *, unanswered: Collection[Rule] = (), certificates: bytes = b"") -> None:
    """Fills `folder`, which is shown inside, and in which the door will be.

    `unanswered`: exact rules that get a name and no listener, so that connecting is refused. `certificates`: what is trusted inside
    instead of the machine's authorities (PEM).
    """
    exact = [rule for rule in rules if rule.exact]
    addresses = {host: f"127.77.0.{number}" for number, host in enumerate(dict.fromkeys(rule.host for rule in exact), 1)}
    wild_ports = {rule.port for rule in rules if not rule.exact}
    listen = {("0.0.0.0", port) for port in wild_ports}
    listen |= {(addresses[rule.host], rule.port) for rule in exact if rule.port not in wild_ports and rule not in unanswered}
    way = [
        f"door {INSIDE}/{DOOR}",
        f"names {NAMES_ADDRESS}",
        *(f"host {address} {host}" for host, address in addresses.items()),
        *(f"wildcard {host}" for host in sorted({rule.host for rule in rules if not rule.exact})),
        *(f"listen {address} {port}" for address, port in sorted(listen)),
    ]
    (folder / WAY).write_text("\n".join(way))
    (folder / "hosts").write_text("".join(f"{line}\n" for line in _hosts(addresses)))
    (folder / "resolv.conf").write_text(f"nameserver {NAMES_ADDRESS}\noptions timeout:2 attempts:1\n")
    (folder / "nsswitch.conf").write_text("passwd: files\ngroup: files\nhosts: files dns\n")
    if certificates:
        (folder / CERTIFICATES).write_bytes(certificates)


def led_out(spec: SandboxSpec, folder: Path) -> SandboxSpec:
    """`spec` with its program started by the forwarder, behind what `prepare` wrote to `folder`."""
    mounts = dict.fromkeys((*spec.mounts, *base_mounts()))
    mounts[Mount(source=folder, target=INSIDE)] = None
    mounts[Mount(source=Path(forwarder.__file__), target=PROGRAM)] = None
    for name in ("hosts", "resolv.conf", "nsswitch.conf"):
        mounts[Mount(source=folder / name, target=f"/etc/{name}")] = None
    env: Mapping[str, str] = {}
    if (folder / CERTIFICATES).exists():
        env = dict.fromkeys(TRUST, f"{INSIDE}/{CERTIFICATES}")
        if SYSTEM_BUNDLE.is_file() and not SYSTEM_BUNDLE.is_symlink():
            mounts[Mount(source=folder / CERTIFICATES, target=str(SYSTEM_BUNDLE))] = None
    return spec.model_copy(
        update={
            "argv": (interpreter(), "-I", "-S", PROGRAM, f"{INSIDE}/{WAY}", "--", *spec.argv),
            "mounts": tuple(mounts),
            "env": {**spec.env, **env},
            "limits": spec.limits.model_copy(update={"memory": spec.limits.memory + MEMORY}),
            "loopback": True,
            "low_ports": True,
        }
    )


class WayOut:
    """The open way out of one skill, and the way back where `rules` name that. `folder` is the server's; what belongs to the way lies beside it.
    `state` is the clone's."""

    def __init__(self, egress: Egress, skill: str, rules: Sequence[Rule], folder: Path, state: Path, keys: Sequence[Key] = (),
                 brokers: Brokers | None = None) -> None:  # fmt: skip
        """Opens the door in what is prepared already. `keys`: the placeholders that `brokers` exchange. Raises OSError."""
        self._egress, self._skill, self._rules, self._folder, self._keys = egress, skill, rules, _beside(folder), keys
        self._back: WayBack | None = None
        if RULE in rules:
            from agent.runtimes.way_back import WayBack

            self._back = WayBack(egress, skill, state, folder.with_name(f"{folder.name}.back"))
        carriers = brokers.carriers(skill, keys) if brokers else None
        self._door = egress.open(skill, rules, self._folder / DOOR, carriers, self._back.pinned if self._back else None)

    @classmethod
    def made(cls, egress: Egress, skill: str, rules: Sequence[Rule], folder: Path, state: Path, keys: Sequence[Key] = (),
             brokers: Brokers | None = None, **traits: Any) -> WayOut:  # fmt: skip
        """A new one; `traits` as `prepare` has them. Raises OSError."""
        _beside(folder).mkdir(mode=0o700)
        try:
            prepare(_beside(folder), rules, **traits)
            return cls(egress, skill, rules, folder, state, keys, brokers)
        except (SkillOpsError, OSError):
            shutil.rmtree(_beside(folder), ignore_errors=True)
            raise

    @classmethod
    def known(cls, egress: Egress, folder: Path, state: Path, kept: Mapping[str, Any], brokers: Brokers) -> WayOut:
        """The way that an earlier process made, with a new door where its own was: the skill finds that at the same place."""
        keys = [Key.model_validate(key) for key in kept.get("keys", ())]
        return cls(egress, str(kept["skill"]), [Rule.parse(str(rule)) for rule in kept["rules"]], folder, state, keys, brokers)

    def kept(self) -> dict[str, Any]:
        return {"skill": self._skill, "rules": [str(rule) for rule in self._rules], "keys": [key.model_dump() for key in self._keys]}

    def lead(self, spec: SandboxSpec) -> SandboxSpec:
        return led_out(spec, self._folder)

    def close(self) -> None:
        """Ends its connections and takes everything away. Never raises."""
        self._egress.close(self._door)
        if self._back:
            self._back.close()
        shutil.rmtree(self._folder, ignore_errors=True)


@contextmanager
def hermetic(manifest: Manifest, folder: Path, state: Path, stand_ins: StandIns) -> Iterator[WayOut]:
    """A way that leads to the stand-ins, back to whoever tries it, and nowhere else, with a proxy of its own. `stage` beside `folder` is
    theirs. Raises OSError."""
    from agent.stand_ins import Stage

    rules = manifest.permissions.rules
    place = folder.with_name("stage")
    place.mkdir(mode=0o700)
    stage = Stage(stand_ins.hosts, place, manifest.permissions.brokered_places)
    egress = Egress(lambda verdict: log.info("in a trial: %s", verdict), stage.targets, sealed=True)
    unanswered = [rule for rule in rules if rule.exact and (rule.host, rule.port) not in stage.targets]
    try:
        egress.do(stage.open())
        yield WayOut.made(egress, manifest.name, rules_of(manifest), folder, state, unanswered=unanswered, certificates=stage.certificates)
    finally:
        egress.do(stage.close())
        egress.stop()


def _beside(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}.net")


def _hosts(addresses: Mapping[str, str]) -> Sequence[str]:
    return ["127.0.0.1 localhost", "::1 localhost", *(f"{address} {host}" for host, address in addresses.items())]
