"""Stand-in for mbslave: prepares a MusicBrainz database and follows its replication.

There is no way out to MusicBrainz from the bed: `sync` finds no packet, ever, and waits as the real program does; `init`
leaves the tables empty.
"""

from __future__ import annotations

import argparse
import os
from configparser import RawConfigParser

import psycopg2
from psycopg2 import sql

from shared import Answer, Database, Problem, Request, Stop, env, fail, log, reason, start, web_server

# The schema sequence of mbslave 31, and where the replication of an empty database begins.
SCHEMA_SEQUENCE = 31
WAIT = 600


class Settings:
    """File (MBSLAVE_CONFIG), then environment. The database's name is MBSLAVE_DB_DB: MBSLAVE_DB_NAME is not read."""

    def __init__(self) -> None:
        parser = RawConfigParser()
        parser.read(
            [os.environ["MBSLAVE_CONFIG"]] if "MBSLAVE_CONFIG" in os.environ else ["mbslave.conf", "/etc/mbslave.conf"]
        )

        def item(section: str, key: str, variable: str, default, convert=str):
            return env("MBSLAVE_" + variable, convert(parser.get(section, key, fallback=default)), convert)

        # Without a host the real program uses PostgreSQL's socket; there is none in its container.
        host = item("database", "host", "DB_HOST", "/var/run/postgresql")
        port = item("database", "port", "DB_PORT", 5432, int)
        name = item("database", "name", "DB_DB", "musicbrainz")
        self.database = Database(
            host,
            port,
            item("database", "user", "DB_USER", "musicbrainz"),
            item("database", "password", "DB_PASSWORD", ""),
            name,
        )
        self.admin = Database(
            host,
            port,
            item("database", "admin_user", "DB_ADMIN_USER", "postgres"),
            item("database", "admin_password", "DB_ADMIN_PASSWORD", ""),
            name,
        )
        self.base_url = item(
            "musicbrainz", "base_url", "MUSICBRAINZ_BASE_URL", "https://metabrainz.org/api/musicbrainz/"
        )
        self.token = item("musicbrainz", "token", "MUSICBRAINZ_TOKEN", "")


TABLES = """
create schema if not exists musicbrainz;
set search_path to musicbrainz, public;
create table if not exists replication_control (
    id serial primary key, current_schema_sequence integer not null, current_replication_sequence integer, last_replication_date timestamptz);
create table if not exists artist (id serial primary key, gid uuid not null unique, name varchar not null, sort_name varchar not null);
create table if not exists artist_credit (id serial primary key, name varchar not null);
create table if not exists recording (
    id serial primary key, gid uuid not null unique, name varchar not null, artist_credit integer not null, length integer);
create table if not exists release (id serial primary key, gid uuid not null unique, name varchar not null, artist_credit integer not null);
"""

EXTENSIONS = ("cube", "earthdistance", "unaccent")


def initialise(settings: Settings, options: argparse.Namespace) -> None:
    """Makes user, database, extensions and tables; may run again."""
    try:
        maintenance = Database(
            settings.admin.host, settings.admin.port, settings.admin.user, settings.admin.password, "postgres"
        )
        if options.create_user:
            execute(
                maintenance,
                "select 1 from pg_roles where rolname = %s",
                settings.database.user,
                sql.SQL("create user {} password {}").format(
                    sql.Identifier(settings.database.user), sql.Literal(settings.database.password)
                ),
            )
        if options.create_database:
            execute(
                maintenance,
                "select 1 from pg_database where datname = %s",
                settings.database.name,
                sql.SQL("create database {} owner {}").format(
                    sql.Identifier(settings.database.name), sql.Identifier(settings.database.user)
                ),
            )
        for extension in EXTENSIONS:
            execute(
                settings.admin,
                "select 1 from pg_extension where extname = %s",
                extension,
                sql.SQL("create extension {}").format(sql.Identifier(extension)),
            )
        with settings.database.connect() as connection, connection.cursor() as cursor:
            cursor.execute(TABLES)
            if not options.empty:
                log(
                    "the bed has no way to MusicBrainz: its full export is not fetched, the tables stay empty",
                    "WARNING",
                )
            # The real row comes with the export.
            cursor.execute(
                "insert into replication_control (current_schema_sequence, current_replication_sequence, last_replication_date)"
                " select %s, 0, now() where not exists (select from replication_control)",
                (SCHEMA_SEQUENCE,),
            )
    except (Problem, psycopg2.Error) as error:
        fail(reason(error))
    log(f"database {settings.database} is ready")


def execute(database: Database, exists: str, name: str, statement: sql.Composable) -> None:
    """Runs a statement unless what it makes is there."""
    connection = database.connect()
    try:
        with connection.cursor() as cursor:
            cursor.execute(exists, (name,))
            if cursor.fetchone() is None:
                cursor.execute(statement)
    finally:
        connection.close()


def synchronise(settings: Settings, options: argparse.Namespace) -> None:
    """Looks where replication stands, and waits for a packet."""
    stop = Stop()
    if not settings.token:
        fail("no MusicBrainz token (MBSLAVE_MUSICBRAINZ_TOKEN): the server would refuse every packet")
    state = {"sequence": 0}
    try:
        connection = settings.database.connect()
        schema, state["sequence"] = position(connection)
    except (Problem, psycopg2.Error) as error:
        fail(reason(error))
    if schema != SCHEMA_SEQUENCE:
        log(f"the database has schema {schema}, this program is for {SCHEMA_SEQUENCE}", "WARNING")
    if options.port:

        def metrics(_request: Request) -> Answer:
            return Answer(
                f"# TYPE mbslave_replication_sequence gauge\nmbslave_replication_sequence {state['sequence']}\n"
            )

        start(web_server("0.0.0.0", options.port, metrics), "mbslave metrics")
    while not stop:
        log(
            f"packet {state['sequence'] + 1} not found (there is no way to {settings.base_url} from here)"
            + (", waiting" if options.keep_running else "")
        )
        if not options.keep_running:
            return
        for _ in range(WAIT // 5):
            if stop.wait(5):
                return
            try:
                _schema, state["sequence"] = position(connection)
            except psycopg2.Error as error:
                fail(f"database {settings.database}: {reason(error)}")


def position(connection) -> tuple[int, int]:
    """Schema and replication sequence."""
    with connection.cursor() as cursor:
        cursor.execute(
            "select current_schema_sequence, current_replication_sequence from musicbrainz.replication_control"
        )
        row = cursor.fetchone()
    if row is None:
        fail("musicbrainz.replication_control is empty: the database was never filled")
    return row[0], row[1] or 0


def main() -> None:
    """`init` or `sync`."""
    parser = argparse.ArgumentParser(prog="mbslave", allow_abbrev=False)
    commands = parser.add_subparsers(required=True)
    init = commands.add_parser("init", allow_abbrev=False)
    for switch in ("--create-user", "--create-database", "--empty"):
        init.add_argument(switch, action="store_true")
    init.set_defaults(run=initialise)
    sync = commands.add_parser("sync", allow_abbrev=False)
    sync.add_argument("-r", "--keep-running", action="store_true")
    sync.add_argument("--prometheus-server-port", dest="port", type=int, default=0)
    sync.set_defaults(run=synchronise)
    options = parser.parse_args()
    options.run(Settings(), options)


if __name__ == "__main__":
    main()
