"""The switchboard, where nobody can listen: neither a ticket that leads nowhere nor an end that never comes."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.domain.invocation import InvocationResult
from agent.domain.schema import Json
from agent.errors import CouldNotTell
from agent.switchboard import Switchboard, place_of


class Words:
    skill = "word-count"

    def carry(self, name: str, inputs: Json, seconds: float | None) -> InvocationResult:
        raise NotImplementedError


def test_where_nobody_can_listen_no_ticket_is_given_and_it_closes(tmp_path: Path) -> None:
    board, in_the_way = Switchboard(tmp_path), tmp_path / "supervisor" / "callers"
    in_the_way.parent.mkdir()
    in_the_way.write_text("")
    for _ in range(2):
        with pytest.raises(CouldNotTell, match="listen for what word-count calls"), board.line(Words()):
            pass
    board.close()
    in_the_way.unlink()
    with board.line(Words()) as ticket:
        assert place_of(tmp_path, ticket)
    board.close()
    assert place_of(tmp_path, ticket) is None
