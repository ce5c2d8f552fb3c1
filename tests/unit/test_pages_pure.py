"""What pages are computed from: timelines, diffs, forms, plots, wants, and words."""

from __future__ import annotations

from typing import Any

import pytest

from agent.domain.check import Finding
from agent.domain.decision import Policy
from agent.domain.event import Entered, Event
from agent.domain.review import Remark
from agent.errors import UsageError
from agent.gateway.meters import Meters
from agent.gateway.pages.diffs import LINES, diff_of, notes_of
from agent.gateway.pages.forms import PREFIX, inputs_of, read
from agent.gateway.pages.live import message
from agent.gateway.pages.plots import SAMPLE, Usages, latency
from agent.gateway.pages.rendering import ago, money, sign, ticked, took
from agent.gateway.pages.timeline import timeline
from agent.gateway.pages.wants import wants_of
from tests.builders import a_manifest, a_result, a_review

DIFF = """diff --git a/skills/a/skill.py b/skills/a/skill.py
index 1..2 100644
--- a/skills/a/skill.py
+++ b/skills/a/skill.py
@@ -1,3 +1,4 @@ def f():
 one
-two
+TWO
+++ b/not/a/header
 three
diff --git a/skills/a/old.txt b/skills/a/old.txt
deleted file mode 100644
--- a/skills/a/old.txt
+++ /dev/null
@@ -1 +0,0 @@
-gone
"""
SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["text", "count"],
    "properties": {
        "extra": {"type": "object"}, "text": {"type": "string"}, "count": {"type": "integer", "minimum": 1}, "share": {"type": "number"},
        "loud": {"type": "boolean"}, "tone": {"enum": ["calm", 7]}, "name": {"type": "string", "maxLength": 40, "title": "Your <name>"},
    },
}  # fmt: skip


def entered(at: str, seconds: float = 0.0, **traits: Any) -> Entered:
    event = Event(stage=traits.pop("stage", "checking"), what=traits.pop("what", "checked"), actor="check", seconds=seconds, **traits)
    return Entered(number=1, at=f"2026-01-01T{at}+00:00", event=event, previous="", hash="")


def test_bars_lie_where_the_work_was_and_a_night_is_folded() -> None:
    told = timeline([
        entered("10:00:10.000", 10.0, what="attempt", stage="proposing", data={"attempt": 1}, outcome="failed", tokens=100, cost=0.5),
        entered("10:00:20.000", 10.0, data={"check": "tests"}, outcome="passed"),
        entered("10:00:20.000", 5.0, data={"check": "style"}, outcome="passed"),
        entered("22:00:00.000", what="approve", stage="people"),
    ])  # fmt: skip
    draft, tests, style, approval = told.bars
    assert (draft.name, draft.left, draft.width) == ("draft 1", 0.0, pytest.approx(48, abs=0.1))
    assert (tests.left, tests.width) == (pytest.approx(48, abs=0.1), pytest.approx(48, abs=0.1)) and style.left == pytest.approx(72, abs=0.1)
    assert approval.point and approval.left > 99 and len(told.folds) == 1 and told.folds[0].seconds == pytest.approx(12 * 3600 - 20)
    assert (told.attempts, told.tokens, told.cost, told.seconds) == (1, 100, 0.5, 25.0) and told.elapsed == pytest.approx(12 * 3600)


def test_a_timeline_of_nothing_has_no_bars() -> None:
    assert timeline([]).bars == () and timeline([]).elapsed == 0


def test_a_diff_is_told_by_file_with_notes_at_their_lines() -> None:
    checks = [
        a_result(
            "style", "failed", findings=(Finding(message="too loud", path="skills/a/skill.py", line=2), Finding(message="lost", path="b", line=1))
        )
    ]
    reviews = [a_review("fit", remarks=(Remark(message="why?", path="skill.py", line=99), Remark(message="in all")))]
    told = diff_of(DIFF, notes_of(checks, reviews, "skills/a/"))
    code, old = told.files
    assert (code.path, code.added, code.removed, old.path, old.removed) == ("skills/a/skill.py", 2, 1, "skills/a/old.txt", 1)
    noted = next(line for line in code.lines if line.notes)
    assert (noted.text, noted.new, noted.notes[0].weight) == ("TWO", 2, "error")
    assert [note.text for note in code.notes] == ["why?"] and {note.text for note in told.notes} == {"lost", "in all"}
    assert [line.text for line in code.lines if line.sign == "+"] == ["TWO", "++ b/not/a/header"]


def test_a_diff_that_is_too_long_says_how_much_is_left_out() -> None:
    told = diff_of(DIFF.partition("@@")[0] + "@@ -0,0 +1,9999 @@\n" + "+x\n" * 10_000, ())
    assert told.cut > 6_000 and sum(len(file.lines) for file in told.files) <= LINES


def test_a_form_has_a_field_for_each_input_with_what_may_stand_there() -> None:
    fields = {field.name: field for field in inputs_of(SCHEMA, {"text": "a\nb", "count": 3, "extra": {"a": 1}})}
    assert list(fields)[:2] == ["text", "count"]
    kinds = {name: field.kind for name, field in fields.items()}
    assert kinds == {
        "text": "long", "count": "integer", "extra": "json", "share": "number", "loud": "boolean", "tone": "choice", "name": "text",
    }  # fmt: skip
    assert fields["text"].value == "a\nb" and fields["count"].value == "3" and fields["tone"].choices == ('"calm"', "7")
    assert fields["name"].label == "Your <name>" and "at least 1" in fields["count"].hint and "as JSON" in fields["extra"].hint


def test_a_form_is_read_as_the_schemas_kinds_and_what_was_left_empty_is_left_out() -> None:
    sent = {"text": "a\r\nb", "count": "3", "share": "", "loud": "true", "tone": "7", "extra": '{"a": [1]}', "name": "", "other": "x"}
    given = read(SCHEMA, {PREFIX + name: value for name, value in sent.items()})
    assert given == {"text": "a\nb", "count": 3, "loud": True, "tone": 7, "extra": {"a": [1]}}
    assert read(SCHEMA, {PREFIX + "count": ""}) == {"text": ""}


@pytest.mark.parametrize("count", ["three", "1e999x", "NaN", "[" * 100_000, "{"])
def test_a_field_that_is_not_of_its_kind_is_named(count: str) -> None:
    with pytest.raises(UsageError, match="count is not right"):
        read(SCHEMA, {PREFIX + "count": count})


def test_use_is_told_by_the_minute_and_by_how_long_calls_took() -> None:
    now = [0.0]
    meters = Meters()
    usages = Usages(meters, lambda: now[0])
    assert latency(meters, "a") == ()
    for minute, calls in enumerate((4, 0, 2)):
        for number in range(calls):
            meters.began("a")
            meters.ended("a", "ok" if number else "timeout", 0.004)
        now[0] = (minute + 1) * SAMPLE
        usages.sample()
    spans = usages.of("a")
    assert [(span.calls, span.errors, span.height) for span in spans[:3]] == [(4, 1, 100), (0, 0, 0), (2, 1, 50)]
    assert [(share.most, share.calls) for share in latency(meters, "a") if share.calls] == [(0.005, 6)]


def test_what_is_wanted_beyond_before_is_marked() -> None:
    old = a_manifest(permissions={"network": ["*.example.com:443"], "storage": "persistent"}, resources={"memory": "512Mi"})
    new = a_manifest(version="1.1.0", permissions={"network": ["api.example.com:443"], "secrets": ["KEY"]}, dependencies=["x==1"])
    told = wants_of(new, old, Policy())
    rows = {row.what: row for row in told.rows}
    assert [row.what for row in told.wider] == ["secrets", "depends on"] and not rows["reaches"].wider and not rows["keeps data"].wider
    assert (rows["keeps data"].before, rows["keeps data"].now) == ("persistent", "no") and told.risk == "high" and not told.is_new
    assert wants_of(None, old, Policy()).rows == () and wants_of(new, None, Policy()).is_new


def test_words_and_figures_are_a_persons() -> None:
    assert (took(0.0123), took(75), took(7260), took(90_000)) == ("12 ms", "1 min 15 s", "2 h 1 min", "1 d 1 h")
    assert (money(0), money(0.0123), money(3)) == ("$0.00", "$0.0123", "$3.00") and ago("nonsense") == "nonsense"
    assert sign("could_not_tell") == {"shape": "unknown", "said": "could not tell", "tone": "odd"} and sign("<b>")["said"] == "<b>"
    assert str(ticked("run `a <b>` & `c`")) == "run <code>a &lt;b&gt;</code> &amp; <code>c</code>" and str(ticked("one ` <i>")) == "one ` &lt;i&gt;"


def test_a_message_of_a_stream_can_begin_no_field_of_its_own() -> None:
    assert message("a\r\nevent: x\rid: y\n\nb") == b"data: a\ndata: event: x\ndata: id: y\ndata: \ndata: b\n\n"
