"""What a person is to look at in Go: some weaknesses, and the honest code beside them that nobody is bothered with."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.languages.go import GoLanguage
from agent.languages.go.analysis import security

pytestmark = pytest.mark.go_tools

CACHE = GoLanguage()._cache
SOURCES = {
    "hash.go": 'package skill\n\nimport "crypto/md5"\n\nfunc digest(data []byte) [16]byte { return md5.Sum(data) }\n',
    "key.go": 'package skill\n\nimport "math/rand"\n\nfunc makeToken() int { return rand.Int() }\n',
    "dice.go": 'package skill\n\nimport "math/rand"\n\nfunc roll() int { return rand.Intn(6) }\n',
    "store.go": 'package skill\n\nimport "crypto/sha256"\n\nfunc hashPassword(given []byte) [32]byte { return sha256.Sum256(given) }\n',
    "sum.go": 'package skill\n\nimport "crypto/sha256"\n\nfunc sum(given []byte) [32]byte { return sha256.Sum256(given) }\n',
    "ask.go": 'package skill\n\nimport "fmt"\n\nfunc ask(id string) string { return fmt.Sprintf("SELECT name FROM users WHERE id = %s", id) }\n',
    "say.go": 'package skill\n\nimport "fmt"\n\nfunc say(id string) string { return fmt.Sprintf("select one of %s", id) }\n',
    "tests/hash_test.go": 'package tests\n\nimport "crypto/md5"\n\nfunc digest(data []byte) [16]byte { return md5.Sum(data) }\n',
}


def test_a_weakness_is_shown_to_a_person_and_honest_code_and_tests_bother_nobody(tmp_path: Path) -> None:
    root = tmp_path / "word-count"
    for name, source in SOURCES.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(source)
    assert {(one.path, one.rule, one.level, one.line) for one in security(root, CACHE)} == {
        ("skills/word-count/hash.go", "skillops-weak-cipher", "person", 5),
        ("skills/word-count/key.go", "skillops-guessable", "person", 5),
        ("skills/word-count/store.go", "skillops-quick-hash", "person", 5),
        ("skills/word-count/ask.go", "skillops-built-query", "person", 5),
    }
