from datetime import UTC, datetime
from email.message import EmailMessage

from html_text import text_of
from messages import summary, told

ARRIVED = datetime(2025, 4, 3, 12, 30, 5, tzinfo=UTC)


def read(raw, most=1000, size=None):
    content = raw if isinstance(raw, bytes) else raw.replace("\n", "\r\n").encode()
    fetched = {
        b"UID": 1,
        b"FLAGS": (),
        b"RFC822.SIZE": size or len(content),
        b"INTERNALDATE": ARRIVED,
        b"CONTENT": content,
    }
    return told(fetched, most)


def test_headers_are_told_in_plain_words():
    raw = (
        'From: =?utf-8?q?Ad=C3=A4?= Lovelace <ada@example.com>\nTo: undisclosed-recipients:;\nTo: "B, C" <b@example.com>, c@example.com\n'
        "Cc: d@example.com\nReply-To: e@example.com\nSubject: =?iso-8859-1?q?Gr=FC=DFe?=\n =?utf-8?b?IGFuIGFsbGU=?=\nDate: Thu, 3 Apr 2025 14:30:00 -0500\n"
        "Message-ID: <x@y>\n\n"
    )
    found = summary(
        {b"UID": 3, b"FLAGS": (b"\\SEEN",), b"RFC822.SIZE": 5, b"INTERNALDATE": ARRIVED, b"HEADERS": raw.encode()}
    )
    assert found == {
        "uid": 3,
        "bytes": 5,
        "seen": True,
        "flagged": False,
        "answered": False,
        "from": [{"name": "Adä Lovelace", "address": "ada@example.com"}],
        "to": [{"name": "B, C", "address": "b@example.com"}, {"name": "", "address": "c@example.com"}],
        "cc": [{"name": "", "address": "d@example.com"}],
        "reply_to": [{"name": "", "address": "e@example.com"}],
        "subject": "Grüße an alle",
        "message_id": "<x@y>",
        "date": "2025-04-03T14:30:00-05:00",
    }


def test_broken_headers_stop_nothing():
    found = read("Subject: =?klingon?q?x?= y\nDate: soon\nFrom: \xff\n\nx")
    assert (found["subject"], found["date"]) == ("=?klingon?q?x?= y", ARRIVED.isoformat())
    nothing = summary({b"UID": 3, b"FLAGS": (), b"RFC822.SIZE": 5, b"HEADERS": b""})
    assert (nothing["from"], nothing["subject"], nothing["date"]) == ([], "", "")
    assert len(read("Subject: " + "x" * 3000 + "\n\n")["subject"]) == 2000
    assert len(read("To: " + ", ".join(f"a{number}@example.com" for number in range(150)) + "\n\n")["to"]) == 100


def test_the_plain_text_is_preferred():
    message = EmailMessage()
    message.set_content("Plain ä\nsecond")
    message.add_alternative("<p>Rich", subtype="html")
    found = read(message.as_bytes())
    assert (found["text"], found["truncated"], found["attachments"]) == ("Plain ä\nsecond", False, [])


def test_the_text_of_html_where_there_is_no_other():
    assert (
        read(
            "Content-Type: text/html; charset=iso-8859-1\nContent-Transfer-Encoding: quoted-printable\n\n<p>Gr=FC=DFe</p>"
        )["text"]
        == "Grüße"
    )
    message = EmailMessage()
    message.set_content(" \n")
    message.add_alternative("<p>Rich", subtype="html")
    assert read(message.as_bytes())["text"] == "Rich"


def test_attachments_are_told_and_not_read():
    message = EmailMessage()
    message.set_content("See there.")
    message.add_attachment(b"12345", maintype="application", subtype="pdf", filename="Übersicht.pdf")
    message.add_attachment("inside", subtype="html", disposition="attachment")
    message.add_attachment("notes", filename="notes.txt", disposition="inline")
    message.add_attachment(b"\x89PNG", maintype="image", subtype="png", disposition="inline")
    inner = EmailMessage()
    inner["Subject"] = "Inner"
    inner.set_content("of somebody else")
    message.add_attachment(inner)
    found = read(message.as_bytes())
    assert found["text"] == "See there."
    assert [(one["name"], one["type"]) for one in found["attachments"]] == [
        ("Übersicht.pdf", "application/pdf"),
        ("", "text/html"),
        ("notes.txt", "text/plain"),
        ("", "image/png"),
        ("", "message/rfc822"),
    ]
    assert [one["bytes"] for one in found["attachments"]][:4] == [5, 7, 6, 4]
    assert found["attachments"][4]["bytes"] > 16
    many = EmailMessage()
    many.set_content("x")
    for _ in range(101):
        many.add_attachment(b"", maintype="image", subtype="png")
    assert len(read(many.as_bytes())["attachments"]) == 100


def test_several_texts_follow_each_other():
    raw = (
        'Content-Type: multipart/mixed; boundary="b"\n\n--b\n\nfirst\n--b\nContent-Type: text/plain\n\nsecond\n--b--\n'
    )
    assert read(raw)["text"] == "first\nsecond"


def test_texts_have_an_end():
    assert [read("\nabc", most)["text"] for most in (2, 3)] == ["ab", "abc"]
    assert [read("\nabc", most)["truncated"] for most in (2, 3)] == [True, False]
    assert read("\nabc", size=99)["truncated"] is True


def test_unheard_charsets_and_broken_parts():
    assert read("Content-Type: text/plain; charset=klingon\n\nx")["text"] == "x"
    assert read(b"Content-Type: text/plain; charset=ascii\r\n\r\n\xff")["text"] == "\ufffd"
    assert read("Content-Type: multipart/mixed\n\nno parts")["attachments"] == [
        {"name": "", "type": "multipart/mixed", "bytes": 8}
    ]
    assert read(b"\r\n\xc3\xa4")["text"] == "ä"


def test_html_is_told_a_block_a_line():
    html = """<html><head><title>no</title><meta charset="x"></head><style>p{}</style><body><h1>Hello&nbsp;<b>you</b></h1>
    <script>if (a < b) alert('no')</script><p>One<br>two &amp;
    three<img src="x"></p><template><p>no<br></p></template><ul><li>a<li>b</ul>end</body></html>"""
    assert text_of(html) == "Hello you\nOne\ntwo & three\na\nb\nend"
    assert text_of("<style>p{}</p>x</style>y</b>z") == "yz"
    assert text_of("<div>a</div>b") == "a\nb"
    assert text_of("a<span>b</span>c") == "abc"
