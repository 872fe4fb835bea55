"""What all stand-ins share: logging, stopping, connections, and health that is asked for, not assumed."""

from __future__ import annotations

import json
import os
import signal
import socket
import socketserver
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NoReturn
from urllib.parse import parse_qs, urlsplit

import psycopg2
import psycopg2.extensions

# How long a program without a health path of its own lets its dependencies be away before it gives up with exit code 1,
# so that a wrong address is seen as a restarting container.
PATIENCE = 30.0


def log(message: str, level: str = "INFO", **fields: object) -> None:
    """One JSON object a line on stderr, as the real programs log."""
    record = {"time": datetime.now(UTC).isoformat(timespec="milliseconds"), "level": level, "message": message}
    print(json.dumps(record | fields, default=str), file=sys.stderr, flush=True)


def fail(message: str) -> NoReturn:
    """Ends the program with exit code 1 and its reason."""
    log(message, "ERROR")
    sys.exit(1)


class Problem(Exception):
    """Something does not work; the text says what, in words for the operator."""


def env(name: str, default: Any = None, convert: Callable[[str], Any] = str) -> Any:
    """The variable `name`, or the content of the file that `name`_FILE names (which wins, as in the real programs)."""
    value = os.environ.get(name)
    file = os.environ.get(name + "_FILE")
    if file is not None:
        try:
            with open(file, encoding="utf-8") as content:
                value = content.read().strip()
        except OSError as error:
            fail(f"{name}_FILE: {error}")
    if value is None:
        return default
    try:
        return convert(value)
    except ValueError:
        # The trap of service links: ACOUSTID_INDEX_PORT=tcp://10.96.0.7:6080. No value in the message: it may be a secret.
        fail(f"{name} is not a valid {convert.__name__}")


def truth(text: str) -> bool:
    """A switch as the real programs read it."""
    return text.strip().lower() in ("1", "on", "true", "yes")


class Stop:
    """Becomes true at SIGTERM or SIGINT; a second signal ends the process at once."""

    def __init__(self) -> None:
        self.event = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._signal)

    def _signal(self, number: int, _frame: object) -> None:
        if self.event.is_set():
            os._exit(128 + number)
        log(f"{signal.Signals(number).name}: stopping")
        self.event.set()

    def wait(self, seconds: float | None = None) -> bool:
        """Sleeps; true if it is time to stop."""
        return self.event.wait(seconds)

    def __bool__(self) -> bool:
        return self.event.is_set()


@dataclass
class Database:
    """One PostgreSQL database and where it is."""

    host: str = "localhost"
    port: int = 5432
    user: str = "acoustid"
    password: str = field(default="", repr=False)
    name: str = "acoustid"

    def __str__(self) -> str:
        return f"{self.user}@{self.host}:{self.port}/{self.name}"

    def connect(self, autocommit: bool = True) -> psycopg2.extensions.connection:
        """A new connection."""
        try:
            connection = psycopg2.connect(
                host=self.host,
                port=self.port,
                user=self.user,
                password=self.password,
                dbname=self.name,
                connect_timeout=3,
                options="-c statement_timeout=60s",
                keepalives_idle=5,
                keepalives_interval=2,
                keepalives_count=2,
                tcp_user_timeout=5000,
            )
        except psycopg2.Error as error:
            raise Problem(f"database {self}: {reason(error)}") from error
        connection.autocommit = autocommit
        return connection


class Pool:
    """Connections to one database, at most `size` at a time, each used by one thread at a time."""

    def __init__(self, database: Database, size: int = 20, timeout: float = 2.0) -> None:
        self.database = database
        self.timeout = timeout
        self.slots = threading.Semaphore(max(size, 1))
        self.idle: list[psycopg2.extensions.connection] = []

    @contextmanager
    def cursor(self) -> Iterator[psycopg2.extensions.cursor]:
        """A cursor in a transaction of its own; committed at the end, rolled back on any error."""
        if not self.slots.acquire(timeout=self.timeout):
            raise Problem(f"database {self.database}: no free connection within {self.timeout} s")
        try:
            try:
                connection = self.idle.pop()
            except IndexError:
                connection = self.database.connect(autocommit=False)
            try:
                with connection, connection.cursor() as cursor:
                    yield cursor
            except psycopg2.Error as error:
                connection.close()
                if isinstance(error, (psycopg2.OperationalError, psycopg2.InterfaceError)):
                    # The server went away: the other connections are dead too.
                    self.idle.clear()
                raise Problem(f"database {self.database}: {reason(error)}") from error
            except BaseException:
                connection.close()
                raise
            self.idle.append(connection)
        finally:
            self.slots.release()

    def value(self, query: str, parameters: tuple = ()) -> Any:
        """The first column of the first row; None without a row."""
        with self.cursor() as cursor:
            cursor.execute(query, parameters)
            row = cursor.fetchone()
        return row[0] if row else None


def reason(error: BaseException) -> str:
    """An error's own words in one line."""
    return " ".join(str(error).split()) or type(error).__name__


class Index:
    """A client of the legacy index: one line a request, answered by `OK …` or `ERR …`."""

    def __init__(self, host: str, port: int) -> None:
        self.host, self.port = host, port

    @contextmanager
    def session(self) -> Iterator[Callable[[str], str]]:
        """A connection, as a function from request to answer."""
        try:
            with socket.create_connection((self.host, self.port), timeout=10) as connection:
                lines = connection.makefile("r", encoding="ascii", newline="\r\n")

                def request(line: str) -> str:
                    connection.sendall(line.encode("ascii") + b"\r\n")
                    answer = lines.readline().rstrip("\r\n")
                    if answer != "OK" and not answer.startswith("OK "):
                        raise Problem(f"index {self.host}:{self.port}: {answer or 'closed the connection'}")
                    return answer[3:]

                yield request
        except OSError as error:
            raise Problem(f"index {self.host}:{self.port}: {reason(error)}") from error

    def ping(self) -> None:
        """Asks for an answer."""
        with self.session() as request:
            request("echo")

    def search(self, query: list[int]) -> list[tuple[int, int]]:
        """Fingerprint ids with scores, best first."""
        if not query:
            return []
        with self.session() as request:
            answer = request("search " + ",".join(map(str, query)))
        return [(int(id), int(score)) for id, score in (pair.split(":") for pair in answer.split())]


class Checks:
    """Asks every dependency again and again in the background; a health path then answers at once, from what is true."""

    def __init__(self, stop: Stop, checks: dict[str, Callable[[], object]], interval: float = 2.0) -> None:
        self.stop, self.checks, self.interval = stop, checks, interval
        self.problems: dict[str, str] = {name: "not asked yet" for name in checks}
        threading.Thread(target=self._run, daemon=True).start()

    def _ask(self, name: str, check: Callable[[], object]) -> None:
        try:
            check()
            problem = None
        except Exception as error:  # noqa: BLE001 - whatever it is, it is the reason
            problem = reason(error)
        before = self.problems.get(name)
        if problem is None:
            if self.problems.pop(name, None) is not None:
                log(f"{name}: works")
        else:
            self.problems[name] = problem
            if problem != before:
                log(f"{name}: {problem}", "WARNING")

    def _run(self) -> None:
        while not self.stop:
            for name, check in self.checks.items():
                self._ask(name, check)
            self.stop.wait(0.5 if self.problems else self.interval)

    def problem(self) -> str | None:
        """What does not work, or None."""
        problems = dict(self.problems)
        return "; ".join(f"{name}: {text}" for name, text in problems.items()) or None

    def wait(self) -> None:
        """Returns when everything works; ends the program after `PATIENCE` seconds, or when it is told to stop."""
        deadline = time.monotonic() + PATIENCE
        while (problem := self.problem()) is not None:
            if self.stop.wait(0.2):
                sys.exit(0)
            if time.monotonic() > deadline:
                fail(problem)

    def guard(self) -> None:
        """Ends the program once something has not worked for `PATIENCE` seconds. For a thread of its own."""
        since = time.monotonic()
        while not self.stop.wait(1):
            problem = self.problem()
            if problem is None:
                since = time.monotonic()
            elif time.monotonic() - since > PATIENCE:
                log(problem, "ERROR")
                os._exit(1)

    def keep(self) -> None:
        """Waits until everything works, then watches over it."""
        self.wait()
        threading.Thread(target=self.guard, daemon=True).start()


@dataclass
class Request:
    """What a handler is given."""

    method: str
    path: str
    query: dict[str, str]
    body: bytes
    headers: Any
    client: str


@dataclass
class Answer:
    """What a handler gives back: a text, or anything that becomes JSON."""

    body: Any
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)


Handler = Callable[[Request], Answer]


def healthy(problem: str | None) -> Answer:
    """The answer of a health path."""
    return Answer("OK\n") if problem is None else Answer(problem + "\n", 503)


class Listener(ThreadingHTTPServer):
    """An HTTP server with a thread a connection."""

    daemon_threads = True
    request_queue_size = 256

    def server_bind(self) -> None:
        """Without the base class's look-up of the own name, which a closed network would make wait."""
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), self.server_address[1]


def web_server(host: str, port: int, handle: Handler, body_limit: int = 1 << 20) -> Listener:
    """An HTTP server around one handler, listening but not yet serving."""

    class Http(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = 90

        def answer(self) -> None:
            url = urlsplit(self.path)
            length = int(self.headers.get("Content-Length") or 0)
            if length > body_limit:
                self.close_connection = True
                return self.send(Answer("the body is too large\n", 413))
            query = {key: values[-1] for key, values in parse_qs(url.query, keep_blank_values=True).items()}
            request = Request(
                self.command, url.path, query, self.rfile.read(length), self.headers, self.client_address[0]
            )
            try:
                answer = handle(request)
            except Problem as problem:
                log(str(problem), "ERROR", path=url.path)
                answer = Answer(f"{problem}\n", 503)
            except Exception as error:  # noqa: BLE001 - a server goes on
                log(f"{type(error).__name__}: {reason(error)}", "ERROR", path=url.path)
                answer = Answer("internal error\n", 500)
            self.send(answer)

        def send(self, answer: Answer) -> None:
            text = isinstance(answer.body, str)
            body = (
                answer.body.encode()
                if text
                else answer.body
                if isinstance(answer.body, bytes)
                else json.dumps(answer.body).encode()
            )
            self.send_response(answer.status)
            headers = {"Content-Type": "text/plain; charset=utf-8" if text else "application/json"} | answer.headers
            for name, value in (headers | {"Content-Length": str(len(body))}).items():
                self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = do_OPTIONS = answer

        def log_message(self, *_arguments: object) -> None:
            """Requests are not logged: the probes alone would fill the log."""

    try:
        return Listener((host, port), Http)
    except OSError as error:
        fail(f"cannot listen on {host}:{port}: {reason(error)}")


def start(server: Listener, what: str) -> None:
    """Serves in a thread of its own."""
    log(f"{what} listens on {server.server_name}:{server.server_port}")
    threading.Thread(target=server.serve_forever, daemon=True).start()
