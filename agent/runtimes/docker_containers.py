"""Makes the containers of skills, with their volumes and secrets, and clears away what nobody knows any more."""

from __future__ import annotations

import contextlib
import io
import logging
import tarfile
from collections.abc import Callable, Iterator, Mapping
from collections.abc import Container as Names
from typing import TYPE_CHECKING

from agent.docker_engine import DockerEngine, faults, remove
from agent.errors import CouldNotTell
from agent.ports import Deployment
from agent.runtimes.docker_network import Network
from agent.runtimes.docker_options import AUTHORITIES, INSTANCE, REPOSITORY, ROLE, SECRETS, SKILL, STORAGE, USER, container_options, security
from agent.runtimes.way_out import CERTIFICATES, TRUST
from agent.runtimes.ways import rules_of

if TYPE_CHECKING:
    from docker.models.containers import Container

OWNER = int(USER.partition(":")[0])
# Memory of the engine's machine: what lies in it is on no disk, and is gone when no container holds it.
IN_MEMORY = {"type": "tmpfs", "device": "tmpfs", "o": "size=1m,mode=0755,nosuid,nodev,noexec"}
log = logging.getLogger("agent.supervisor")


class Containers:
    """Of one clone; `labels` are on all that is made. `own_image` is our own (the relay's), which has a folder at STORAGE that is the skills'.

    What the engine does not do is raised as docker-py has it, but for what says otherwise.
    """

    def __init__(self, engine: DockerEngine, clone: str, labels: Mapping[str, str], own_image: Callable[[], str]) -> None:
        self._engine, self._clone, self._labels, self._own_image = engine, clone, {**labels, REPOSITORY: clone}, own_image

    def create(self, deployment: Deployment, name: str, network: Network, *, trial: bool, trusted: bool = False) -> Container:
        """Not started yet. `trusted`: it trusts the certificates that `start` brings, instead of its image's.

        Raises CouldNotTell where its image is not there.
        """
        import docker.errors

        manifest, volumes, trust = deployment.manifest, {}, {}
        labels = {**self._labels, ROLE: "skill", SKILL: deployment.skill, INSTANCE: name,
                  "skillops.version": deployment.version, "skillops.digest": deployment.digest}  # fmt: skip
        if manifest.permissions.storage == "persistent":
            volumes[STORAGE] = self._storage(deployment, name, labels, trial=trial)
        for place, wanted in ((SECRETS, manifest.permissions.secrets), (AUTHORITIES, trusted)):
            if wanted:
                volumes[place] = self._in_memory(place, name)
                self._engine.client().volumes.create(volumes[place], driver="local", driver_opts=IN_MEMORY, labels=labels)
        if trusted:
            trust = dict.fromkeys(TRUST, f"{AUTHORITIES}/{CERTIFICATES}")
        hosts = {rule.host: network.relay for rule in rules_of(manifest) if rule.exact}
        options = container_options(deployment.location, manifest, labels, volumes, hosts, trust)
        if manifest.permissions.personal or deployment.person:
            # On this network neighbours reach one another. What is one person's answers those alone who come by the relay.
            options["environment"]["SKILL_CALLERS"] = network.relay
        try:
            return self._engine.client().containers.create(
                name=f"{deployment.skill}.{name}", network=network.name, dns=[network.relay], **options
            )  # fmt: skip
        except docker.errors.ImageNotFound:
            raise CouldNotTell(
                f"The image of {deployment.skill} is not there.",
                why=f"The engine does not know {deployment.location}.",
                next_step="`skillops deploy` builds it anew.",
            ) from None

    def start(self, container: Container, secrets: Mapping[str, bytes], certificates: bytes = b"") -> None:
        files = {SECRETS: secrets, AUTHORITIES: {CERTIFICATES: certificates} if certificates else {}}
        with self._filled(container, {place: content for place, content in files.items() if content}):
            container.start()

    def sweep(self, living: Names[str]) -> None:
        """Removes containers of ours whose instance is not among `living`, and volumes that were theirs alone. Raises CouldNotTell."""
        import docker.errors

        with faults("clear away old containers"):
            client, ours = self._engine.client(), {"label": [f"{REPOSITORY}={self._clone}", INSTANCE]}
            for container in client.containers.list(all=True, filters=ours, ignore_removed=True):
                if container.labels[INSTANCE] not in living:
                    log.info("removing container %s, which nobody wants any more", container.name)
                    remove(client.api, container.id)
            for volume in client.volumes.list(filters=ours):
                if volume.attrs["Labels"][INSTANCE] not in living:
                    with contextlib.suppress(docker.errors.APIError):  # still in use: the next sweep takes it
                        volume.remove()

    @contextlib.contextmanager
    def _filled(self, container: Container, files: Mapping[str, Mapping[str, bytes]]) -> Iterator[None]:
        """Its files, by their folders, lie in volumes as long as some container holds these: one that only waits, until the skill's own does."""
        if not files:
            yield
            return
        labels = {**container.labels, ROLE: "holder"}
        volumes = [f"{self._in_memory(place, labels[INSTANCE])}:{place}" for place in files]
        holder = self._engine.client().containers.create(
            self._own_image(), ["sleep", "300"], labels=labels, volumes=volumes, network_mode="none", read_only=True,
            cap_drop=["ALL"], security_opt=security(), pids_limit=8, mem_limit=32 * 2**20,
        )  # fmt: skip
        try:
            holder.start()
            for place, content in files.items():
                _put(holder, place, content)
            yield
        finally:
            remove(self._engine.client().api, holder.id)

    def _in_memory(self, place: str, name: str) -> str:
        return f"skillops-{place.rpartition('/')[2]}-{self._clone}-{name}"

    def _storage(self, deployment: Deployment, name: str, labels: Mapping[str, str], *, trial: bool) -> str:
        """The volume of what a skill keeps, over its versions. A new one takes its owner from the folder of the first container that has it."""
        import docker.errors

        client, volume = self._engine.client(), f"skillops-trial-{self._clone}-{name}" if trial else f"skillops-{self._clone}-{deployment.place}"
        try:
            client.volumes.get(volume)
        except docker.errors.NotFound:
            client.volumes.create(volume, labels=dict(labels) if trial else {**self._labels, SKILL: deployment.skill})
            client.containers.create(self._own_image(), labels={**labels, ROLE: "holder"}, volumes=[f"{volume}:{STORAGE}"]).remove()
        return volume


def remove_volumes(engine: DockerEngine, instance: str) -> None:
    """Those that were one instance's alone."""
    import docker.errors

    for volume in engine.client().volumes.list(filters={"label": f"{INSTANCE}={instance}"}):
        with contextlib.suppress(docker.errors.APIError):  # a sweep takes it
            volume.remove()


def _put(container: Container, place: str, files: Mapping[str, bytes]) -> None:
    """Writes files, which the skill alone can read, into the folder `place`, which must be a volume."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        for name, data in files.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode, entry.uid, entry.gid = len(data), 0o400, OWNER, OWNER
            tar.addfile(entry, io.BytesIO(data))
    container.put_archive(place, packed.getvalue())
