"""`aserver fpstore server` and `gateway`: search in front of the fingerprint database, a Redis cache and the index.

The real server speaks gRPC on 4659; this one speaks a JSON object a line there, to the gateway only. The gateway's HTTP
interface is the one that the API's client uses. Neither has a health path, only a port to connect to: so the port is open
only while everything behind it answers.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import socket
import socketserver
import threading

import redis

from shared import Answer, Checks, Database, Index, Pool, Problem, Request, Stop, log, reason, start, web_server

SERVER_OPTIONS = [
    ("listen-host", "FPSTORE_LISTEN_HOST", "localhost"),
    ("listen-port", "FPSTORE_LISTEN_PORT", 4659),
    ("metrics-listen-host", "FPSTORE_METRICS_LISTEN_HOST", "localhost"),
    ("metrics-listen-port", "FPSTORE_METRICS_LISTEN_PORT", 14659),
    ("postgres-host", "FPSTORE_POSTGRES_HOST", "localhost"),
    ("postgres-port", "FPSTORE_POSTGRES_PORT", 5432),
    ("postgres-user", "FPSTORE_POSTGRES_USER", "acoustid"),
    ("postgres-password", "FPSTORE_POSTGRES_PASSWORD", ""),
    ("postgres-database", "FPSTORE_POSTGRES_DATABASE", "acoustid"),
    ("redis-host", "FPSTORE_REDIS_HOST", "localhost"),
    ("redis-port", "FPSTORE_REDIS_PORT", 6379),
    ("redis-password", "FPSTORE_REDIS_PASSWORD", ""),
    ("redis-database", "FPSTORE_REDIS_DATABASE", 0),
    ("index-host", "FPSTORE_INDEX_HOST", "localhost"),
    ("index-port", "FPSTORE_INDEX_PORT", 6080),
]

GATEWAY_OPTIONS = [
    ("listen-host", "FPSTORE_GATEWAY_LISTEN_HOST", "localhost"),
    ("listen-port", "FPSTORE_GATEWAY_LISTEN_PORT", 8080),
    ("server-host", "FPSTORE_GATEWAY_SERVER_HOST", "localhost"),
    ("server-port", "FPSTORE_GATEWAY_SERVER_PORT", 4659),
]


class Store:
    """Search over its three dependencies."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.pool = Pool(
            Database(
                options.postgres_host,
                options.postgres_port,
                options.postgres_user,
                options.postgres_password,
                options.postgres_database,
            )
        )
        self.redis = redis.Redis(
            options.redis_host,
            options.redis_port,
            options.redis_database,
            options.redis_password or None,
            socket_timeout=5,
            socket_connect_timeout=2,
        )
        self.index = Index(options.index_host, options.index_port)
        self.searches = 0

    def checks(self, stop: Stop) -> Checks:
        """All three, including the table that is searched."""
        return Checks(
            stop,
            {
                "database": lambda: self.pool.value("select 1 from fingerprint limit 1"),
                "redis": self.redis.ping,
                "index": self.index.ping,
            },
        )

    def search(self, hashes: list[int], limit: int, min_score: float) -> list[dict]:
        """Fingerprints like this one, from the cache where it was asked for before."""
        self.searches += 1
        items = [item - (1 << 32) if item >= 1 << 31 else item for item in hashes]
        key = "f:" + hashlib.sha256(json.dumps([items, limit, min_score]).encode()).hexdigest()[:24]
        if (cached := self.redis.get(key)) is not None:
            return json.loads(cached)
        query = self.pool.value("select acoustid_extract_query(%s::integer[])", (items,))
        ids = [id for id, _score in self.index.search(query or [])[: max(limit, 1) * 5]]
        with self.pool.cursor() as cursor:
            cursor.execute(
                "select id, acoustid_compare2(fingerprint, %s::integer[], 80) from fingerprint where id = any(%s) order by 2 desc, 1",
                (items, ids),
            )
            found = [{"id": str(id), "score": score} for id, score in cursor if score >= min_score][:limit]
        self.redis.set(key, json.dumps(found), ex=10)
        return found

    def get(self, id: int) -> list[int] | None:
        """A fingerprint's items."""
        return self.pool.value("select fingerprint from fingerprint where id = %s", (id,))

    def answer(self, request: dict) -> dict:
        """One request of the gateway."""
        match request:
            case {"search": hashes, "limit": limit, "min_score": min_score}:
                return {"results": self.search(hashes, limit, min_score)}
            case {"get": id}:
                return {"hashes": self.get(id)}
            case {"ping": _}:
                return {}
        return {"error": "unknown request"}


def guarded(stop: Stop, checks: Checks, listen) -> None:
    """Opens a server with `listen` while `checks` hold, and closes it while they do not. Returns when told to stop."""
    server = None
    while not stop:
        problem = checks.problem()
        if problem is None and server is None:
            server = listen()
            threading.Thread(target=server.serve_forever, args=(0.2,), daemon=True).start()
            log("port %s:%s opened" % server.server_address[:2])
        elif problem is not None and server is not None:
            server.shutdown()
            server.server_close()
            server = None
            log(f"port closed: {problem}", "WARNING")
        stop.wait(0.5)


def run_server(options: argparse.Namespace) -> None:
    """Runs until stopped."""
    stop = Stop()
    store = Store(options)
    checks = store.checks(stop)

    class Connection(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            for line in self.rfile:
                try:
                    answer = store.answer(json.loads(line))
                except Exception as error:  # noqa: BLE001 - told to the caller
                    answer = {"error": reason(error)}
                self.wfile.write(json.dumps(answer).encode() + b"\n")

    class Server(socketserver.ThreadingTCPServer):
        allow_reuse_address = True
        daemon_threads = True

    def metrics(request: Request) -> Answer:
        if request.path != "/metrics":
            return Answer("not found\n", 404)
        up = int(checks.problem() is None)
        return Answer(
            f"# TYPE fpstore_up gauge\nfpstore_up {up}\n# TYPE fpstore_searches_total counter\nfpstore_searches_total {store.searches}\n"
        )

    start(web_server(options.metrics_listen_host, options.metrics_listen_port, metrics), "fpstore metrics")
    guarded(stop, checks, lambda: Server((options.listen_host, options.listen_port), Connection))


def run_gateway(options: argparse.Namespace) -> None:
    """Runs until stopped."""
    stop = Stop()

    def ask(request: dict) -> dict:
        where = f"fpstore {options.server_host}:{options.server_port}"
        try:
            with socket.create_connection((options.server_host, options.server_port), timeout=5) as connection:
                connection.sendall(json.dumps(request).encode() + b"\n")
                answer = json.loads(connection.makefile("rb").readline() or b"{}")
        except (OSError, ValueError) as error:
            raise Problem(f"{where}: {reason(error)}") from error
        if "error" in answer:
            raise Problem(f"{where}: {answer['error']}")
        return answer

    def handle(request: Request) -> Answer:
        root, _, last = request.path.rpartition("/")
        if root != "/v1/fingerprint":
            return Answer({"code": 5, "message": "Not Found", "details": []}, 404)
        if last == "_search":
            wanted = json.loads(request.body or b"{}")
            hashes = wanted.get("fingerprint", {}).get("hashes", [])
            search = {
                "search": hashes,
                "limit": int(wanted.get("limit", 10)),
                "min_score": float(wanted.get("min_score", 0)),
            }
            return Answer(ask(search))
        if last.isdigit():
            hashes = ask({"get": int(last)})["hashes"]
            return Answer({"id": last, "hashes": hashes}, 404 if hashes is None else 200)
        return Answer({"code": 5, "message": "Not Found", "details": []}, 404)

    checks = Checks(stop, {"fpstore": lambda: ask({"ping": 1})})
    guarded(stop, checks, lambda: web_server(options.listen_host, options.listen_port, handle))
