"""Entry points of the Traefik stand-in: HTTP, and HTTPS on the same port, handed on to the servers of a route."""

from __future__ import annotations

import http.client
import socket
import ssl
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler

from routing import Dynamic, Router
from shared import Answer, Listener, fail, log, reason

HOP = {
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "te",
    "trailers",
    "transfer-encoding",
    "upgrade",
}
# Believed from nobody: the servers see one hop, ours.
FORWARDED = {
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-proto",
    "x-forwarded-port",
    "x-forwarded-server",
    "x-real-ip",
}


def entry_point(
    name: str,
    host: str,
    port: int,
    tls_only: bool,
    routers: Callable[[], list[Router]],
    dynamic: Dynamic,
    ping: Callable[[str], Answer | None] | None,
) -> Listener:
    """A server for one entry point, listening but not yet serving."""

    class Http(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = 180

        def setup(self) -> None:
            self.tls = self.request.recv(1, socket.MSG_PEEK)[:1] == b"\x16"
            if self.tls:
                server = dynamic.certificate(None)

                def choose(connection: ssl.SSLObject, wanted: str | None, _context: ssl.SSLContext) -> None:
                    connection.context = dynamic.certificate(wanted)

                server.sni_callback = choose
                self.request = server.wrap_socket(self.request, server_side=True)
            super().setup()

        def proxy(self) -> None:
            path = self.path.partition("?")[0]
            if ping is not None and (answer := ping(path)) is not None:
                return self.send(answer)
            wanted = (self.headers.get("Host") or "").rsplit(":", 1)[0].lower()
            found = next((router for router in routers() if self.serves(router) and router.matches(wanted, path)), None)
            if found is None:
                return self.send(Answer("404 page not found\n", 404))
            for middleware in found.middlewares:
                if (answer := middleware(self.client_address[0], wanted, self.path, self.tls)) is not None:
                    return self.send(answer)
            if (server := found.server()) is None:
                return self.send(Answer("no available server\n", 503))
            self.forward(found, *server)

        def serves(self, router: Router) -> bool:
            """Whether a route belongs to this entry point and kind of connection."""
            if router.entry_points and name not in router.entry_points:
                return False
            return self.tls == (router.tls or tls_only)

        def forward(self, router: Router, scheme: str, address: str, number: int) -> None:
            headers = {key: value for key, value in self.headers.items() if key.lower() not in HOP | FORWARDED}
            original = self.headers.get("Host", "")
            headers["Host"] = original if router.pass_host else address
            headers |= {
                "X-Forwarded-For": self.client_address[0],
                "X-Real-Ip": self.client_address[0],
                "X-Forwarded-Host": original,
                "X-Forwarded-Proto": "https" if self.tls else "http",
                "X-Forwarded-Port": str(port),
            }
            kind = http.client.HTTPSConnection if scheme == "https" else http.client.HTTPConnection
            upstream = kind(address, number, timeout=120)
            try:
                upstream.request(self.command, self.path, self.body(), headers)
                answer = upstream.getresponse()
                content = answer.read()
            except (OSError, http.client.HTTPException) as error:
                log(f"{address}:{number}: {reason(error)}", "ERROR")
                return self.send(Answer("Bad Gateway", 502))
            finally:
                upstream.close()
            self.send_response_only(answer.status, answer.reason)
            for key, value in answer.getheaders():
                if key.lower() not in HOP | {"content-length"}:
                    self.send_header(key, value)
            length = answer.getheader("Content-Length") if self.command == "HEAD" else str(len(content))
            if length is not None and answer.status not in (204, 304):
                self.send_header("Content-Length", length)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(content)

        def body(self) -> bytes | None:
            """The request's body, of known length or in chunks."""
            if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
                content = b""
                while size := int(self.rfile.readline().split(b";")[0], 16):
                    content += self.rfile.read(size)
                    self.rfile.readline()
                while self.rfile.readline().strip():
                    pass
                return content
            length = int(self.headers.get("Content-Length") or 0)
            return self.rfile.read(length) if length else None

        def send(self, answer: Answer) -> None:
            content = answer.body.encode()
            self.send_response_only(answer.status)
            self.close_connection = True
            headers = {"Content-Type": "text/plain; charset=utf-8", "Connection": "close"} | answer.headers
            for key, value in (headers | {"Content-Length": str(len(content))}).items():
                self.send_header(key, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(content)

        do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = proxy

        def log_message(self, *_arguments: object) -> None:
            """The access log is off unless asked for."""

    class Server(Listener):
        def handle_error(self, _request: object, client_address: object) -> None:
            """A connection that broke is the client's affair."""

    try:
        return Server((host, port), Http)
    except OSError as error:
        fail(f"entry point {name}: cannot listen on {host}:{port}: {reason(error)}")
