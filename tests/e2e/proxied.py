"""What the tests send to a proxy before the receiver."""

from tests.servers.proxies import request

CLOSED = [
    "/",
    "/readyz",
    "/metrics",
    "/callbacks/",
    "/callback/x",
    "/static/admin.css",
    "/.env",
    "/healthz/x",
]
FORGED = {
    "X-Forwarded-For": "6.6.6.6",
    "X-Forwarded-Proto": "http",
    "X-Forwarded-Host": "evil.example",
    "X-Forwarded-Port": "1",
    "X-Forwarded-Prefix": "/evil",
    "X_Forwarded_For": "6.6.6.6",
    "X-Real-IP": "6.6.6.6",
    "Forwarded": "for=6.6.6.6;host=evil.example;proto=http",
}


def in_chunks(path: str, body: bytes) -> bytes:
    head = request("POST", path, headers={"Content-Length": "", "Transfer-Encoding": "chunked"})
    return b"%s%x\r\n%s\r\n%x\r\n%s\r\n0\r\n\r\n" % (head, 5, body[:5], len(body) - 5, body[5:])
