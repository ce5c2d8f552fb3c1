import functools
import ssl

import imapclient
import pytest

import faults
import inbox
from skill import execute
from tests.imap import fetched, imap

HEADER = "From: Bob <bob@example.com>\nSubject: Hi\nDate: Thu, 03 Apr 2025 14:30:00 +0200\n\n"


@pytest.fixture(autouse=True)
def vault(tmp_path, monkeypatch):
    (tmp_path / "EMAIL_USER").write_text("ada\n")
    (tmp_path / "EMAIL_PASSWORD").write_text("s3cret")
    monkeypatch.setenv("SKILL_SECRETS", str(tmp_path))
    monkeypatch.setenv("IMAP_HOST", "127.0.0.1")
    return tmp_path


@pytest.fixture
def called(monkeypatch):
    """Calls the skill against a scripted server, without TLS; gives the outputs and what the server was told."""
    made = []

    def plain(host, port, *, ssl, ssl_context, timeout):
        made.append((ssl, ssl_context.verify_mode, ssl_context.check_hostname, timeout))
        return imapclient.IMAPClient(host, port, ssl=False, timeout=timeout)

    monkeypatch.setattr(inbox, "IMAPClient", plain)

    def call(inputs, **answers):
        with imap(**answers) as (port, told):
            monkeypatch.setenv("IMAP_PORT", str(port))
            outputs = execute(inputs, {})
        assert made[-1] == (True, ssl.CERT_REQUIRED, True, inbox.TIMEOUT)
        return outputs, told

    return call


def text_of(called, inputs, **answers):
    """The error's code and message."""
    with pytest.raises(ValueError) as caught:
        called(inputs, **answers)
    return getattr(type(caught.value), "code", "invalid-inputs"), str(caught.value)


# ---- search


def found(called, **inputs):
    _, told = called({"operation": "search", **inputs}, UID_SEARCH="* SEARCH\n{tag} OK done")
    return next(line.removeprefix("UID SEARCH ") for line in told if line.startswith("UID SEARCH"))


def test_searches_for_all_that_is_asked(called):
    assert found(called) == "ALL"
    assert found(called, unseen=False) == "ALL"
    assert found(called, unseen=True, flagged=True) == "UNSEEN FLAGGED"
    assert found(called, since="2025-04-01", before="2025-12-31") == "SINCE 01-Apr-2025 BEFORE 31-Dec-2025"
    assert found(called, to="x", subject='say "hi" \\', text="a b") == 'TO x SUBJECT "say \\"hi\\" \\\\" TEXT "a b"'
    assert found(called, **{"from": "käse"}) == "CHARSET UTF-8 FROM käse"


def test_gives_the_newest_first_and_counts_all(called):
    answers = fetched(1, 4, name="BODY[HEADER.FIELDS (FROM)]", text=HEADER, flags="\\Seen \\ANSWERED") + "\n"
    answers += (
        fetched(3, 9, name="BODY[HEADER.FIELDS (FROM)]", text=HEADER, flags="\\Flagged", size=7) + "\n{tag} OK done"
    )
    outputs, told = called(
        {"operation": "search", "limit": 3}, UID_SEARCH="* SEARCH 4 9 6 1\n{tag} OK done", UID_FETCH=answers
    )
    assert outputs["total"] == 4
    first, second = outputs["messages"]
    assert first == {
        "uid": 9,
        "bytes": 7,
        "seen": False,
        "flagged": True,
        "answered": False,
        "from": [{"name": "Bob", "address": "bob@example.com"}],
        "to": [],
        "subject": "Hi",
        "date": "2025-04-03T14:30:00+02:00",
    }
    assert (second["uid"], second["seen"], second["flagged"], second["answered"]) == (4, True, False, True)
    (fetch,) = [line for line in told if line.startswith("UID FETCH")]
    assert fetch == f"UID FETCH 9,6,4 (FLAGS INTERNALDATE RFC822.SIZE {inbox.SUMMARY})"


def test_opens_folders_to_be_read_alone(called):
    _, told = called({"operation": "search"}, UID_SEARCH="* SEARCH\n{tag} OK done")
    assert 'EXAMINE "INBOX"' in told
    assert not [line for line in told if line.startswith("SELECT")]
    assert told[-1] == "LOGOUT"
    _, told = called(
        {"operation": "search", "folder": "Entwürfe"},
        EXAMINE="* 0 EXISTS\n{tag} OK done",
        UID_SEARCH="* SEARCH\n{tag} OK done",
    )
    assert 'EXAMINE "Entw&APw-rfe"' in told


def test_says_that_a_folder_is_not_there(called):
    message = "there is no folder 'Nowhere': the operation folders tells which there are"
    assert text_of(called, {"operation": "search", "folder": "Nowhere"}) == ("no-such-folder", message)


# ---- folders and read


def test_names_the_folders_that_can_be_opened(called):
    answer = '* LIST (\\NoSelect) "/" "all"\n* LIST () "/" INBOX\n* LIST () "/" "Entw&APw-rfe"\n{tag} OK done'
    outputs, told = called({"operation": "folders"}, LIST=answer)
    assert outputs == {"folders": ["Entwürfe", "INBOX"]}
    assert not [line for line in told if line.startswith("EXAMINE")]


def test_reads_messages_in_the_order_that_they_are_asked_for(called):
    whole = HEADER.replace("\n\n", "\nContent-Type: text/plain\n\n") + "Hello\n"
    size = len(whole.replace("\n", "\r\n"))
    answers = {f"UID_FETCH {uid} .FLAGS": fetched(1, uid, size=size) + "\n{tag} OK done" for uid in (8, 5)} | {
        f"UID_FETCH {uid} .BODY": f"* 1 FETCH (UID {uid} BODY[] {{{size}}}\n{whole})\n{{tag}} OK done" for uid in (8, 5)
    }
    outputs, told = called({"operation": "read", "uids": [8, 5, 8]}, **answers)
    assert [(one["uid"], one["text"], one["truncated"], one["attachments"]) for one in outputs["messages"]] == [
        (8, "Hello", False, []),
        (5, "Hello", False, []),
    ]
    assert [line for line in told if "FLAGS" in line][0] == "UID FETCH 8 (FLAGS INTERNALDATE RFC822.SIZE)"
    assert [line for line in told if "BODY" in line] == ["UID FETCH 8 (BODY.PEEK[])", "UID FETCH 5 (BODY.PEEK[])"]


def test_reads_the_start_of_what_is_very_large(called):
    answers = {"UID_FETCH 5 .FLAGS": fetched(1, 5, size=inbox.LARGEST + 1) + "\n{tag} OK done"}
    answers["UID_FETCH 5 .BODY"] = f"* 1 FETCH (UID 5 BODY[]<0> {{{len(HEADER) + 4}}}\n{HEADER})\n{{tag}} OK done"
    outputs, told = called({"operation": "read", "uids": [5]}, **answers)
    assert outputs["messages"][0]["truncated"] is True
    assert "UID FETCH 5 (BODY.PEEK[]<0.1048576>)" in told
    _, told = called(
        {"operation": "read", "uids": [5]},
        **answers | {"UID_FETCH 5 .FLAGS": fetched(1, 5, size=inbox.LARGEST) + "\n{tag} OK done"},
    )
    assert "UID FETCH 5 (BODY.PEEK[])" in told


def test_cuts_texts_where_asked(called):
    answers = {"UID_FETCH 5 .FLAGS": fetched(1, 5, size=10) + "\n{tag} OK done"}
    answers["UID_FETCH 5 .BODY"] = "* 1 FETCH (UID 5 BODY[] {10}\n\nHello wo)\n{tag} OK done"
    assert called({"operation": "read", "uids": [5], "max_chars": 5}, **answers)[0]["messages"][0]["text"] == "Hello"


def test_says_that_a_message_is_not_there(called):
    assert text_of(called, {"operation": "read", "uids": [5]}, UID_FETCH="{tag} OK done") == (
        "no-such-message",
        "there is no message 5 in this folder",
    )
    answers = {"UID_FETCH 5 .FLAGS": fetched(1, 5) + "\n{tag} OK done", "UID_FETCH 5 .BODY": "{tag} OK done"}
    assert called({"operation": "read", "uids": [5]}, **answers)[0]["messages"][0]["text"] == ""


# ---- what goes wrong


def test_says_that_the_login_is_refused(called, vault):
    (vault / "EMAIL_PASSWORD").write_text("wrong")
    assert text_of(called, {"operation": "folders"}) == (
        "refused-login",
        "127.0.0.1 refuses EMAIL_USER and EMAIL_PASSWORD of the vault",
    )


def test_needs_its_secrets(called, vault, monkeypatch):
    for name in ("EMAIL_PASSWORD", "EMAIL_USER"):
        for text in ("", "\n", "a\nb"):
            (vault / name).write_text(text)
            message = f"the vault holds no usable {name}: set it with `skillops secret set {name}`"
            assert text_of(called, {"operation": "folders"}) == ("no-secret", message)
        (vault / name).unlink()
        assert text_of(called, {"operation": "folders"})[0] == "no-secret"
    monkeypatch.delenv("SKILL_SECRETS")
    assert text_of(called, {"operation": "folders"})[0] == "no-secret"


def test_says_that_the_server_ends_refuses_or_is_not_there(called, monkeypatch):
    code, message = text_of(called, {"operation": "search"}, EXAMINE=None)
    assert (code, "ended the session" in message) == ("unreachable", True)
    code, message = text_of(called, {"operation": "search"}, UID_SEARCH="{tag} NO too much")
    assert (code, message) == ("server-error", "127.0.0.1 refuses what was asked: SEARCH failed: too much")
    monkeypatch.setattr(inbox, "IMAPClient", imapclient.IMAPClient)
    monkeypatch.setenv("IMAP_PORT", "9")
    with pytest.raises(inbox.UnreachableError, match=r"^127\.0\.0\.1:9 could not be reached"):
        execute({"operation": "folders"}, {})


def raising(error, *_, **__):
    raise error


def test_says_that_it_is_slow_or_cannot_prove_who_it_is(monkeypatch):
    monkeypatch.setenv("IMAP_PORT", "993")
    untrusted = ssl.SSLCertVerificationError("x")
    untrusted.verify_message = "it is old"
    for error, kind, message in (
        (TimeoutError(), inbox.SlowError, r"^127\.0\.0\.1 did not answer in time$"),
        (untrusted, inbox.BadCertificateError, r"^127\.0\.0\.1 cannot prove who it is: it is old$"),
    ):
        monkeypatch.setattr(inbox, "IMAPClient", functools.partial(raising, error))
        with pytest.raises(kind, match=message):
            execute({"operation": "folders"}, {})


def test_codes_of_errors():
    codes = [
        "bad-certificate",
        "no-such-folder",
        "no-such-message",
        "refused-login",
        "server-error",
        "timeout",
        "unreachable",
    ]
    assert (
        sorted(one.code for one in vars(faults).values() if isinstance(one, type) and one is not faults.NoSecretError)
        == codes
    )


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({}, "operation is one of folders, search, read"),
        ({"operation": "delete"}, "operation is one of folders, search, read"),
        ({"operation": "search", "since": "yesterday"}, "since is a day, like 2025-04-03"),
        ({"operation": "search", "before": 3}, "before is a day, like 2025-04-03"),
        ({"operation": "search", "from": ""}, "from is a text of 1 to 200 letters on one line"),
        ({"operation": "search", "subject": "a\r\nx LOGOUT"}, "subject is a text of 1 to 200 letters on one line"),
        ({"operation": "search", "text": "x" * 201}, "text is a text of 1 to 200 letters on one line"),
        ({"operation": "search", "to": 1}, "to is a text of 1 to 200 letters on one line"),
        ({"operation": "search", "folder": "a\nb"}, "folder is a text of 1 to 200 letters on one line"),
        ({"operation": "search", "limit": 101}, "limit is a whole number from 1 to 100"),
        ({"operation": "search", "limit": 0}, "limit is a whole number from 1 to 100"),
        ({"operation": "search", "limit": True}, "limit is a whole number from 1 to 100"),
        ({"operation": "read", "uids": [1], "max_chars": 200_001}, "max_chars is a whole number from 1 to 200000"),
        *(
            ({"operation": "read", **uids}, "read needs uids: 1 to 10 numbers, as search gives them")
            for uids in (
                {},
                {"uids": []},
                {"uids": list(range(1, 12))},
                {"uids": [0]},
                {"uids": [2**32]},
                {"uids": ["1"]},
                {"uids": [True]},
            )
        ),
    ],
)
def test_refuses_wrong_inputs(called, inputs, message):
    assert text_of(called, inputs) == ("invalid-inputs", message)


def test_takes_the_most_of_everything(called):
    longest = "x" * 200
    assert found(called, text=longest, limit=100, max_chars=200_000) == f"TEXT {longest}"
    assert (
        text_of(called, {"operation": "read", "uids": [2**32 - 1, *range(1, 10)]}, UID_FETCH="{tag} OK done")[0]
        == "no-such-message"
    )
