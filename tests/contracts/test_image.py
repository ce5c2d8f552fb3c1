"""What images of skills keep to: what is in them and what is not, how they run, and how their builds end."""

from __future__ import annotations

import contextlib
import json
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from docker.errors import ImageNotFound

from agent.builders import engine_build
from agent.caller import execute, probe
from agent.checks.contract import ContractCheck
from agent.domain.check import Outcome
from agent.domain.invocation import Invocation
from agent.domain.release import Artifact, Endpoint
from agent.domain.skill import Manifest
from agent.errors import CouldNotTell, Refused
from agent.languages.bash import BashLanguage
from agent.languages.container import ContainerLanguage
from agent.languages.go import GoLanguage
from agent.languages.node import NodeLanguage
from agent.languages.python import PythonLanguage
from agent.manifest_file import write_manifest
from agent.ports import Language
from agent.workbench import make_subject
from tests.builders import a_manifest
from tests.contracts.odd_skills import ERRORS, ODD
from tests.engines import need_base_images
from tests.images import Images, remove_image
from tests.second_engine import SecondEngine, second_engine

pytestmark = pytest.mark.docker
LANGUAGES: dict[str, Language] = {each.name: each for each in (PythonLanguage(), NodeLanguage(), GoLanguage(), BashLanguage(), ContainerLanguage())}
SERVED = ("python", "node", "go", "bash")
BASE = "skillops/base-python:stable"
SECRET = f"correct-horse-{secrets.token_hex(4)}"  # another worker's images tell of its own
INDEX = f"https://ada:{SECRET}@packages.example.com/simple"


def its(name: str, **traits: Any) -> Manifest:
    return a_manifest(**{"runtime": name, "entrypoint": LANGUAGES[name].entrypoint, **traits})


def odd_files(name: str) -> dict[str, bytes]:
    source = ODD[name]
    texts = {LANGUAGES[name].entrypoint: source} if isinstance(source, str) else source
    return {"skill.yaml": b"", **{path: text.encode() for path, text in texts.items()}}


@pytest.fixture
def place(images, tmp_path) -> Images:
    need_base_images(*SERVED)
    return images(tmp_path / "store")


@pytest.fixture
def own(place, tmp_path):
    """Builds the skill whose Dockerfile starts from our Python and has those lines."""

    def build(*lines: str, files: dict[str, bytes] | None = None, **traits: Any) -> Artifact:
        text = "\n".join((f"FROM {BASE}", *lines)) + "\n"
        builder = place.builder(LANGUAGES, **traits)
        return builder.build(tmp_path, {"Dockerfile": text.encode(), "skill.yaml": b"", **(files or {})}, its("container"))

    return build


@contextmanager
def served(place: Images, artifact: Artifact, manifest: Manifest) -> Iterator[Endpoint]:
    """The image, run as strictly as an image can be."""
    language = LANGUAGES[manifest.runtime]
    memory = language.server(Path("/a"), manifest, Path("/s")).limits.memory if manifest.runtime in SERVED else 256 * 2**20
    container = place.engine.client().containers.run(
        artifact.location, detach=True, read_only=True, tmpfs={"/tmp": "size=64m"}, cap_drop=["ALL"], security_opt=["no-new-privileges"],
        mem_limit=memory, memswap_limit=memory, pids_limit=256, ports={"8080/tcp": ("127.0.0.1", None)}, labels=place.labels, init=True,
    )  # fmt: skip
    try:
        container.reload()
        endpoint = Endpoint(url=f"http://127.0.0.1:{container.ports['8080/tcp'][0]['HostPort']}")
        until = time.monotonic() + 60
        while not probe(endpoint, 5)[0]:
            assert time.monotonic() < until, container.logs().decode()
            time.sleep(0.02)
        yield endpoint
    finally:
        container.remove(force=True)


def asked(endpoint: Endpoint, **inputs: Any):
    return execute(endpoint, Invocation(skill="word-count", inputs=inputs, request_id="r1", caller="ada", deadline_seconds=60.0))


# ---- how an image runs ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SERVED)
def test_what_a_skill_does_in_a_container_has_the_codes_that_it_has_in_the_sandbox(place, tmp_path, name):
    manifest = its(name, environment={"UNIT": "metre"}, resources={"timeout": "60s"})
    artifact = place.builder(LANGUAGES).build(tmp_path, odd_files(name), manifest)
    with served(place, artifact, manifest) as endpoint:
        for do, (code, message) in ERRORS[name].items():
            reply = asked(endpoint, do=do)
            assert (do, reply.success, reply.error_code) == (do, False, code)
            assert message in reply.error_message
            assert asked(endpoint, do="fine").outputs == {"a": 1}


@pytest.mark.parametrize(
    ("name", "pin", "source"),
    [
        ("python", "idna==3.10", "import idna\n\n\ndef execute(inputs, context):\n    return {'words': len(idna.encode(inputs['text']))}\n"),
        ("node", "ms@2.1.3", "const ms = require('ms');\nexports.execute = ({ text }) => ({ words: ms(text) });\n"),
    ],
)
def test_locked_dependencies_are_in_the_image(place, tmp_path, name, pin, source):
    manifest, language = its(name, dependencies=[pin]), LANGUAGES[name]
    files = {language.entrypoint: source.encode(), "skill.yaml": b"", **language.lock(manifest)}
    artifact = place.builder(LANGUAGES).build(tmp_path, files, manifest)
    with served(place, artifact, manifest) as endpoint:
        assert asked(endpoint, text="1s").outputs == {"words": {"python": 2, "node": 1000}[name]}


@pytest.mark.parametrize("name", SERVED)
def test_the_image_says_what_it_is_and_how_it_is_probed(place, tmp_path, name):
    manifest = its(name, health={"interval": "7s", "timeout": "3s", "retries": 2}, description='Counts "words" for $5 a\\n piece.\nOr more.')
    artifact = place.builder(LANGUAGES).build(tmp_path, odd_files(name), manifest)
    config = place.api.inspect_image(artifact.location)["Config"]
    assert (config["User"], list(config["ExposedPorts"]), config["Healthcheck"]["Test"][0]) == ("65532:65532", ["8080/tcp"], "CMD")
    assert [config["Healthcheck"][key] for key in ("Interval", "Timeout", "Retries")] == [7 * 10**9, 3 * 10**9, 2]
    labels = config["Labels"]
    assert labels["org.opencontainers.image.description"] == 'Counts "words" for $5 a\\n piece. Or more.'
    assert (labels["org.opencontainers.image.version"], labels["skillops.digest"]) == ("1.0.0", artifact.digest)
    container = place.engine.client().containers.run(artifact.location, detach=True, read_only=True, tmpfs={"/tmp": ""}, labels=place.labels)
    try:
        until = time.monotonic() + 60
        while container.exec_run(config["Healthcheck"]["Test"][1:]).exit_code:
            assert time.monotonic() < until, container.logs().decode()
        assert container.exec_run(["/usr/bin/touch", "/skill/code/x"]).exit_code
    finally:
        container.remove(force=True)


def test_the_dockerfile_lies_beside_its_context(place, tmp_path):
    place.builder(LANGUAGES).build(tmp_path, odd_files("python"), its("python"))
    (text,) = (tmp_path / "store").glob("*.Dockerfile")
    assert text.read_text().startswith(f"FROM {BASE}\n")
    assert (text.with_suffix("") / "code" / "skill.py").read_bytes() == odd_files("python")["skill.py"]


# ---- when there is nothing to build ---------------------------------------------------------------------------------------


def test_with_nothing_changed_nothing_is_built_and_another_day_gives_the_same_digest(place, tmp_path, monkeypatch):
    files, manifest = odd_files("python"), its("python")
    first = place.builder(LANGUAGES).build(tmp_path, files, manifest)
    with monkeypatch.context() as without:
        without.setattr("agent.builders.docker.build_image", None)
        assert place.builder(LANGUAGES).build(tmp_path, files, manifest) == first
    remove_image(place.api, first.location)
    assert place.builder(LANGUAGES).find(first.digest) is None
    assert place.builder(LANGUAGES).build(tmp_path, files, manifest) == first


def test_a_changed_line_makes_one_new_layer(place, tmp_path):
    files, manifest = odd_files("python"), its("python")
    first, second = (
        place.api.inspect_image(place.builder(LANGUAGES).build(tmp_path, {**files, "more.py": more}, manifest).location)["RootFS"]["Layers"]
        for more in (b"x = 1\n", b"x = 2\n")
    )
    assert first[:-1] == second[:-1]
    assert first[-1] != second[-1]


# ---- a Dockerfile of its own ------------------------------------------------------------------------------------------------


def test_the_template_of_a_container_passes_the_contract(place, tmp_path):
    manifest, language = its("container"), LANGUAGES["container"]
    files = {**language.template(manifest), "skill.yaml": write_manifest(manifest)}
    artifact = place.builder(LANGUAGES).build(tmp_path, files, manifest)
    subject = make_subject("word-count", "a" * 40, files, root=tmp_path / "word-count")

    class Bench:
        def artifact(self) -> Artifact:
            return artifact

        def trial(self) -> Endpoint:
            return endpoint

    with served(place, artifact, manifest) as endpoint:
        result = ContractCheck().run(subject, Bench())
    assert (result.outcome, result.findings) == (Outcome.PASSED, ())


@pytest.fixture
def told(place) -> Callable[[], str]:
    """What the engine tells of every image that it did not have before, with those that have no name."""
    before = {image["Id"] for image in place.api.images(all=True)}

    def tell() -> str:
        said = []
        for image in place.api.images(all=True):
            with contextlib.suppress(ImageNotFound):  # another test's, which is gone meanwhile
                said += [] if image["Id"] in before else [image, place.api.history(image["Id"])]
        return json.dumps(said)

    return tell


def test_the_machines_settings_go_into_the_build_and_not_into_the_image(place, own, told, monkeypatch):
    monkeypatch.setenv("PIP_INDEX_URL", INDEX)
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.example.com:3128")
    artifact = own(
        "ARG PIP_INDEX_URL",
        f'RUN test "$PIP_INDEX_URL" = "{INDEX}" && test "$HTTPS_PROXY" = http://proxy.example.com:3128',
        "RUN mkdir /skill && echo made > /skill/made",
        "ENV GREETING=\"two  words and a $ sign\"", "WORKDIR /tmp", "EXPOSE 8080", "USER 65532:65532",
        'HEALTHCHECK --interval=7s --timeout=3s --retries=2 CMD ["true"]', 'CMD ["sleep", "60"]',
    )  # fmt: skip
    assert place.files(artifact.location, "/skill/made") == {"made": b"made\n"}
    assert SECRET not in told()
    config = place.api.inspect_image(artifact.location)["Config"]
    assert "packages.example.com" not in json.dumps(config)
    assert (config["User"], config["WorkingDir"], config["Cmd"], list(config["ExposedPorts"])) == (
        "65532:65532",
        "/tmp",
        ["sleep", "60"],
        ["8080/tcp"],
    )
    assert "GREETING=two  words and a $ sign" in config["Env"]
    assert (config["Healthcheck"]["Test"], config["Healthcheck"]["Interval"], config["Healthcheck"]["Retries"]) == (["CMD", "true"], 7 * 10**9, 2)
    assert config["Labels"]["skillops.digest"] == artifact.digest


@pytest.mark.parametrize(
    "lines", [("ARG PIP_INDEX_URL", "ENV PIP_INDEX_URL=$PIP_INDEX_URL"), ("ARG PIP_INDEX_URL", "RUN echo index-url=$PIP_INDEX_URL > /etc/pip.conf")]
)
def test_an_image_that_keeps_the_machines_settings_is_refused(place, own, told, monkeypatch, lines):
    monkeypatch.setenv("PIP_INDEX_URL", INDEX)
    with pytest.raises(Refused, match="keeps this machine's package settings"):
        own(*lines)
    assert place.artifacts() == []
    assert SECRET not in told()


def test_a_failing_step_is_told_without_the_machines_settings(place, own, monkeypatch):
    monkeypatch.setenv("PIP_INDEX_URL", INDEX)
    with pytest.raises(Refused) as caught:
        own("ARG PIP_INDEX_URL", "RUN echo no luck with $PIP_INDEX_URL && exit 3")
    assert "no luck with …" in caught.value.why
    assert "returned a non-zero code: 3" in caught.value.why
    assert SECRET not in str(caught.value)
    assert place.containers() == place.artifacts() == []


@pytest.mark.parametrize("files", [{}, {"Dockerfile": b"\xff"}, {"Dockerfile": b"# nothing\n"}])
def test_a_dockerfile_that_is_none_is_refused(place, tmp_path, files):
    with pytest.raises(Refused, match="Dockerfile"):
        place.builder(LANGUAGES).build(tmp_path, {"skill.yaml": b"", **files}, its("container"))


# ---- builds that do not end well ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["sleep 600", "while :; do echo more; done"])
def test_a_build_that_hangs_ends_at_its_timeout(place, own, command):
    started = time.monotonic()
    with pytest.raises(Refused, match="longer than 2 seconds"):
        own(f"RUN {command}", seconds=2)
    assert time.monotonic() - started < 20
    assert place.builds(command) == place.artifacts() == []


def test_a_build_that_fills_the_disk_is_ended(place, own):
    with pytest.raises(Refused, match="writes more than 8 MiB"):
        own("RUN while :; do head -c 4000000 /dev/zero >> /big; sleep 0.1; done", written=8 * 2**20, seconds=60)
    assert place.builds("/dev/zero") == place.artifacts() == []


def test_a_context_that_is_too_large_is_refused(place, tmp_path):
    with pytest.raises(Refused, match="larger than 1 MiB"):
        place.builder(LANGUAGES, max_context=2**20).build(tmp_path, {**odd_files("python"), "data.bin": bytes(2**20)}, its("python"))
    assert place.artifacts() == []


def test_a_base_image_that_is_not_there_says_how_to_get_it(place, tmp_path):
    for base, why in (("skillops/base-none:stable", "is not there"), ("registry.invalid/python:3.11", "cannot be pulled")):
        with pytest.raises(CouldNotTell, match=why) as caught:
            place.builder(LANGUAGES, bases={"python": base}).build(tmp_path, odd_files("python"), its("python"))
        assert "make base-images" in caught.value.next_step


@pytest.mark.parametrize(
    ("lock", "message"),
    [(b"broken\n", "no pin with hashes|not pinned|lock"), (b"skillops-no-such-thing==1.0 --hash=sha256:" + b"0" * 64 + b"\n", "cannot be installed")],
)
def test_a_lock_file_that_cannot_be_installed_is_refused(place, tmp_path, lock, message):
    files = {**odd_files("python"), "requirements.lock": lock}
    with pytest.raises(Refused, match=message):
        place.builder(LANGUAGES).build(tmp_path, files, its("python", dependencies=["skillops-no-such-thing==1.0"]))
    assert place.artifacts() == []


def test_an_engine_that_is_not_there_is_could_not_tell(place, tmp_path):
    from agent.builders.docker import DockerBuilder
    from agent.docker_engine import DockerEngine

    builder = DockerBuilder(tmp_path / "store", LANGUAGES, DockerEngine(address=f"unix://{tmp_path}/none.sock"))
    with pytest.raises(CouldNotTell) as caught:
        builder.build(tmp_path, odd_files("python"), its("python"))
    assert "DOCKER_HOST" in caught.value.next_step


# ---- the engine stops meanwhile ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def second() -> Iterator[SecondEngine]:
    need_base_images("python")
    with second_engine() as running:
        api = Images(Path("/tmp"), "").api
        running.engine().client().api.load_image(api.get_image(BASE))
        yield running


@pytest.mark.slow
@pytest.mark.parametrize("how", ["stop", "kill"])
def test_an_engine_that_stops_mid_build_is_could_not_tell_and_nothing_half_built_is_left(second, images, tmp_path, monkeypatch, how):
    monkeypatch.setattr(engine_build, "LEFT", 0)
    place = images(tmp_path / "store", second.engine())
    files = {"Dockerfile": f"FROM {BASE}\nRUN echo started && sleep 600\n".encode(), "skill.yaml": b""}
    builder = place.builder(LANGUAGES, seconds=100)
    stopper = threading.Thread(target=lambda: (place.wait_for_build(), getattr(second, how)()))
    stopper.start()
    try:
        with pytest.raises(CouldNotTell):
            builder.build(tmp_path, files, its("container"))
    finally:
        stopper.join()
        second.start()
    again = images(tmp_path / "store", second.engine())
    assert builder.find(builder.digest(files, its("container"))) is None
    while (left := again.builds()) and time.time() - left[0]["Created"] <= 11:  # a stopped engine mostly, not always, removes it itself
        time.sleep(0.2)
    mended = {**files, "Dockerfile": f"FROM {BASE}\nRUN true\n".encode()}
    again.builder(LANGUAGES, seconds=10).build(tmp_path, mended, its("container"))
    assert again.builds() == []


@pytest.mark.slow
def test_what_an_engine_died_removing_is_removed_at_once(second, images, tmp_path):
    api = second.engine().client().api
    made = api.create_container(BASE, ["true"], labels={"skillops.build": "1"})["Id"]
    second.stop()
    (kept,) = second.data.glob(f"containers/{made}/config.v2.json")
    state = json.loads(kept.read_text())
    kept.write_text(json.dumps({**state, "State": {**state["State"], "Dead": True}}))
    second.start()
    place = images(tmp_path / "store", second.engine())
    assert [found["State"] for found in place.builds()] == ["dead"]
    files = {"Dockerfile": f"FROM {BASE}\nRUN true\n".encode(), "skill.yaml": b""}
    place.builder(LANGUAGES, seconds=1000).build(tmp_path, files, its("container"))
    assert place.builds() == []
