"""For tests of the network: real servers on loopback that note what reaches them, and skills in every language that call them."""

from __future__ import annotations

import contextlib
import http.server
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from socketserver import BaseRequestHandler, StreamRequestHandler, ThreadingTCPServer

from agent.stand_ins.authority import issue

WEB, SECURE, MAIL = "web.example.com", "secure.example.com", "mail.example.com"
DECLARED = [f"{WEB}:80", f"{SECURE}:443", f"{MAIL}:143"]


@dataclass
class World:
    """The servers, by what the skill calls them; `received` is every request or line that came."""

    ports: dict[str, int] = field(default_factory=dict)
    received: list[str] = field(default_factory=list)
    authority: str = ""

    @property
    def resolve(self) -> dict[str, str]:
        return {place: f"127.0.0.1:{self.ports[place]}" for place in DECLARED}


@contextlib.contextmanager
def a_world(folder: Path) -> Iterator[World]:
    """An HTTP server, one with TLS, and one that speaks lines; each says `from` and its name."""
    world = World()
    context, authority = issue([SECURE], folder)
    world.authority = authority.decode()

    class Web(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            world.received.append(f"{self.headers['Host']} {self.path}")
            body = f"from {self.headers['Host']}".encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    class Lines(StreamRequestHandler):
        def handle(self) -> None:
            self.wfile.write(b"* OK ready\r\n")
            line = self.rfile.readline().decode().strip()
            world.received.append(line)
            self.wfile.write(f"{line.split()[0]} OK from mail\r\n".encode())

    class Encrypted(http.server.ThreadingHTTPServer):
        def finish_request(self, request: object, address: object) -> None:
            with contextlib.suppress(OSError), context.wrap_socket(request, server_side=True) as wrapped:  # type: ignore[call-overload]
                self.RequestHandlerClass(wrapped, address, self)  # type: ignore[arg-type]

    with contextlib.ExitStack() as stack:
        for place, kind, handler in zip(DECLARED, (http.server.ThreadingHTTPServer, Encrypted, ThreadingTCPServer), (Web, Web, Lines), strict=True):
            world.ports[place] = stack.enter_context(serving(kind, handler))
        yield world


@contextlib.contextmanager
def serving(kind: type[ThreadingTCPServer], handler: type[BaseRequestHandler], host: str = "127.0.0.1") -> Iterator[int]:
    server = kind((host, 0), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()


ENTRYPOINTS = {"go": "skill.go", "python": "skill.py", "bash": "skill.sh", "node": "skill.js"}
# Each calls all three and gives what they said. `AUTHORITY` is replaced by what the skill trusts beside what the sandbox says; or nothing.
PYTHON = """
import socket, ssl, urllib.request

AUTHORITY = '''{authority}'''

def execute(inputs, context):
    trust = ssl.create_default_context(cadata=AUTHORITY or None)
    web = urllib.request.urlopen("http://web.example.com/a", timeout=5).read().decode()
    secure = urllib.request.urlopen("https://secure.example.com/b", timeout=5, context=trust).read().decode()
    with socket.create_connection(("mail.example.com", 143), timeout=5) as line:
        file = line.makefile("rwb")
        greeting = file.readline()
        file.write(b"a1 LOGIN ada\\r\\n")
        file.flush()
        mail = file.readline().decode().strip()
    return {{"web": web, "secure": secure, "mail": mail}}
"""
BASH = """#!/usr/bin/env bash
set -euo pipefail
cat > /dev/null
trust=()
authority='{authority}'
if [ -n "$authority" ]; then printf '%s' "$authority" > "/tmp/ca-$$.pem"; trust=(--cacert "/tmp/ca-$$.pem"); fi
web="$(curl --silent --fail --max-time 5 http://web.example.com/a)"
secure="$(curl --silent --fail --max-time 5 "${{trust[@]}}" https://secure.example.com/b)"
exec 3<>/dev/tcp/mail.example.com/143
read -r _ <&3
printf 'a1 LOGIN ada\\r\\n' >&3
read -r mail <&3
jq --null-input --compact-output --arg web "$web" --arg secure "$secure" --arg mail "${{mail%$'\\r'}}" '{{web: $web, secure: $secure, mail: $mail}}'
"""
NODE = """'use strict';
const https = require('node:https');
const net = require('node:net');

const AUTHORITY = `{authority}`;

const secured = (url) => new Promise((resolve, reject) => {{
  https.get(url, AUTHORITY ? {{ ca: AUTHORITY }} : {{}}, (reply) => {{
    let text = '';
    reply.on('data', (piece) => {{ text += piece; }});
    reply.on('end', () => resolve(text));
  }}).on('error', reject);
}});

const mailed = () => new Promise((resolve, reject) => {{
  const line = net.connect(143, 'mail.example.com');
  let text = '';
  line.on('error', reject);
  line.on('data', (piece) => {{
    if (!text) line.write('a1 LOGIN ada\\r\\n');
    text += piece;
    const lines = text.split('\\r\\n');
    if (lines.length > 2) {{ line.destroy(); resolve(lines[1]); }}
  }});
}});

exports.execute = async () => ({{
  web: await (await fetch('http://web.example.com/a')).text(),
  secure: await secured('https://secure.example.com/b'),
  mail: await mailed(),
}});
"""
GO = """
package skill

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"
)

const authority = `{authority}`

func fetch(client *http.Client, url string) (string, error) {{
	reply, err := client.Get(url)
	if err != nil {{
		return "", err
	}}
	defer reply.Body.Close()
	body, err := io.ReadAll(reply.Body)
	return string(body), err
}}

func mailed() (string, error) {{
	line, err := net.DialTimeout("tcp", "mail.example.com:143", 5*time.Second)
	if err != nil {{
		return "", err
	}}
	defer line.Close()
	reader := bufio.NewReader(line)
	if _, err := reader.ReadString('\\n'); err != nil {{
		return "", err
	}}
	fmt.Fprint(line, "a1 LOGIN ada\\r\\n")
	said, err := reader.ReadString('\\n')
	return strings.TrimSpace(said), err
}}

// Execute asks all three.
func Execute(inputs, context map[string]any) (map[string]any, error) {{
	trust := &tls.Config{{}}
	if authority != "" {{
		trust.RootCAs = x509.NewCertPool()
		trust.RootCAs.AppendCertsFromPEM([]byte(authority))
	}}
	client := &http.Client{{Timeout: 5 * time.Second, Transport: &http.Transport{{TLSClientConfig: trust}}}}
	web, err := fetch(client, "http://web.example.com/a")
	if err != nil {{
		return nil, err
	}}
	secure, err := fetch(client, "https://secure.example.com/b")
	if err != nil {{
		return nil, err
	}}
	mail, err := mailed()
	return map[string]any{{"web": web, "secure": secure, "mail": mail}}, err
}}
"""
CALLERS = {"go": GO, "python": PYTHON, "bash": BASH, "node": NODE}
ANSWERS = {"web": "from web.example.com", "secure": "from secure.example.com", "mail": "a1 OK from mail"}
