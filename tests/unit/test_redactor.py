"""The Redactor: known secrets leave in no form that they are usually written in."""

from __future__ import annotations

import base64
import json
from urllib.parse import quote

import pytest

from agent.redactor import STRUCK, Redactor

SECRET = 'p"ss/w örd\\1'


@pytest.mark.parametrize(
    "written",
    [SECRET, json.dumps(SECRET), json.dumps(SECRET, ensure_ascii=False), repr(SECRET), quote(SECRET), base64.b64encode(SECRET.encode()).decode()],
)
def test_a_secret_is_struck_out_however_it_is_written(written: str) -> None:
    left = Redactor([SECRET])(f"before {written} after")
    assert left.startswith("before ") and left.endswith(" after") and STRUCK in left
    assert "rd" not in left.replace(STRUCK, "") and "c3M" not in left


def test_a_secret_that_holds_another_is_struck_out_as_a_whole() -> None:
    assert Redactor(["abcd", "abcdefgh"])("x abcdefgh y abcd z") == f"x {STRUCK} y {STRUCK} z"


def test_each_line_of_a_key_is_struck_out_as_a_log_may_have_been_cut_in_between() -> None:
    key = "-----BEGIN KEY-----\nMIIEvQIBADANBg\nkqhkiG9w0BAQEF\n-----END KEY-----\n"
    assert Redactor([key])("the end: kqhkiG9w0BAQEF") == f"the end: {STRUCK}"


def test_a_value_is_plain_text_and_no_pattern() -> None:
    assert Redactor(["a.*b"])("a123b a.*b") == f"a123b {STRUCK}"


def test_who_knows_no_secret_strikes_nothing_out() -> None:
    assert Redactor([])("text") == Redactor([""])("text") == "text"
