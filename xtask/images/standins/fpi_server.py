"""Stand-in for the legacy index: fingerprint ids by search term, kept in its folder, over the line protocol and HTTP."""

from __future__ import annotations

import argparse
import os
import socketserver
import sqlite3
import threading

from shared import Answer, Checks, Request, Stop, fail, healthy, log, reason, start, web_server

SCHEMA = """
pragma journal_mode = wal;
create table if not exists posting (term integer, id integer, primary key (term, id)) without rowid;
create table if not exists attribute (name text primary key, value text not null);
"""


class Store:
    """The index on disk. Everything goes through one lock: this is a stand-in, not a search engine."""

    def __init__(self, directory: str) -> None:
        self.lock = threading.Lock()
        path = os.path.join(directory, "index.sqlite3")
        try:
            self.database = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
            self.database.executescript(SCHEMA)
        except sqlite3.Error as error:
            fail(f"cannot use the folder {directory}: {reason(error)}")

    def search(self, terms: list[int]) -> list[tuple[int, int]]:
        """Ids with the number of terms they share, best first."""
        marks = ",".join("?" * len(terms))
        query = f"select id, count(*) from posting where term in ({marks}) group by id order by 2 desc, 1 limit 500"
        with self.lock:
            return self.database.execute(query, terms).fetchall()

    def commit(self, documents: list[tuple[int, list[int]]], attributes: dict[str, str]) -> None:
        """Writes a transaction: all of it or nothing."""
        with self.lock:
            self.database.execute("begin")
            try:
                for id, terms in documents:
                    rows = ((term, id) for term in terms)
                    self.database.executemany("insert or ignore into posting values (?, ?)", rows)
                if documents:
                    highest = max(id for id, _terms in documents)
                    known = int(self._attribute("max_document_id") or 0)
                    attributes = {"max_document_id": str(max(highest, known))} | attributes
                self.database.executemany("insert or replace into attribute values (?, ?)", attributes.items())
                self.database.execute("commit")
            except BaseException:
                self.database.execute("rollback")
                raise

    def _attribute(self, name: str) -> str:
        row = self.database.execute("select value from attribute where name = ?", (name,)).fetchone()
        return row[0] if row else ""

    def attribute(self, name: str) -> str:
        """An attribute; empty if it was never set."""
        with self.lock:
            return self._attribute(name)

    def check(self) -> None:
        """Writes something, so a full or vanished disk is noticed."""
        self.commit([], {"checked": "yes"})


class Refused(Exception):
    """The text after ERR."""


class Session:
    """One connection's state and commands."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.documents: list[tuple[int, list[int]]] | None = None
        self.attributes: dict[str, str] = {}

    def answer(self, line: str) -> str:
        """The text after OK."""
        match line.split(" "):
            case ["echo", *words]:
                return " ".join(words)
            case ["search", terms]:
                return " ".join(f"{id}:{score}" for id, score in self.store.search(numbers(terms)))
            case ["begin"]:
                if self.documents is not None:
                    raise Refused("already in transaction")
                self.documents, self.attributes = [], {}
                return ""
            case ["insert", id, terms]:
                if self.documents is None:
                    raise Refused("not in transaction")
                self.documents.append((numbers(id)[0], numbers(terms) if terms else []))
                return ""
            case ["set", "attribute", name, value] if self.documents is not None:
                self.attributes[name] = value
                return ""
            case ["get", "attribute", name]:
                return self.store.attribute(name)
            case ["commit" | "rollback" as end]:
                if self.documents is None:
                    raise Refused("not in transaction")
                if end == "commit":
                    self.store.commit(self.documents, self.attributes)
                self.documents = None
                return ""
            case ["optimize" | "cleanup"]:
                return ""
        raise Refused("unknown command")


def numbers(text: str) -> list[int]:
    """Unsigned numbers with commas between them."""
    try:
        return [int(part) & 0xFFFFFFFF for part in text.split(",")]
    except ValueError:
        raise Refused("invalid fingerprint") from None


def line_server(address: str, port: int, store: Store) -> socketserver.ThreadingTCPServer:
    """The line protocol."""

    class Connection(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            session = Session(store)
            for raw in self.rfile:
                line = raw.decode("ascii", "replace").strip()
                if line in ("quit", "kill"):
                    return
                try:
                    answer = f"OK {session.answer(line)}"
                except Refused as refused:
                    answer = f"ERR {refused}"
                except sqlite3.Error as error:
                    answer = f"ERR {reason(error)}"
                self.wfile.write(answer.encode("ascii", "replace") + b"\r\n")

    class Server(socketserver.ThreadingTCPServer):
        allow_reuse_address = True
        daemon_threads = True
        request_queue_size = 256

    try:
        return Server((address, port), Connection)
    except OSError as error:
        fail(f"cannot listen on {address}:{port}: {reason(error)}")


def arguments() -> argparse.Namespace:
    """The real program's options."""
    parser = argparse.ArgumentParser(prog="fpi-server", allow_abbrev=False)
    parser.add_argument("-d", "--directory", default=".")
    parser.add_argument("-m", "--mmap", action="store_true")
    parser.add_argument("-a", "--address", default="127.0.0.1")
    parser.add_argument("-p", "--port", type=int, default=6080)
    parser.add_argument("--http", action="store_true")
    parser.add_argument("--http-address", default="127.0.0.1")
    parser.add_argument("--http-port", type=int, default=6081)
    parser.add_argument("-t", "--threads", type=int, default=0)
    parser.add_argument("-s", "--syslog", action="store_true")
    return parser.parse_args()


def main() -> None:
    """Runs until stopped."""
    options = arguments()
    stop = Stop()
    store = Store(options.directory)
    checks = Checks(stop, {"folder": store.check})

    def handle(request: Request) -> Answer:
        match request.path:
            case "/_health/ready" | "/_health/alive":
                return healthy(checks.problem())
            case "/_metrics":
                return Answer(
                    f"# TYPE aindex_max_document_id gauge\naindex_max_document_id {store.attribute('max_document_id') or 0}\n"
                )
        return Answer("not found\n", 404)

    server = line_server(options.address, options.port, store)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    log(f"fpi-server listens on {options.address}:{options.port}, folder {options.directory}")
    if options.http:
        start(web_server(options.http_address, options.http_port, handle), "fpi-server http")
    stop.wait()


if __name__ == "__main__":
    main()
