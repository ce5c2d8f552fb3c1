"""What MCP over standard input and output answers to a line that is no message (JSON-RPC 2.0, section 5.1)."""

from __future__ import annotations

import pytest
from mcp_types import jsonrpc_message_adapter
from pydantic import ValidationError

from agent.gateway.mcp_stdio import refusal


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ('{"jsonrpc": "2.0", "method"\n', -32700),
        ("this is no message\n", -32700),
        ("[" * 10_000 + "\n", -32700),
        ('{"jsonrpc": "2.0", "method": 1, "id": 4}\n', -32600),
        ('{"jsonrpc": "1.0", "method": "ping", "id": 4}\n', -32600),
        ("[]\n", -32600),
        ("7\n", -32600),
    ],
)
def test_a_line_that_is_no_message_is_answered(line: str, code: int) -> None:
    with pytest.raises(ValidationError) as wrong:
        jsonrpc_message_adapter.validate_json(line, by_name=False)
    answer = refusal(wrong.value)
    assert answer is not None and answer.error.code == code
    assert answer.model_dump(by_alias=True, exclude_unset=True)["id"] is None  # said, and not left out


def test_an_empty_line_is_none_that_waits_for_an_answer() -> None:
    with pytest.raises(ValidationError) as wrong:
        jsonrpc_message_adapter.validate_json("\n", by_name=False)
    assert refusal(wrong.value) is None


def test_what_the_library_could_not_read_otherwise_is_a_parse_error() -> None:
    answer = refusal(ValueError("odd"))
    assert answer is not None and answer.error.code == -32700
