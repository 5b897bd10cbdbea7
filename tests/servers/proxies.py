"""A real nginx or Caddy in front of a receiver, each with the very file of `config/`."""

import http.client
import json
import os
import pwd
import shutil
import socket
import ssl
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from email.message import Message
from pathlib import Path
from typing import Any, BinaryIO

from tests.servers.processes import CALLBACK_TOKEN, ROOT, eventually, free_port

HOST = "receiver.example.org"
CALLBACKS = f"/callbacks/{CALLBACK_TOKEN}"

# As Debian's own nginx.conf, only that it logs all it can.
NGINX = """
daemon off;
user {user};
pid nginx.pid;
error_log error.log info;
worker_processes 2;
events {{}}
http {{
    access_log access.log;
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    gzip on;
    include receiver.conf;
}}
"""


@dataclass(frozen=True, kw_only=True)
class Response:
    status: int
    headers: Message
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def is_problem(self) -> bool:
        kind = self.headers["Content-Type"] == "application/problem+json"
        return kind and self.json["status"] == self.status and bool(self.json["title"])


@dataclass(frozen=True, kw_only=True)
class Proxy:
    """A running proxy, its own files in `folder`."""

    folder: Path
    port: int = field(default_factory=free_port)
    plain_port: int = field(default_factory=free_port)

    @property
    def url(self) -> str:
        return f"https://{HOST}:{self.port}"

    @property
    def certificate(self) -> Path:
        return self.folder / "cert.pem"

    @property
    def key(self) -> Path:
        return self.folder / "key.pem"

    def connect(self, *, source: str = "127.0.0.1", alpn: str = "http/1.1") -> ssl.SSLSocket:
        """A TLS connection from an address of this machine, to be closed by the caller."""
        context = ssl.create_default_context(cafile=str(self.certificate))
        context.set_alpn_protocols([alpn])
        plain = socket.create_connection(("127.0.0.1", self.port), timeout=20, source_address=(source, 0))
        return context.wrap_socket(plain, server_hostname=HOST)

    def send(self, *raw: bytes, responses: int = 1, source: str = "127.0.0.1") -> list[Response]:
        """Send these bytes as they are on one connection; the responses to them."""
        with self.connect(source=source) as connection, connection.makefile("rb") as stream:
            for part in raw:
                connection.sendall(part)
            return [read_response(stream) for _ in range(responses)]

    def send_and_go(self, raw: bytes) -> None:
        """Send these bytes and no more, and wait until the proxy has given up."""
        with self.connect() as connection:
            connection.sendall(raw)
            connection.shutdown(socket.SHUT_WR)
            while connection.recv(4096):
                pass

    def send_plainly(self, raw: bytes) -> Response:
        with socket.create_connection(("127.0.0.1", self.plain_port), timeout=20) as connection:
            connection.sendall(raw)
            with connection.makefile("rb") as stream:
                return read_response(stream)

    @contextmanager
    def slow_clients(self, number: int) -> Iterator[list[ssl.SSLSocket]]:
        """So many that never finish their header, and so many that never finish their body; the latter."""
        with ExitStack() as stack:
            slow = [stack.enter_context(self.connect()) for _ in range(2 * number)]
            for connection in slow[:number]:
                connection.sendall(request("POST", CALLBACKS, callback("slow"))[:60])
            for connection in slow[number:]:
                connection.sendall(request("POST", CALLBACKS, callback("slow"))[:-1])
            yield slow[number:]


def read_response(stream: BinaryIO) -> Response:
    line = stream.readline()
    while line.split()[1:2] == [b"100"]:
        http.client.parse_headers(stream)
        line = stream.readline()
    assert line, "closed without a response"
    headers = http.client.parse_headers(stream)
    return Response(
        status=int(line.split()[1]), headers=headers, body=stream.read(int(headers.get("Content-Length", 0)))
    )


def callback(task_id: str, *, size: int = 0) -> bytes:
    """A whole callback, filled up to `size` bytes."""
    rows = [{"id": "a", "audio_url": "https://example.org/a.mp3"}]
    payload = {"code": 200, "data": {"callbackType": "complete", "task_id": task_id, "data": rows}}
    return json.dumps(payload).encode().ljust(size)


def request(
    method: str,
    path: str,
    body: bytes = b"",
    headers: Mapping[str, str] | None = None,
    *,
    version: str = "1.1",
) -> bytes:
    all_headers = {"Host": HOST, "Content-Length": str(len(body))} | dict(headers or {})
    head = [
        f"{method} {path} HTTP/{version}",
        *(f"{name}: {value}" for name, value in all_headers.items() if value),
    ]
    return "\r\n".join([*head, "", ""]).encode() + body


def nginx_program() -> str | None:
    return shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin")


@contextmanager
def nginx_before(folder: Path, receiver: str, *, second: str | None = None) -> Iterator[Proxy]:
    """A real nginx in front of the receiver at that host and port, and of a second machine's."""
    program = nginx_program()
    assert program, "nginx is not installed"
    folder.mkdir()
    proxy = Proxy(folder=folder)
    _make_certificate(proxy)
    changes = {
        "listen 443 ssl": f"listen 127.0.0.1:{proxy.port} ssl",
        "listen 80;": f"listen 127.0.0.1:{proxy.plain_port};",
        "listen [::]:443 ssl http2;": "",  # not every machine of a CI has IPv6
        "listen [::]:80;": "",
        f"/etc/letsencrypt/live/{HOST}/fullchain.pem": str(proxy.certificate),
        f"/etc/letsencrypt/live/{HOST}/privkey.pem": str(proxy.key),
        "/var/log/nginx/": f"{folder}/",
        "server 127.0.0.1:8000": f"server {receiver}",
    }
    if second:
        changes["# server 10.0.0.12:8000"] = f"server {second}"
    (folder / "receiver.conf").write_text(_changed("nginx.conf", changes))
    (folder / "nginx.conf").write_text(NGINX.format(user=pwd.getpwuid(os.getuid()).pw_name))
    command = [program, "-p", str(folder), "-c", "nginx.conf", "-e", "start.log"]
    with _running(proxy, command):
        yield proxy


@contextmanager
def caddy_before(folder: Path, receiver_port: int) -> Iterator[Proxy]:
    program = shutil.which("caddy")
    assert program, "Caddy is not installed"
    folder.mkdir()
    proxy = Proxy(folder=folder)
    _make_certificate(proxy)
    ports = f"http_port {proxy.plain_port}\n\thttps_port {proxy.port}"
    site = f"\n{{$SITE:{HOST}}} {{\n"
    changes = {
        "\n{\n": f"\n{{\n\tadmin off\n\tauto_https disable_redirects\n\t{ports}\n",
        site: f"{site}\ttls {proxy.certificate} {proxy.key}\n",
        "127.0.0.1:8000": f"127.0.0.1:{receiver_port}",
    }
    version = subprocess.run([program, "version"], check=True, capture_output=True, text=True).stdout
    if version.lstrip("v").startswith("2.6.2"):
        changes["request_buffers 1MB"] = "buffer_requests"
    (folder / "Caddyfile").write_text(_changed("Caddyfile", changes))
    with _running(proxy, [program, "run", "--config", "Caddyfile"]):
        yield proxy


def _changed(name: str, changes: Mapping[str, str]) -> str:
    """The file as an operator has it once he has changed what it asks him to."""
    text = (ROOT / "config" / name).read_text()
    for was, now in changes.items():
        assert was in text, f"config/{name} no longer has {was!r}"
        text = text.replace(was, now)
    return text


def _make_certificate(proxy: Proxy) -> None:
    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", str(proxy.key)]
    name = ["-subj", f"/CN={HOST}", "-addext", f"subjectAltName=DNS:{HOST}", "-days", "2"]
    subprocess.run(
        ["openssl", "req", "-x509", *key, *name, "-out", str(proxy.certificate)],
        check=True,
        capture_output=True,
    )


@contextmanager
def _running(proxy: Proxy, command: list[str]) -> Iterator[None]:
    with (proxy.folder / "output.log").open("wb") as output:
        process = subprocess.Popen(
            command,
            cwd=proxy.folder,
            stdout=output,
            stderr=output,
            env=os.environ | {"HOME": str(proxy.folder), "XDG_DATA_HOME": "", "XDG_CONFIG_HOME": ""},
        )

    def listens() -> bool:
        assert process.poll() is None, (proxy.folder / "output.log").read_text()
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", proxy.port)) == 0

    try:
        eventually(listens, why="the proxy starts")
        yield
    finally:
        process.terminate()
        process.wait(timeout=20)
