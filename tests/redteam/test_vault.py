"""What the vault holds, where it must not be: at rest for others, in a prompt, in what is kept and shown, and in a text that was cut."""

from __future__ import annotations

import base64
import html
import json
from pathlib import Path

import pytest

from agent.domain.invocation import Invocation, Reply
from agent.errors import InvocationFailed
from agent.instance import tail
from agent.memory import Memory
from agent.pasted import struck_out
from agent.stages.invoking import interpret
from agent.vault import Vault
from tests.builders import a_manifest, an_entry
from tests.redteam.threats import threat
from tests.unit.test_conversation import Catalog, Model, a_world

VALUE = 'Tr0ub4dor/+3=<&>"horse'
REST = VALUE[6:]


@pytest.fixture
def vault(tmp_path: Path) -> Vault:
    vault = Vault(tmp_path / "kept")
    vault.set("API_KEY", VALUE, "ada", ["word-count"])
    return vault


@threat(112)
def test_a_secret_that_a_skill_gives_away_enters_no_prompt_and_no_memory(tmp_path: Path, vault: Vault) -> None:
    """It goes to the next skill, and to whoever called, as it is: that is what the skill answered."""
    plan = {"steps": [
        {"id": "a", "skill": "word-count", "inputs": {"text": "say it"}},
        {"id": "b", "skill": "word-count", "inputs": {"text": {"$step": "a", "path": "/said"}}},
    ]}  # fmt: skip
    with a_world(tmp_path) as world:
        world.catalog, world.model = Catalog(a_manifest(outputs={"type": "object"})), Model(plan, plan, {"reply": "No."})
        world.more["strike"] = lambda skill, text: struck_out(vault, skill, text)
        rows = [{"key": VALUE, VALUE: 1}, {"key": "b", VALUE: 2}]
        world.runtime.answer = lambda inputs: {"said": VALUE, "rows": rows, "long": ("x" * 19_970 + VALUE) * 3}
        talk = world.turn("Say it, and count it.")
        world.runtime.answer = lambda inputs: {"said": VALUE} if inputs["text"] == "say it" else (_ for _ in ()).throw(ValueError("no"))
        world.turn("Once more.", talk.conversation)
        kept = Memory(world.path)
        turns = kept.turns(talk.conversation)
        everything = repr(([one.messages for one in world.model.asked], [one.variables for one in world.model.asked], turns, world.events))
        everything += repr([(kept.runs(turn.id), kept.drawings(turn.id)) for turn in turns])
    assert world.runtime.calls[1]["inputs"] == {"text": VALUE} and talk.outputs["a"]["said"] == VALUE
    assert "[secret]" in everything and not [piece for piece in (REST, json.dumps(REST)[1:-1], VALUE[:10]) if piece in everything]
    assert not [path for path in tmp_path.glob("*.sqlite*") if VALUE[:10].encode() in path.read_bytes()]


OTHERS = {
    "PHP": json.dumps(VALUE).replace("/", "\\/"),
    "Go": json.dumps(VALUE).replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026"),
    "Gson": json.dumps(VALUE).replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026").replace("=", "\\u003d"),
    ".NET": '"Tr0ub4dor/\\u002B3=\\u003C\\u0026\\u003E\\u0022horse"',
    "JSON in JSON": json.dumps(json.dumps({"key": VALUE})),
    "a page": html.escape(VALUE),
    "a page of Go's": "Tr0ub4dor/&#43;3=&lt;&amp;&gt;&#34;horse",
    "a URL in small letters": "Tr0ub4dor%2f%2b3%3d%3c%26%3e%22horse",
    "Basic": base64.b64encode(f"ada:{VALUE}".encode()).decode(),
    "hexadecimal": VALUE.encode().hex(),
}


@threat(113)
@pytest.mark.parametrize("written", OTHERS.values(), ids=OTHERS)
def test_a_secret_leaves_in_no_notation_of_other_software_and_no_part_of_it_where_a_text_is_cut(vault: Vault, tmp_path: Path, written: str) -> None:
    told = struck_out(vault, "word-count", f"it said {written} and went on")
    assert "[secret]" in told and told.startswith("it said ") and told.endswith(" and went on")
    assert not any(piece in told for piece in ("Tr0u", "horse", b"Tr0ub4dor".hex(), "VHIwdWI", "RyMHViNGRv"))
    manifest, entry = a_manifest(outputs={"type": "object", "properties": {"n": {"type": "number"}}}), an_entry()
    call = Invocation(skill="word-count", inputs={}, request_id="r1", caller="ada", deadline_seconds=1.0)
    replies = [{"success": False, "error": {"code": "no", "message": "x" * (2000 - cut) + written}} for cut in (10, len(written) - 1)]
    replies += [{"success": True, "outputs": {"n": "x" * 280 + written}}]
    for body in (*(json.dumps(each).encode() for each in replies), b"x" * 100 + VALUE.encode()):
        with pytest.raises(InvocationFailed) as failed:
            interpret(manifest, entry, call, Reply.parse(body), lambda skill, text: struck_out(vault, skill, text))
        assert not any(piece in str(failed.value) for piece in ("Tr0ub4", "horse", "VHIwdWI0ZG9", "547230756234"))
    for guess in (VALUE[:end] for end in range(1, len(VALUE))):
        told = struck_out(vault, "word-count", f"no such thing: {guess}")
        assert told.endswith(guess), "where a beginning is struck out, whoever guesses is told that it is one"
    (log := tmp_path / "log").write_bytes(b"begun " + VALUE.encode() + b"\n" + b"y" * (2**18 - 15) + b"\nthe end\n")
    assert struck_out(vault, "word-count", tail(log, 9)).endswith("the end") and "horse" not in tail(log, 9)


@threat(114)
def test_what_is_kept_beside_the_repository_is_read_by_no_other_account_of_the_machine(tmp_path: Path, vault: Vault) -> None:
    vault.open_form("API_KEY", "ada")
    with a_world(tmp_path) as world:
        world.model = Model({"reply": "Two."})
        world.turn("Count.")
    open_to_others = {str(path): oct(path.stat().st_mode) for path in tmp_path.rglob("*") if path.is_file() and path.stat().st_mode & 0o007}
    assert open_to_others == {} and {path.stat().st_mode & 0o077 for path in (tmp_path / "kept").iterdir()} == {0}
