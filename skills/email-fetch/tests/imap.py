"""A scripted IMAP server on loopback, without TLS: it answers a command as a table says, and keeps what it was told."""

import contextlib
import re
import socket
import threading

CAPABILITIES = "* CAPABILITY IMAP4rev1\n{tag} OK done"
PLAIN = {
    r"CAPABILITY": CAPABILITIES,
    r"LOGIN ada \"s3cret\"": "{tag} OK in",
    r"LOGIN .*": "{tag} NO [AUTHENTICATIONFAILED] no",
    r"EXAMINE \"?INBOX\"?": "* 3 EXISTS\n{tag} OK [READ-ONLY] open",
    r"EXAMINE .*": "{tag} NO no such mailbox",
    r"LOGOUT": "* BYE bye\n{tag} OK done",
}


@contextlib.contextmanager
def imap(**answers):
    """Gives the port and the commands that came, without their tags. `answers`: by the name of the command, before those of PLAIN."""
    told = []
    table = {name.replace("_", " "): answer for name, answer in answers.items()} | PLAIN
    server = socket.create_server(("127.0.0.1", 0))

    def serve(connection):
        with connection, connection.makefile("rwb") as file:
            say(file, "* OK ready")
            while line := file.readline():
                command = line.decode()
                while literal := re.search(r"\{(\d+)\}\r\n$", command):
                    say(file, "+ go on")
                    command = (
                        command[: literal.start()] + file.read(int(literal[1])).decode() + file.readline().decode()
                    )
                tag, _, rest = command.strip().partition(" ")
                told.append(rest)
                answer = next((answer for name, answer in table.items() if re.match(name, rest)), "{tag} BAD what?")
                if answer is None:
                    return
                say(file, answer.replace("{tag}", tag))

    def accept():
        with contextlib.suppress(OSError):
            while True:
                serve(server.accept()[0])

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    try:
        yield server.getsockname()[1], told
    finally:
        server.shutdown(socket.SHUT_RDWR)
        server.close()
        thread.join(5)


def say(file, text):
    with contextlib.suppress(OSError):
        file.write("".join(f"{line}\r\n" for line in text.split("\n")).encode())
        file.flush()


def fetched(number, uid, *, flags="", size=100, name="BODY[]", text=None):
    """One line of a reply to FETCH, with a literal where there is a text."""
    head = f'* {number} FETCH (UID {uid} FLAGS ({flags}) INTERNALDATE "03-Apr-2025 12:30:05 +0000" RFC822.SIZE {size}'
    if text is None:
        return f"{head})"
    crlf = text.replace("\n", "\r\n")
    return f"{head} {name} {{{len(crlf.encode())}}}\n{text})"
