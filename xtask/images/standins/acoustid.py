"""The configuration of every acoustid-server process, and its connections.

An INI file named by ACOUSTID_CONFIG may be absent; then the environment wins. Any variable may be given as NAME_FILE.
A database's read-only side falls back to its primary in the file only: with variables alone each _RO_ one must be set.
"""

from __future__ import annotations

import json
import os
import urllib.request
from configparser import RawConfigParser
from dataclasses import dataclass, field
from typing import Any

import redis
import redis.sentinel

from shared import Checks, Database, Index, Pool, Problem, Stop, env, fail, reason, truth

DATABASES = ("app", "fingerprint", "ingest", "musicbrainz")


class File:
    """The INI file."""

    def __init__(self) -> None:
        self.path = os.environ.get("ACOUSTID_CONFIG", "acoustid.conf")
        self.parser = RawConfigParser()
        try:
            self.parser.read(self.path, encoding="utf-8")
        except Exception as error:  # noqa: BLE001
            fail(f"{self.path}: {error}")

    def get(self, section: str, key: str, default: Any, convert: Any = str) -> Any:
        """A key, or the content of the file that KEY_file names."""
        value = self.parser.get(section, key, fallback=None)
        file = self.parser.get(section, key + "_file", fallback=None)
        try:
            if file is not None:
                with open(file, encoding="utf-8") as content:
                    value = content.read().strip()
            return default if value is None else convert(value)
        except (OSError, ValueError) as error:
            fail(f"{self.path}: [{section}] {key}: {error}")


@dataclass
class Settings:
    """Everything that the server's processes read."""

    file: File = field(default_factory=File)

    def item(self, section: str, key: str, variable: str, default: Any, convert: Any = str) -> Any:
        """One setting: default, then file, then environment."""
        return env("ACOUSTID_" + variable, self.file.get(section, key, default, convert), convert)

    def __post_init__(self) -> None:
        item = self.item
        self.databases = {f"{name}{side}": self._database(name, side) for name in DATABASES for side in ("", ":ro")}
        self.index = Index(
            item("index", "host", "INDEX_HOST", "127.0.0.1"), item("index", "port", "INDEX_PORT", 6080, int)
        )
        self.fpstore_host = item("fpstore", "host", "FPSTORE_HOST", "")
        self.fpstore_port = item("fpstore", "port", "FPSTORE_PORT", 4659, int)
        self.redis_host = item("redis", "host", "REDIS_HOST", "127.0.0.1")
        self.redis_port = item("redis", "port", "REDIS_PORT", 6379, int)
        self.redis_password = item("redis", "password", "REDIS_PASSWORD", None)
        self.redis_cluster = item("redis", "cluster", "REDIS_CLUSTER", "")
        self.sentinel = item("redis", "sentinel", "SENTINEL", False, truth)
        self.role = item("cluster", "role", "CLUSTER_ROLE", "master")
        self.secret = item("website", "secret", "SECRET", "")
        self.maintenance = item("website", "maintenance", "MAINTENANCE", False, truth)
        self.statsd_host = item("statsd", "host", "STATSD_HOST", "")
        self.shutdown_delay = item("website", "shutdown_delay", "SHUTDOWN_DELAY", 0.0, float)
        self.shutdown_file = item("website", "shutdown_file", "SHUTDOWN_FILE", "/tmp/acoustid-shutdown.txt")
        self.rate_limit = self.file.get("rate_limiter", "global", None, float)
        for name, default in (("WORKERS", 1), ("THREADS", 1), ("TIMEOUT", 90), ("BACKLOG", 256)):
            env("ACOUSTID_GUNICORN_" + name, default, int)
        if self.role not in ("master", "slave"):
            fail(f"ACOUSTID_CLUSTER_ROLE is neither master nor slave: {self.role}")

    def _database(self, name: str, side: str) -> Database:
        section = f"database:{name}{side}"
        if side and not self.file.parser.has_section(section):
            section = f"database:{name}"
        variable = f"DATABASE_{name}{side}".replace(":", "_").upper()
        found = Database()
        for key, convert in (("host", str), ("port", int), ("user", str), ("password", str), ("name", str)):
            setattr(found, key, self.item(section, key, f"{variable}_{key.upper()}", getattr(found, key), convert))
        return found

    def pool(self, name: str) -> tuple[int, float]:
        """Size of a database's pool, and seconds to wait for a free connection of it."""
        variable = f"ACOUSTID_DATABASE_{name}_POOL_".replace(":", "_").upper()
        return env(variable + "SIZE", 20, int), env(variable + "TIMEOUT", 2.0, float)

    @property
    def master(self) -> bool:
        """Whether this site writes."""
        return self.role == "master"

    def redis(self) -> redis.Redis:
        """A client of the Redis it is told to use, by Sentinel where that is switched on."""
        options: dict[str, Any] = {
            "socket_timeout": 5,
            "socket_connect_timeout": 2,
            "password": self.redis_password or None,
        }
        if self.sentinel:
            sentinel = redis.sentinel.Sentinel([(self.redis_host, self.redis_port)], socket_timeout=2)
            return sentinel.master_for(self.redis_cluster, **options)
        return redis.Redis(self.redis_host, self.redis_port, **options)


# A table of each database that only exists once migrations have run. MusicBrainz' tables are mbslave's affair.
PROOFS = {"app": "application", "fingerprint": "fingerprint", "ingest": "submission"}


class Site:
    """The settings with live connections."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.pools = {name: Pool(database, *settings.pool(name)) for name, database in settings.databases.items()}
        self.redis = settings.redis()
        self.index = settings.index

    def check_database(self, name: str) -> None:
        """Asks for what the process needs of a database: an answer, its tables, and on the primary side that it writes."""
        pool, base = self.pools[name], name.split(":")[0]
        if pool.value("select 1") != 1:
            raise Problem("gave a wrong answer")
        if base in PROOFS:
            pool.value(f"select 1 from {PROOFS[base]} limit 1")
        if (
            self.settings.master
            and ":" not in name
            and base != "musicbrainz"
            and pool.value("select pg_is_in_recovery()")
        ):
            raise Problem(f"database {pool.database}: is in recovery, so it takes no writes")

    def fpstore_search(self, items: list[int], limit: int = 10) -> list[int]:
        """Ids of fingerprints that the fingerprint store finds, best first."""
        where = f"{self.settings.fpstore_host}:{self.settings.fpstore_port}"
        wanted = {
            "fingerprint": {"version": 1, "hashes": [item & 0xFFFFFFFF for item in items]},
            "limit": limit,
            "min_score": 0.0,
        }
        request = urllib.request.Request(
            f"http://{where}/v1/fingerprint/_search", json.dumps(wanted).encode(), {"Content-Type": "application/json"}
        )
        try:
            with urllib.request.urlopen(request, timeout=5) as answer:
                return [int(result["id"]) for result in json.load(answer)["results"]]
        except (OSError, ValueError, KeyError) as error:
            raise Problem(f"fpstore {where}: {reason(error)}") from error

    def candidates(self, items: list[int]) -> list[int]:
        """Ids of fingerprints like this one: from the fingerprint store where one is named, otherwise from the index."""
        if self.settings.fpstore_host:
            return self.fpstore_search(items)
        query = self.pools["fingerprint:ro"].value("select acoustid_extract_query(%s::integer[])", (items,))
        return [id for id, _score in self.index.search(query or [])[:10]]

    def checks(self, stop: Stop, databases: list[str], index: bool = False) -> Checks:
        """The background checks of a process that uses Redis and these databases."""
        found: dict[str, Any] = {f"database {name}": lambda name=name: self.check_database(name) for name in databases}
        found["redis"] = self.redis.ping
        if index:
            found["index"] = self.index.ping
            if self.settings.fpstore_host:
                found["fpstore"] = lambda: self.fpstore_search([], 1)
        return Checks(stop, found)


ALL_SIDES = [f"{name}{side}" for name in DATABASES for side in ("", ":ro")]
