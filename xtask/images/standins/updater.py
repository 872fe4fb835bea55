"""`aserver fpindex updater`: brings fingerprints above the highest indexed id from the database into the index."""

from __future__ import annotations

import argparse

from shared import Checks, Database, Index, Pool, Problem, Stop, log

# Option, variable, default. The variable of the user is …_USERNAME; …_USER is not read.
OPTIONS = [
    ("index-host", "ACOUSTID_INDEX_HOST", "localhost"),
    ("index-port", "ACOUSTID_INDEX_PORT", 6080),
    ("database-name", "ACOUSTID_DATABASE_NAME", "acoustid"),
    ("database-host", "ACOUSTID_DATABASE_HOST", "localhost"),
    ("database-port", "ACOUSTID_DATABASE_PORT", 5432),
    ("database-username", "ACOUSTID_DATABASE_USERNAME", "acoustid"),
    ("database-password", "ACOUSTID_DATABASE_PASSWORD", ""),
]

BATCH = 10_000


def update(pool: Pool, index: Index) -> int:
    """One batch; the number of fingerprints brought over."""
    with index.session() as request:
        highest = int(request("get attribute max_document_id") or 0)
        with pool.cursor() as cursor:
            cursor.execute(
                "select id, acoustid_extract_query(fingerprint) from fingerprint where id > %s order by id limit %s",
                (highest, BATCH),
            )
            rows = cursor.fetchall()
        if rows:
            request("begin")
            for id, terms in rows:
                request(f"insert {id} {','.join(map(str, terms))}")
            request("commit")
            log("indexed", fingerprints=len(rows), highest=rows[-1][0])
        return len(rows)


def run(options: argparse.Namespace) -> None:
    """Runs until stopped."""
    stop = Stop()
    database = Database(
        options.database_host,
        options.database_port,
        options.database_username,
        options.database_password,
        options.database_name,
    )
    pool, index = Pool(database), Index(options.index_host, options.index_port)
    # The table may come later (migrations): only connections are asked for here.
    Checks(stop, {"database": lambda: pool.value("select 1"), "index": index.ping}).keep()
    log(f"updater: {database} to index {index.host}:{index.port}")
    while not stop:
        try:
            if update(pool, index) == BATCH:
                continue
        except Problem as problem:
            log(f"updater: {problem}", "ERROR")
        stop.wait(2)
