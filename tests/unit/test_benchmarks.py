"""The benchmarks work and say what they should. Nothing here depends on how fast this machine is."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from agent.errors import CouldNotTell
from tests.benchmarks import __main__ as command
from tests.benchmarks import (
    bench_docker,
    bench_gateway,
    bench_help,
    bench_mcp,
    bench_pipeline,
    bench_registry,
    bench_release,
    bench_sandbox,
    bench_warm,
)
from tests.benchmarks.load import post
from tests.benchmarks.row import Row, alternated, table
from tests.engines import need_base_images


def test_a_ratio_at_its_target_is_met_and_one_above_is_not() -> None:
    row = Row("release", 30.0, "ms", 3.0, reference=10.0, against="at 10 skills")
    assert (row.ratio, row.met) == (3.0, True)
    assert not Row("release", 30.1, "ms", 3.0, reference=10.0).met


def test_a_row_that_is_judged_by_itself_needs_no_reference() -> None:
    assert Row("search", 9.9, "ms", 10.0, "ours").met
    assert not Row("search", 10.1, "ms", 10.0, "ours", reference=100.0).met
    assert not Row("release", 1.0, "ms", 3.0).met, "a ratio that could not be taken meets nothing"


def test_what_could_not_be_measured_is_not_met_and_says_why() -> None:
    rows = [Row("a call", None, "ms", 2.0, against="wrk is not here"), Row("cold start", None, "s", 1.2, "ours", against="no engine")]
    assert not any(row.met for row in rows)
    assert [row.document()["ours"] for row in rows] == [None, None]
    lines = table(rows).splitlines()[2:]
    assert all("not measured" in line and " NO " in line for line in lines)
    assert lines[0].endswith("wrk is not here") and lines[1].endswith("no engine")


def test_the_table_tells_what_was_measured_and_what_it_is_made_of() -> None:
    rows = [
        Row("release", 31.4159, "ms", 3.0, reference=10.0, against="at 10 skills", parts={"ours": {"look": 1.25, "sync": 250.4}}),
        Row("search", 0.5, "ms", 10.0, "ours"),
    ]
    lines = [line.split() for line in table(rows).splitlines()]
    assert lines[0] == ["what", "ours", "reference", "ratio", "target", "met", "against"]
    assert lines[2] == ["release", "31.4", "ms", "10", "ms", "3.14", "≤", "3", "NO", "at", "10", "skills"]
    assert lines[3] == ["search", "0.5", "ms", "≤", "10", "ms", "yes"]
    assert " ".join(lines[-1]) == "look 1.25, sync 250"


def test_works_are_taken_in_turns() -> None:
    done: list[str] = []
    taken = alternated({"a": lambda: done.append("a"), "b": lambda: done.append("b")}, 2)
    assert done == ["a", "b", "a", "b"]
    assert taken.keys() == {"a", "b"} and min(taken.values()) >= 0


def test_the_command_measures_what_is_named_and_writes_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(bench_help, "measure", lambda: [Row("skillops --help", 0.25, "s", 0.5, "ours", 0.125, "a bare start")])
    command.main(["help", "--json", str(tmp_path / "bench.json")])
    document = json.loads((tmp_path / "bench.json").read_text())
    assert [(row["name"], row["ratio"], row["met"]) for row in document["rows"]] == [("skillops --help", 2.0, True)]
    assert len(document["machine"]["load"]["before"]) == 3
    assert "skillops --help" in capsys.readouterr().out


def test_an_unknown_name_is_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        command.main(["speed"])
    assert caught.value.code == 2 and "speed" in capsys.readouterr().err


def a_wrk(folder: Path, monkeypatch: pytest.MonkeyPatch, **found: int) -> Path:
    """A wrk that keeps the script that it was given and says what it `found`."""
    program, told = folder / "wrk", json.dumps(found)
    program.write_text(f"#!/bin/sh\nfor last; do before=$kept kept=$last; done\ncp $before {folder}/script\necho Running\necho '{told}'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder), prepend=":")
    return folder / "script"


def test_load_is_told_in_calls_a_second_and_milliseconds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = a_wrk(tmp_path, monkeypatch, calls=3000, micros=2_000_000, wrong=0, p50=2500, p99=9000)
    load = post("http://127.0.0.1:1/mcp", {"mcp-name": "word-count"}, '{"a": "b"}', 2.0)
    assert (load.rate, load.p50, load.p99) == (1500.0, 2.5, 9.0)
    assert 'wrk.body = "{\\"a\\": \\"b\\"}"' in script.read_text() and 'wrk.headers["mcp-name"] = "word-count"' in script.read_text()


def test_load_whose_answers_were_wrong_measures_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    a_wrk(tmp_path, monkeypatch, calls=3000, micros=2_000_000, wrong=1, p50=1, p99=1)
    with pytest.raises(CouldNotTell, match="1 of 3000"):
        post("http://127.0.0.1:1/mcp", {}, "{}", 2.0)


def test_help_is_measured_against_a_bare_start() -> None:
    row, parts = bench_help.measure(rounds=1)
    assert parts.judged == "ratio" and parts.ratio
    assert row.judged == "ours" and row.ours > 0 and row.ratio


def test_search_is_measured_at_each_size() -> None:
    rows = bench_registry.measure(sizes=(3, 12))
    assert [row.name for row in rows] == ["search p99, 3 skills", "search p99, 12 skills"]
    assert {"splice", "sync", "build"} <= rows[0].parts["ours"].keys()


def test_releases_are_measured_against_the_fewest_skills() -> None:
    (row,) = bench_release.measure(sizes=(2, 5), rounds=2)
    assert (row.name, row.against) == ("release, 5 skills", "at 2 skills")
    assert row.parts["ours"].keys() == {"look", "release", "sync"}


@pytest.mark.bubblewrap
def test_a_warm_call_is_measured_against_one_with_a_process_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    (row,) = bench_warm.measure(calls=4, languages=("python",))
    assert (row.name, row.unit, row.target, row.judged) == ("a warm call, python", "ms", 3.0, "ours") and row.ours and row.reference
    assert [*row.parts] == ["ours", row.against] and row.parts["ours"]["p50"] == row.ours <= row.parts["ours"]["p99"]
    monkeypatch.setattr(bench_warm, "_taken", lambda *given, **more: (_ for _ in ()).throw(CouldNotTell("There is no Go here.")))
    assert bench_warm.measure(languages=("go",))[0].ours is None


@pytest.mark.bubblewrap
def test_the_sandbox_is_measured_against_bare_bubblewrap() -> None:
    row, python = bench_sandbox.measure(rounds=1)
    assert row.ratio and row.target == 1.3
    assert (python.judged, python.target) == ("ours", 60.0)


@pytest.mark.bubblewrap
@pytest.mark.slow
def test_the_pipeline_is_measured_against_the_same_work_by_hand() -> None:
    (row,) = bench_pipeline.measure(rounds=1, mutants=2)
    stages, checks, hand = row.parts.values()
    assert {"proposing", "checking", "merging", "releasing", "deploying", "invoking"} <= stages.keys()
    assert len(checks) == 8
    assert {"git", "ruff", "bandit", "detect-secrets", "tests", "gutted", "2 mutants", "server start", "calls"} == hand.keys()


def test_without_wrk_the_rows_of_calls_say_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    rows = bench_gateway._calls(tmp_path, rounds=1, seconds=1.0) + bench_mcp.measure(rounds=1)
    assert [row.name for row in rows] == ["gateway, a call", "gateway, p50 more", "MCP tools/call", "MCP tools/call, p99"]
    assert all("wrk" in row.against and not row.met and row.ours is None for row in rows)


def test_the_gateway_is_measured_against_the_skills_own_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    a_wrk(tmp_path, monkeypatch, calls=500, micros=1_000_000, wrong=0, p50=1500, p99=9000)
    call, more = bench_gateway._calls(tmp_path, rounds=1, seconds=1.0)
    assert (call.ours, call.reference, call.met) == (2.0, 2.0, True)
    assert (more.ours, more.judged, more.met) == (0.0, "ours", True)
    assert call.parts["p50, ms"] == dict.fromkeys(("gateway", "its FastAPI skill", "gateway to our own server", "our own server"), 1.5)


def test_the_gateways_memory_is_measured_with_every_skill_called(tmp_path: Path) -> None:
    row = bench_gateway._memory(tmp_path, skills=3)
    assert row.name == "gateway memory, 3 skills" and row.ours and row.ours > 10


@pytest.mark.bubblewrap
@pytest.mark.slow
def test_a_cold_start_is_measured_to_the_first_answer(tmp_path: Path) -> None:
    row = bench_gateway._cold(tmp_path / "home", rounds=1)
    assert (row.judged, row.target) == ("ours", 0.6) and row.ours and row.ours > 0


class Answering(http.server.BaseHTTPRequestHandler):
    """Answers every call as the function does."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        body = json.dumps({"result": {"structuredContent": {"words": 2}}}).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def another_server(*_: Any) -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answering) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/mcp"
        server.shutdown()


@pytest.mark.bubblewrap
@pytest.mark.slow
def test_mcp_is_measured_with_a_real_skill_against_another_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    a_wrk(tmp_path, monkeypatch, calls=3000, micros=2_000_000, wrong=0, p50=2500, p99=9000)
    monkeypatch.setattr(bench_mcp, "environment", lambda: tmp_path / "python")  # FastMCP takes a minute to install
    monkeypatch.setattr(bench_mcp, "theirs", another_server)
    rate, p99 = bench_mcp.measure(rounds=1, seconds=1.0)
    assert (rate.ratio, rate.met) == (1.0, False), "six times is wanted"
    assert (p99.ours, p99.reference, p99.met) == (9.0, 9.0, True)


def test_without_an_engine_the_rows_of_docker_say_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere/docker.sock")
    rows = bench_docker.measure(rounds=1)
    assert [row.name for row in rows] == [name for name, _, _ in (bench_docker.COLD, bench_docker.WARM, bench_docker.CHANGED)]
    assert all(row.ours is None and not row.met and "engine" in row.against for row in rows)


@pytest.mark.docker
@pytest.mark.slow
def test_docker_is_measured_to_the_first_answer_and_leaves_nothing() -> None:
    need_base_images("python")
    cold, warm, changed = bench_docker.measure(rounds=1)
    assert (cold.target, warm.target, changed.target) == (1.2, 3.0, 3.0) and cold.ours and warm.ours and changed.ours
    assert warm.parts["ours"]["p50"] == warm.ours <= warm.parts["ours"]["p99"]
    assert bench_docker.left() == []
