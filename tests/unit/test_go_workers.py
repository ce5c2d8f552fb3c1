"""The processes of a Go skill that stay for their caller's next call: what costs them their place, and what does not."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from agent.domain.release import Endpoint
from agent.languages.go import GoLanguage
from tests.contracts.test_server import asked, counted, running

pytestmark = pytest.mark.bubblewrap

SKILL = """
package skill

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

var calls int

func Execute(inputs, context map[string]any) (map[string]any, error) {
	calls++
	switch inputs["do"] {
	case "garbage":
		calls += bytes.Count(bytes.Repeat([]byte{1}, 40_000_000), []byte{2})
	case "together":
		var all sync.WaitGroup
		for n := 0; n < 50; n++ {
			all.Add(1)
			go func() {
				defer all.Done()
				time.Sleep(time.Millisecond)
			}()
		}
		all.Wait()
	case "end later":
		time.AfterFunc(100*time.Millisecond, func() { os.Exit(3) })
	case "say more later":
		time.AfterFunc(100*time.Millisecond, func() { _, _ = os.NewFile(3, "replies").WriteString("O\\x00\\x00\\x00\\x02{}") })
	case "stdin":
		text, err := io.ReadAll(os.Stdin)
		return map[string]any{"n": calls, "read": string(text)}, err
	case "workers":
		running := 0
		names, _ := filepath.Glob("/proc/[0-9]*/cmdline")
		for _, name := range names {
			if text, _ := os.ReadFile(name); strings.Contains(string(text), "-worker") {
				running++
			}
		}
		return map[string]any{"n": running}, nil
	}
	return map[string]any{"n": calls}, nil
}
"""


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory) -> Iterator[Endpoint]:
    with running(tmp_path_factory.mktemp("workers"), GoLanguage(), SKILL) as endpoint:
        yield endpoint


@pytest.mark.parametrize("do", ["garbage", "together", "count"])
def test_what_a_call_has_done_with_costs_its_process_nothing(endpoint, do):
    assert [counted(endpoint, do, caller=do) for _ in range(5)] == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("do", ["end later", "say more later"])
def test_a_process_that_did_something_while_nobody_called_it_is_not_called_again(endpoint, do):
    assert counted(endpoint, do, caller=do) == 1
    time.sleep(1.0)  # ten times as long as that takes
    assert [counted(endpoint, caller=do) for _ in range(2)] == [1, 2]


def test_a_process_answers_a_thousand_calls_and_no_more(endpoint):
    assert [counted(endpoint, caller="busy") for _ in range(1002)] == [*range(1, 1001), 1, 2]


def test_a_skill_that_reads_its_input_finds_nothing_there_and_takes_no_call_away(endpoint):
    replies = [asked(endpoint, "stdin", caller="reader").outputs for _ in range(2)]
    assert replies == [{"n": 1, "read": ""}, {"n": 2, "read": ""}]


def test_callers_make_room_for_one_another(endpoint):
    assert [counted(endpoint, caller=f"caller {number}") for number in range(20)] == [1] * 20
    assert counted(endpoint, caller="caller 19") == 2
    assert counted(endpoint, caller="caller 0") == 1
    until = time.monotonic() + 10
    while (number := counted(endpoint, "workers", caller="")) > 10 and time.monotonic() < until:
        time.sleep(0.05)
    assert 8 < number <= 10  # 8 that stay or are called, 2 that wait for any call
