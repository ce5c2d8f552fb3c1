"""A small IMAP server with TLS (RFC 3501, what a reader of mail uses of it): it keeps real messages, and answers by what is in them.

A message that is fetched without PEEK in a folder that was selected becomes \\Seen, as on any server.
"""

from __future__ import annotations

import contextlib
import re
import ssl
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email import message_from_bytes, policy
from email.message import EmailMessage
from socketserver import StreamRequestHandler, ThreadingTCPServer
from typing import cast

_TOKEN = re.compile(rb'"((?:[^"\\]|\\.)*)"|(\S+)')
_ITEM = re.compile(r"(BODY(?:\.PEEK)?)\[([^]]*)\](?:<(\d+)\.(\d+)>)?|([A-Z0-9.]+)")


@dataclass
class Mail:
    uid: int
    content: bytes
    arrived: datetime
    flags: set[str] = field(default_factory=set)

    @property
    def message(self) -> EmailMessage:
        return cast(EmailMessage, message_from_bytes(self.content, policy=policy.default))


@dataclass
class Account:
    """`commands`: what came, without tags and arguments of LOGIN."""

    user: str
    password: str
    folders: dict[str, list[Mail]]
    commands: list[str] = field(default_factory=list)


def a_mail(uid: int, arrived: datetime, *, flags: set[str] | None = None, **headers: str) -> Mail:
    """`text` is its text; the other keywords are headers."""
    message = EmailMessage(policy=policy.SMTP)
    message.set_content(headers.pop("text", ""))
    for name, value in headers.items():
        message[name] = value
    return Mail(uid, message.as_bytes(), arrived, flags or set())


class Server(ThreadingTCPServer):
    daemon_threads, allow_reuse_address = True, True

    def __init__(self, account: Account, context: ssl.SSLContext) -> None:
        self.account, self.context = account, context
        super().__init__(("127.0.0.1", 0), Session)


class Session(StreamRequestHandler):
    server: Server

    def handle(self) -> None:
        with contextlib.suppress(OSError), self.server.context.wrap_socket(self.request, server_side=True) as connection:
            self.file = connection.makefile("rwb")
            self.folder: list[Mail] | None = None
            self.writable = self.known = False
            self.say("* OK [CAPABILITY IMAP4rev1] ready")
            while line := self.file.readline():
                tag, *tokens = self.tokens(line)
                if self.answer(tag.decode(), tokens):
                    return

    def tokens(self, line: bytes) -> list[bytes]:
        """The words of a command, with quoted strings and literals as one each."""
        found: list[bytes] = []
        while True:
            literal = re.search(rb"\{(\d+)\}\r\n$", line)
            for quoted, word in _TOKEN.findall(line[: literal.start()] if literal else line):
                found.append(re.sub(rb"\\(.)", rb"\1", quoted) if quoted else word)
            if not literal:
                return found
            self.say("+ go on")
            found.append(self.file.read(int(literal[1])))
            line = self.file.readline()

    def say(self, text: str | bytes) -> None:
        self.file.write((text.encode() if isinstance(text, str) else text) + b"\r\n")
        self.file.flush()

    def answer(self, tag: str, tokens: list[bytes]) -> bool:
        """Whether the session is over."""
        name = tokens[0].decode().upper()
        if name == "UID":
            name = f"UID {tokens.pop(1).decode().upper()}"
        arguments = [token.decode() for token in tokens[1:]]
        account = self.server.account
        account.commands.append(name if name == "LOGIN" else " ".join([name, *arguments]))
        if name == "LOGOUT":
            self.say("* BYE")
        elif name == "CAPABILITY":
            self.say("* CAPABILITY IMAP4rev1")
        elif name == "LOGIN":
            self.known = arguments == [account.user, account.password]
        if name == "LOGIN" and not self.known:
            self.say(f"{tag} NO [AUTHENTICATIONFAILED] no")
        elif name not in ("LOGOUT", "CAPABILITY", "LOGIN") and not self.known:
            self.say(f"{tag} BAD log in first")
        elif why := self.perform(name, arguments):
            self.say(f"{tag} {why}")
        else:
            self.say(f"{tag} OK done")
        return name == "LOGOUT"

    def perform(self, name: str, arguments: list[str]) -> str:
        """Why not, or nothing."""
        if name == "LIST":
            for folder in self.server.account.folders:
                self.say(f'* LIST () "/" "{folder}"')
        elif name in ("SELECT", "EXAMINE"):
            self.folder, self.writable = self.server.account.folders.get(arguments[0]), name == "SELECT"
            if self.folder is None:
                return "NO [NONEXISTENT] no such folder"
            self.say(f"* {len(self.folder)} EXISTS")
            self.say("* 0 RECENT")
        elif name in ("UID SEARCH", "UID FETCH"):
            if self.folder is None:
                return "BAD open a folder first"
            self.search(self.folder, arguments) if name == "UID SEARCH" else self.fetch(self.folder, arguments)
        elif name not in ("LOGIN", "LOGOUT", "CAPABILITY", "NOOP"):
            return "BAD unknown"
        return ""

    def search(self, folder: list[Mail], keys: list[str]) -> None:
        found = [mail for mail in folder if all(fits(mail, *key) for key in keyed(keys))]
        self.say(" ".join(["* SEARCH", *(str(mail.uid) for mail in found)]))

    def fetch(self, folder: list[Mail], arguments: list[str]) -> None:
        wanted = {int(uid) for uid in arguments[0].split(",")}
        for number, mail in enumerate(folder, 1):
            if mail.uid in wanted:
                parts = [f"UID {mail.uid}".encode(), *(self.item(mail, match) for match in _ITEM.finditer(" ".join(arguments[1:]).strip("()")))]
                self.say(f"* {number} FETCH (".encode() + b" ".join(part for part in parts if part) + b")")

    def item(self, mail: Mail, match: re.Match[str]) -> bytes:
        body, section, start, length, plain = match.groups()
        if plain == "FLAGS":
            return f"FLAGS ({' '.join(sorted(mail.flags))})".encode()
        if plain == "INTERNALDATE":
            return f'INTERNALDATE "{mail.arrived:%d-%b-%Y %H:%M:%S +0000}"'.encode()
        if plain == "RFC822.SIZE":
            return f"RFC822.SIZE {len(mail.content)}".encode()
        if not body:
            return b""
        if body == "BODY" and self.writable:
            mail.flags.add("\\Seen")
        content, name = mail.content, f"BODY[{section}]"
        if section:
            names = {header.lower() for header in section.partition("(")[2].strip(")").split()}
            lines = [line for line in headers_of(mail.content) if line.partition(b":")[0].decode().lower() in names]
            content = b"".join(lines) + b"\r\n"
        if start is not None:
            content, name = content[int(start) : int(start) + int(length)], f"{name}<{start}>"
        return f"{name} {{{len(content)}}}\r\n".encode() + content


def headers_of(content: bytes) -> list[bytes]:
    """Each with the lines that it goes on in."""
    return re.findall(rb"[^\r\n]+\r\n(?:[ \t][^\r\n]*\r\n)*", content.partition(b"\r\n\r\n")[0] + b"\r\n")


def keyed(keys: list[str]) -> Iterator[tuple[str, str]]:
    waiting = iter(keys)
    for key in waiting:
        if key.upper() == "CHARSET":
            next(waiting)
        else:
            yield key.upper(), "" if key.upper() in ("ALL", "UNSEEN", "FLAGGED") else next(waiting)


def fits(mail: Mail, key: str, value: str) -> bool:
    """By RFC 3501, 6.4.4."""
    if key in ("SINCE", "BEFORE"):
        day = datetime.strptime(value, "%d-%b-%Y").replace(tzinfo=UTC)
        return mail.arrived >= day if key == "SINCE" else mail.arrived < day
    if key in ("FROM", "TO", "SUBJECT"):
        return value.lower() in str(mail.message[key] or "").lower()
    if key == "TEXT":
        return value.lower() in f"{mail.message.items()} {mail.message.get_content()}".lower()
    return {"ALL": True, "UNSEEN": "\\Seen" not in mail.flags, "FLAGGED": "\\Flagged" in mail.flags}[key]
