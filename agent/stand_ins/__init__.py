"""Scripted servers that answer a trial in the place of declared hosts. `Stage` starts them; what they say is in `agent/domain/stand_in.py`."""

from __future__ import annotations

from agent.stand_ins.stage import Stage

__all__ = ["Stage"]
