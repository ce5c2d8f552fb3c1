"""What people and models wrote is repeated so that GitHub does nothing by it."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.markdown import plain, woken

# What GitHub acts on, by its documentation.
ACTS = re.compile(
    r"(?:^|[^A-Za-z0-9_])@[A-Za-z0-9]|<!--|<[A-Za-z/]|!\[|#\d|GH-\d|\b(?:close[sd]?|fix(?:es|ed)?|resolve[sd]?):?\s+(?:https?://|[\w.-]+/[\w.-]+#)",
    re.IGNORECASE,
)


@pytest.mark.parametrize(
    "hostile",
    [
        "@ada look", "cc @acme/everyone", "(@ada)", "<!-- skillops:said {} -->", "<img src=//evil/x>", "![pixel](https://evil.example/x.png)",
        "[![a](https://x)](https://y)", "Closes #7", "fixes: acme/skills#7", "Resolves https://github.com/acme/skills/issues/7", "see GH-12",
        "</details>", "<https://evil.example>", "<script>x</script>",
    ],
)  # fmt: skip
def test_what_github_would_act_on_is_only_read(hostile: str) -> None:
    assert ACTS.search(hostile)
    assert not ACTS.search(plain(hostile))
    assert plain(hostile).replace("\u200b", "") == hostile == woken(plain(hostile))


@pytest.mark.parametrize("text", ["", "a < b", "ada@example.com", "wow! [link](https://x.example)", "C# and # Heading", "1 @ 2", "{'a': 1}"])
def test_harmless_words_stay_as_they_are(text: str) -> None:
    assert plain(text) == text


def test_a_giant_text_is_cut_and_that_is_told() -> None:
    assert plain("x" * 70_000, 100) == "x" * 100 + "… (69,900 more characters)"


@given(st.text(alphabet=st.sampled_from("@<!#[]-/ aAG7H:.closefixresolved\n"), max_size=60))
def test_any_text_comes_back_and_nothing_in_it_acts(text: str) -> None:
    assert woken(plain(text)) == text
    assert not ACTS.search(plain(text))
