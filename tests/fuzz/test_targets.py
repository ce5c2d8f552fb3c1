"""Each reader of outside data, given odd texts: cut, doubled, bent and made up ones. None crashes, hangs or lets an exception out."""

from __future__ import annotations

import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fuzz.targets import TARGETS

ODD = [
    *(b"\x00", b"\xff", b"\n", b"\r", b"\t", b"{" * 300, b"[" * 300, b"'", b'"', b"\\", b"#", b"%", b"..", b"<!--", b"-->", b"@"),
    *(b": ", b"- ", b"&a ", b"*a", b"!!int ", b"null", b"~", b"<<: ", b"---\n", b"9" * 400, b"1e999", b"-0", b"NaN"),
    *(text.encode() for text in ("\u202e", "\u2028", "\u0000", "\ufeff")),
]


@st.composite
def bent(draw: st.DrawFn, seed: bytes) -> bytes:
    """A valid text with a few things cut out, put in twice, or replaced."""
    data = seed
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, max(0, len(data) - 1)))
        end = min(len(data), start + draw(st.integers(0, 40)))
        put = draw(st.one_of(st.sampled_from(ODD), st.just(data[start:end] * 2), st.just(b""), st.binary(max_size=8)))
        data = data[:start] + put + data[end:]
    return data


@pytest.mark.parametrize("name", TARGETS)
def test_a_reader_answers_or_refuses_in_words(name: str) -> None:
    target = TARGETS[name]
    for seed in target.seeds:
        target.read(seed)  # what is valid is no refusal

    texts = st.text(max_size=200).map(lambda text: text.encode(errors="replace"))

    @settings(max_examples=80, deadline=None, suppress_health_check=list(HealthCheck), database=None, derandomize=True)
    @given(st.one_of(*(bent(seed) for seed in target.seeds), st.binary(max_size=300), texts))
    def reads(data: bytes) -> None:
        started = time.process_time()
        target(data)
        assert time.process_time() - started < 5

    reads()
