"""What is taken for a pasted secret, and what is not. The keys here are made up, and put together so that no scanner takes them for real."""

from __future__ import annotations

import random
import string
import time
from pathlib import Path

import pytest

from agent.errors import UsageError
from agent.pasted import refuse_secrets, without_secrets

_dice = random.Random(7)


def made_up(length: int, letters: str = string.ascii_letters + string.digits) -> str:
    return "".join(_dice.choice(letters) for _ in range(length))


LOWER, HEX = string.ascii_lowercase + string.digits, "0123456789abcdef"
KEYS = {
    "GitHub": "ghp_" + made_up(36), "GitHub, fine-grained": "github_pat_" + made_up(82), "OpenAI": "sk-proj-" + made_up(60),
    "AWS": "AKIA" + made_up(16, string.ascii_uppercase + "234567"), "Anthropic": "sk-ant-api03-" + made_up(80), "Google": "AIza" + made_up(35),
    "Slack": "-".join(("xoxb", made_up(11, string.digits), made_up(11, string.digits), made_up(24, LOWER))), "npm": "npm_" + made_up(36),
    "Stripe": "sk_live_" + made_up(24), "SendGrid": "SG." + made_up(22) + "." + made_up(43), "ours": "skillops_" + made_up(43),
    "JWT": "eyJ" + made_up(20) + ".eyJ" + made_up(40) + "." + made_up(43), "PyPI": "pypi-AgEIcHlwaS5vcmc" + made_up(90),
    "Telegram": made_up(9, "123456789") + ":" + made_up(35), "Hugging Face": "hf_" + made_up(34), "Twilio": "SK" + made_up(32, LOWER),
    "GitLab": "glpat-" + made_up(20),
}  # fmt: skip


@pytest.mark.parametrize("kind", KEYS)
@pytest.mark.parametrize(
    "around", ["use {} for it", "my token is `{}`.", "TOKEN={}\nand go on", 'curl -H "Authorization: Bearer {}" https://api.example.com']
)
def test_a_key_of_a_known_form_is_struck_out_and_told_without_being_quoted(kind: str, around: str) -> None:
    found = without_secrets(around.format(KEYS[kind]))
    assert found.text == around.format("[secret]") and found.kinds
    assert KEYS[kind] not in found.told and KEYS[kind][:12] not in found.told
    with pytest.raises(UsageError) as caught:
        refuse_secrets(around.format(KEYS[kind]))
    assert KEYS[kind][:12] not in str(caught.value)


@pytest.mark.parametrize("label", ["RSA ", "EC ", "OPENSSH ", "", "ENCRYPTED "])
@pytest.mark.parametrize("whole", [True, False])
def test_a_private_key_goes_as_a_whole(label: str, whole: bool) -> None:
    body = "\n".join(made_up(64) for _ in range(6))
    end = f"\n-----END {label}PRIVATE KEY-----\nthen log in" if whole else ""
    found = without_secrets(f"Here it is:\n-----BEGIN {label}PRIVATE KEY-----\n{body}{end}")
    assert found.text == ("Here it is:\n[secret]\nthen log in" if whole else "Here it is:\n[secret]") and found.kinds == ("private key",)


def test_the_password_in_an_address_is_struck_out_and_the_rest_stays() -> None:
    assert without_secrets("fetch https://ada:Tr0ub4dor-3@db.example.com/x").text == "fetch https://ada:[secret]@db.example.com/x"


@pytest.mark.parametrize("text", [
    "How many seconds is 1h 30m?", "Which commit is 3f786850e387550fdab836ed7e6dc881de23001b?", "sha256:" + made_up(64, HEX),
    "d41d8cd98f00b204e9800998ecf8427e", "b5f2c3de-8a1e-4a3b-9c9a-2f6d4e8b7a10", "My password is not working, what do I do?",
    "Make a password of 20 characters", "What is a JWT like eyJhbGciOi... made of?", "key: value, token: string, secret: none",
    "AKIAIOSFODNN7EXAMPLE is in the manual", "ghp_" + "x" * 36, "https://user:password@example.com/ in the manual", "sk-your-key-here",
    "Convert ask-proj-plan to a title", "Set API_KEY=<your key>", "base64 QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVo=", "SKILL.md and ACCOUNT",
    "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----", "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ7w ada@here",
    "10.0.0.1:8080, 1234567890:abc",
])  # fmt: skip
def test_what_has_no_form_of_a_key_is_answered(text: str) -> None:
    assert without_secrets(text) == (text, ())
    assert refuse_secrets(text) == text


def test_nothing_in_our_own_documents_is_taken_for_a_secret() -> None:
    root = Path(__file__).parents[2]
    for path in (root / "README.md", *(root / "docs").glob("*.md"), *(root / "skills").glob("*/SKILL.md"), *(root / "agent/prompts").glob("*.txt")):
        assert without_secrets(path.read_text()).kinds == (), path


@pytest.mark.parametrize(
    "bite", ["eyJ", "eyJa.", "-----BEGIN RSA PRIVATE KEY-----", "://a:", "sk-ant-", "AKIA", "aws key '", "xoxb-1-", "\n", "ghp_"]
)
def test_what_is_made_to_take_long_does_not(bite: str) -> None:
    without_secrets("")
    began = time.process_time()
    without_secrets((bite * 20_000)[:20_000])
    assert time.process_time() - began < 2.0
