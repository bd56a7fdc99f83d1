"""A message that nobody takes is told to a server over TLS and to a mail server, both independent of the node.

    python escalated.py target/ci/quickpe

Whose certificate the node does not trust is told nothing, and neither is a mail server that does not know its password.
"""

import asyncio
import hashlib
import hmac
import http.server
import json
import logging
import os
import queue
import ssl
import subprocess
import sys
import tempfile
import threading
import time

import trustme
from aiosmtpd.smtp import SMTP, AuthResult

from wallet import follow, frames_until, request, sign_up

SECRET = "a secret that is long enough for this"
PASSWORD = "the node's word"
PATIENCE = 30


class Hook(http.server.BaseHTTPRequestHandler):
    """Keeps what is posted."""

    posts = queue.Queue()

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.posts.put((self.path, self.headers, body))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_):
        pass


class Mails:
    """Keeps what is mailed."""

    def __init__(self):
        self.mails = queue.Queue()

    async def handle_DATA(self, _server, session, envelope):
        assert session.ssl is not None, "a mail in the clear"
        self.mails.put((envelope.mail_from, envelope.rcpt_tos, envelope.content.decode()))
        return "250 taken"


def authenticate(_server, _session, _envelope, _mechanism, data):
    is_known = data.login == b"quickpe" and data.password == PASSWORD.encode()
    return AuthResult(success=is_known, handled=is_known, auth_data=data)


def mail_server(handler, tls):
    """A mail server that wants TLS and a password; answers its port."""
    loop = asyncio.new_event_loop()

    def connected():
        return SMTP(
            handler, loop=loop, tls_context=tls, require_starttls=True, authenticator=authenticate, auth_required=True
        )

    server = loop.run_until_complete(loop.create_server(connected, "127.0.0.1", 0))
    threading.Thread(target=loop.run_forever, daemon=True).start()
    return server.sockets[0].getsockname()[1]


def is_genuine(header, body):
    """As docs/howto/escalation.md has it."""
    parts = dict(part.split("=", 1) for part in header.split(","))
    made = hmac.new(SECRET.encode(), parts["t"].encode() + b"." + body, hashlib.sha256).hexdigest()
    return hmac.compare_digest(made, parts["v1"]) and abs(time.time() - int(parts["t"])) <= 300


class Node:
    """A node whose people have a second to take a message."""

    def __init__(self, quickpe, hook_port, mail_port, **changes):
        self.quickpe, self.folder = quickpe, tempfile.TemporaryDirectory()
        settings = {
            "DELIVERY__MONEY__DEADLINE_MS": "1000",
            "ESCALATION__WEBHOOK__URL": f"https://localhost:{hook_port}/hook?source=wallet",
            "ESCALATION__WEBHOOK__SECRET": SECRET,
            "ESCALATION__WEBHOOK__ALLOW_PRIVATE": "true",
            "ESCALATION__WEBHOOK__ATTEMPTS": "2",
            "ESCALATION__WEBHOOK__BACKOFF_MS": "50",
            "ESCALATION__MAIL__TRANSPORT": "smtp",
            "ESCALATION__MAIL__HOST": "localhost",
            "ESCALATION__MAIL__PORT": str(mail_port),
            "ESCALATION__MAIL__TLS": "starttls",
            "ESCALATION__MAIL__USER": "quickpe",
            "ESCALATION__MAIL__PASSWORD": PASSWORD,
            "ESCALATION__MAIL__ATTEMPTS": "2",
            "ESCALATION__MAIL__BACKOFF_MS": "50",
        }
        environment = {f"QUICKPE_{name}": value for name, value in settings.items()}
        log = open(os.path.join(self.folder.name, "log"), "w")
        command = [quickpe, "--listen", "127.0.0.1:0", "--data", self.folder.name]
        self.process = subprocess.Popen(
            command, env=os.environ | environment | changes, stdout=subprocess.PIPE, stderr=log, text=True
        )
        self.url = next(line for line in self.process.stdout if "listening on" in line).split()[-1]

    def admin(self):
        """An administrator's token."""
        admin = sign_up(self.url, "admin")
        email = admin["user"]["email"]
        subprocess.run([self.quickpe, "admin", "--data", self.folder.name, "grant", email, "admin"], check=True)
        signed = request(self.url, "POST", "/api/v1/auth/signin", {"email": email, "password": "correct horse"})
        return signed[1]["token"]

    def __enter__(self):
        return self

    def __exit__(self, kind, _value, _trace):
        self.process.terminate()
        ended = self.process.wait(PATIENCE)
        self.folder.cleanup()
        assert kind or ended == 0, ended


async def owed(url):
    """A person whose device was there, went away, and was paid since."""
    person = sign_up(url, "ravi")

    def deposit(key):
        request(url, "POST", "/api/v1/account/deposit", {"amount": 10}, person["token"], key)

    phone, _, _ = await follow(url, person["token"], "phone")
    deposit("heard-of")
    heard = (await frames_until(phone, lambda frame: frame.get("event") == "transaction:new"))[-1]
    await phone.send(json.dumps({"type": "ack", "stream": "account", "upto": heard["offset"]}))
    await phone.send(json.dumps({"type": "ping", "id": "after the ack"}))
    await frames_until(phone, lambda frame: frame["type"] == "pong")
    await phone.close()
    deposit("not-heard-of")
    return person, heard["offset"] + 1


def letters(node, person, token, count):
    """Dead letters of escalations to this person, once there are so many."""
    path = f"/api/v1/admin/dead-letters?user={person['user']['id']}&reason=escalation"
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        found = request(node.url, "GET", path, token=token)[1]["items"]
        if len(found) == count:
            return found
        time.sleep(0.1)
    raise AssertionError(f"{found} instead of {count} dead letters")


def told(node, mails):
    person, offset = asyncio.run(owed(node.url))
    path, headers, body = Hook.posts.get(timeout=PATIENCE)
    said = json.loads(body)
    assert path == "/hook?source=wallet", path
    assert is_genuine(headers["QuickPe-Signature"], body), headers
    assert headers["QuickPe-Escalation"] == said["id"], headers
    assert (said["userId"], said["class"]) == (person["user"]["id"], "money"), said
    assert said["offsets"] == {"from": offset, "to": offset}, said
    sender, receivers, mail = mails.get(timeout=PATIENCE)
    assert sender == "no-reply@quickpe.invalid", sender
    assert receivers == [person["user"]["email"]], receivers
    assert said["id"] in mail and "Subject: Messages wait for you" in mail, mail


def refused(node, mails):
    admin = node.admin()
    person, _ = asyncio.run(owed(node.url))
    found = letters(node, person, admin, 2)
    said = " ".join(letter["message"] for letter in found)
    assert "sink=webhook" in said and "sink=mail" in said, said
    assert all(letter["attempts"] <= 2 for letter in found), found
    assert Hook.posts.empty() and mails.empty(), "something was told"


def main(quickpe):
    # Handshakes that fail are the point of it.
    logging.getLogger("mail").setLevel(logging.CRITICAL)
    authority, folder = trustme.CA(), tempfile.TemporaryDirectory()
    trusted = os.path.join(folder.name, "authority.pem")
    authority.cert_pem.write_to_path(trusted)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(tls)
    hook = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hook)
    hook.socket = tls.wrap_socket(hook.socket, server_side=True)
    threading.Thread(target=hook.serve_forever, daemon=True).start()
    handler = Mails()
    ports = hook.server_port, mail_server(handler, tls)

    with Node(quickpe, *ports, SSL_CERT_FILE=trusted) as node:
        told(node, handler.mails)
    # A password that is wrong, and a port at which nobody listens.
    with Node(quickpe, 1, ports[1], SSL_CERT_FILE=trusted, QUICKPE_ESCALATION__MAIL__PASSWORD="another") as node:
        refused(node, handler.mails)
    # The system's authorities know nothing of this one.
    with Node(quickpe, *ports) as node:
        refused(node, handler.mails)
    print("an escalation was posted over TLS and mailed; who is not trusted was told nothing")


if __name__ == "__main__":
    main(sys.argv[1])
