"""Contract: the built skill starts, is healthy, gives each example's outputs, and answers what is wrong cleanly."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from agent.caller import NoAnswer, anybodys, call, execute, probe
from agent.checks import concluded
from agent.domain.check import CheckResult, Finding, Subject, TestRun
from agent.domain.invocation import MAX_BODY, Reply
from agent.domain.release import Endpoint
from agent.domain.schema import Json
from agent.domain.skill import Example, Manifest, same_json
from agent.domain.wording import counted
from agent.errors import Refused
from agent.ports import Check, Workbench
from agent.strict_yaml import locate

CALLS = 16  # at once
SECONDS = 10.0  # for a reply to what is wrong; nothing is computed for it
_PROMETHEUS = re.compile(r"#.*|[a-zA-Z_:][a-zA-Z0-9_:]*(\{[^}]*\})? +([-+]?[0-9.eE+-]+|[-+]?Inf|NaN)( +-?\d+)?|")
_MALFORMED: dict[str, bytes] = {
    "an empty body": b"",
    "half a JSON document": b'{"inputs": {',
    "bytes that are no text": b"\xff\xfe\x00{}",
    "a JSON list instead of an object": b"[]",
    "inputs that are a number": b'{"inputs": 5}',
    "a body without inputs": b"{}",
    "JSON that nests 100,000 lists": b'{"inputs": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
}
_WRONG: dict[str, Json] = {"string": 7, "integer": "seven", "number": "seven", "boolean": "maybe", "array": {"a": 1}, "object": [1], "null": 1}


class ContractCheck(Check):
    name = "contract"

    def run(self, subject: Subject, bench: Workbench) -> CheckResult:
        if subject.manifest is None:
            path = f"skills/{subject.skill}/skill.yaml"
            finding = Finding(message="skill.yaml is not valid (see the check manifest), so nothing could be built", rule="manifest", path=path)
            return concluded(self.name, subject, [finding], "")
        try:
            endpoint = bench.trial()
        except Refused as error:
            return concluded(self.name, subject, [Finding(message=_reason(error), rule="start")], "")
        ran = [*_examples(subject, subject.manifest, endpoint)]
        findings = [finding for _, finding in ran if finding]
        if not findings:  # what one call at a time gets wrong, many at once only repeat
            findings += _concurrent(subject.manifest, endpoint)
        findings += [*_wrong(subject.manifest, endpoint), *_metrics(endpoint), *_healthy(endpoint)]
        examples = counted(len(subject.manifest.examples), "example")
        said = f"It starts, is healthy, gives the outputs of {examples} and answers errors cleanly."
        return concluded(self.name, subject, findings, said).with_tests(test for test, _ in ran)


def _examples(subject: Subject, manifest: Manifest, endpoint: Endpoint) -> Iterator[tuple[TestRun, Finding | None]]:
    """Each example as a test, with what it found."""
    path = f"skills/{subject.skill}/skill.yaml"
    for index, example in enumerate(manifest.examples):
        name, started = f"example {index + 1}", time.monotonic()
        unmet = _unmet(manifest, endpoint, example)
        line = locate(subject.files["skill.yaml"], f"/examples/{index}") if unmet else None
        yield _ran(name, started, unmet), Finding(message=f"{name}: {unmet}", rule="example", path=path, line=line) if unmet else None
    base = subject.base_manifest
    if base is None or manifest.semver.major > base.semver.major or subject.kind not in ("new", "extend", "person", "update"):
        return
    for index, example in enumerate(base.examples, 1):
        name, started = f"example {index} of {base.version}", time.monotonic()
        reply = _execute(manifest, endpoint, example.inputs)
        lost = "does not hold any more" if not reply.success or not _keeps(example.outputs, reply.outputs) else None
        message = f"{name} {lost}; keep what callers rely on, or raise the major version"
        yield _ran(name, started, lost), Finding(message=message, rule="compatibility") if lost else None


def _ran(name: str, started: float, unmet: str | None) -> TestRun:
    return TestRun(id=name, outcome="failed" if unmet else "passed", message=unmet or "", seconds=round(time.monotonic() - started, 4))


def _unmet(manifest: Manifest, endpoint: Endpoint, example: Example) -> str | None:
    reply = _execute(manifest, endpoint, example.inputs)
    if not reply.success:
        return f"expected outputs, got the error {reply.error_code}: {_short(_placeless(reply.error_message, endpoint))}"
    if not same_json(reply.outputs, example.outputs):
        return f"expected {_short(example.outputs)}, got {_short(reply.outputs)}"
    return None


def _keeps(old: dict[str, Json], new: Json) -> bool:
    """Whether the outputs that were promised are still there; more of them may be."""
    return isinstance(new, dict) and all(key in new and same_json(new[key], value) for key, value in old.items())


def _wrong(manifest: Manifest, endpoint: Endpoint) -> Iterator[Finding]:
    """The gateway holds inputs against the schema, the skill's server does not: here only the form of the reply counts,
    and that nothing which is no call succeeds."""
    for what, body in (*_MALFORMED.items(), ("a body of more than 8 MiB", b'{"inputs": {"x": "' + b"x" * MAX_BODY + b'"}}')):
        if unclean := _unclean(endpoint, body, may_succeed=False):
            yield Finding(message=f"{what}: {unclean}", rule="malformed")
    for name, inputs in _wrongly_typed(manifest):
        if unclean := _unclean(endpoint, json.dumps({"inputs": inputs, "context": {}}).encode(), may_succeed=True):
            yield Finding(message=f"the input {name!r} of a wrong type: {unclean}", rule="malformed")


def _wrongly_typed(manifest: Manifest) -> Iterator[tuple[str, dict[str, Json]]]:
    inputs = manifest.examples[0].inputs
    for name, schema in manifest.inputs.get("properties", {}).items():
        kind = schema.get("type") if isinstance(schema, dict) else None
        if isinstance(kind, str) and kind in _WRONG:
            yield name, {**inputs, name: _WRONG[kind]}


def _unclean(endpoint: Endpoint, body: bytes, *, may_succeed: bool) -> str | None:
    """What is wrong with the reply to `body`, or None where it has the contract's form."""
    try:
        status, answer = call(endpoint, "POST", "/execute", body, SECONDS)
    except NoAnswer as trouble:
        return f"expected an error of the contract's form, got no answer ({trouble.code})"
    reply = Reply.parse(answer)
    if reply.error_code == "bad-reply":
        return f"expected an error of the contract's form, got status {status} with another body"
    return None if may_succeed or not reply.success else "expected an error, got outputs"


def _concurrent(manifest: Manifest, endpoint: Endpoint) -> Iterator[Finding]:
    example = manifest.examples[0]
    with ThreadPoolExecutor(CALLS) as pool:
        unmet = {found for found in pool.map(lambda _: _unmet(manifest, endpoint, example), range(CALLS)) if found}
    if unmet:
        yield Finding(message=f"{CALLS} calls at once: {min(unmet)}", rule="concurrency")


def _metrics(endpoint: Endpoint) -> Iterator[Finding]:
    try:
        status, body = call(endpoint, "GET", "/metrics", None, SECONDS)
    except NoAnswer as trouble:
        yield Finding(message=f"GET /metrics gave no answer ({trouble.code})", rule="metrics")
        return
    lines = body.decode(errors="replace").splitlines()
    if status != 200 or not lines or not all(_PROMETHEUS.fullmatch(line) for line in lines):
        yield Finding(message="GET /metrics is not in Prometheus' text format", rule="metrics")


def _healthy(endpoint: Endpoint) -> Iterator[Finding]:
    healthy, why = probe(endpoint, SECONDS)
    if not healthy:
        yield Finding(message=f"after these calls it is not healthy: {_placeless(why, endpoint)}", rule="health")


def _execute(manifest: Manifest, endpoint: Endpoint, inputs: dict[str, Json]) -> Reply:
    timeout = manifest.resources.timeout_seconds
    return execute(endpoint, anybodys(manifest.name, inputs, timeout))


def _reason(error: Refused) -> str:
    """What was refused, why and what to do, without a traceback's frames: they name places on this machine."""
    told = " ".join(filter(None, (error.what, error.why, error.next_step)))
    return "\n".join(line for line in told.splitlines() if not line.startswith((" ", "Traceback")))


def _placeless(text: str, endpoint: Endpoint) -> str:
    """Without the place on this machine: a finding reads the same on every one."""
    return text.replace(endpoint.socket or endpoint.url, "its endpoint")


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, sort_keys=True)
    return text if len(text) <= 300 else text[:299] + "…"
