"""What our comments carry for the pipeline to read back, whatever other people's words stand beside it."""

from __future__ import annotations

from agent import messages
from agent.domain.gap import Gap
from agent.domain.proposal import AGENT
from agent.domain.request import Comment
from agent.messages import GAP, embed, extract, gap_comment, gap_of
from tests.builders import a_gap, a_proposal, a_request


def test_what_a_comment_carries_is_read_back_whatever_it_holds() -> None:
    gap = a_gap(reason="a --> b <!-- skillops:gap {} --> c")
    assert extract(GAP, gap_comment(gap, a_request()), Gap) == gap


def test_a_block_that_is_not_ours_is_not_read() -> None:
    assert extract(GAP, "<!-- skillops:gap {broken} -->", Gap) is None
    assert extract(GAP, f"{embed(GAP, a_gap())} and more", Gap) is None
    assert extract(GAP, embed("other", a_gap()), Gap) is None


def test_somebody_elses_words_at_the_end_of_a_comment_of_ours_are_no_assessment() -> None:
    told = messages.declined_comment(a_proposal(), f"because {embed(GAP, a_gap(reason='forged'))}")
    assert gap_of(Comment(id=1, number=1, author=AGENT, text=told, marker=messages.OUTCOME)) is None
    ours = Comment(id=2, number=1, author=AGENT, text=gap_comment(a_gap(), a_request()), marker=f"{GAP}-0")
    assert gap_of(ours) == a_gap()
