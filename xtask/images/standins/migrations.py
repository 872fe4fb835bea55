"""Stand-in for alembic: makes the tables of three databases and records a version in each. May run again and again.

Like the real migrations it is run by the databases' owner and makes no extension: those must be there before.
"""

from __future__ import annotations

import sys
import time

import psycopg2

from acoustid import Settings
from shared import PATIENCE, Database, Problem, fail, log, reason

HEAD = "standin0001"

EXTENSIONS = {"app": (), "ingest": (), "fingerprint": ("intarray", "pgcrypto", "acoustid")}

TABLES = {
    "app": """
create table if not exists account (
    id serial primary key, name varchar not null, apikey varchar not null unique, mbuser varchar unique,
    anonymous boolean not null default false, created timestamptz not null default now(), lastlogin timestamptz,
    submission_count integer not null default 0, application_id integer, is_admin boolean not null default false);
create table if not exists application (
    id serial primary key, name varchar not null, version varchar not null default '', apikey varchar not null unique,
    created timestamptz not null default now(), active boolean not null default true,
    account_id integer not null references account, email varchar, website varchar);
create table if not exists format (id serial primary key, name varchar not null unique);
create table if not exists source (
    id serial primary key, application_id integer not null references application,
    account_id integer not null references account, version varchar, unique (application_id, account_id, version));
create table if not exists stats (
    id serial primary key, name varchar not null, date date not null, value integer not null, unique (name, date));
create table if not exists stats_lookups (
    id serial primary key, date date not null, hour integer not null, application_id integer not null references application,
    count_nohits integer not null default 0, count_hits integer not null default 0, unique (date, hour, application_id));
""",
    "ingest": """
create table if not exists submission (
    id serial primary key, fingerprint integer[] not null, length smallint not null, bitrate smallint, format_id integer,
    created timestamptz not null default now(), source_id integer, mbid uuid, handled boolean not null default false,
    handled_at timestamptz, puid uuid, meta_id integer, foreignid varchar, meta jsonb, account_id integer, application_id integer);
create index if not exists submission_idx_handled on submission (id) where not handled;
create table if not exists submission_result (
    submission_id integer primary key, created timestamptz not null default now(), account_id integer not null,
    application_id integer not null, fingerprint_id integer not null, track_id integer not null, mbid uuid, puid uuid, meta_id integer);
create table if not exists pending_submission (
    id bigserial primary key, account_id integer, application_id integer, data jsonb not null, created timestamptz not null default now());
create table if not exists fingerprint_source (
    id serial primary key, fingerprint_id integer not null, submission_id integer not null, source_id integer not null,
    created timestamptz not null default now());
create table if not exists track_mbid_source (
    id serial primary key, track_mbid_id integer not null, submission_id integer, source_id integer not null, created timestamptz default now());
create table if not exists track_puid_source (like track_mbid_source including all);
create table if not exists track_meta_source (like track_mbid_source including all);
create table if not exists track_foreignid_source (like track_mbid_source including all);
create table if not exists track_mbid_change (
    id serial primary key, track_mbid_id integer not null, account_id integer not null, disabled boolean not null,
    note text, created timestamptz not null default now());
""",
    "fingerprint": """
create table if not exists track (
    id serial primary key, created timestamptz not null default now(), new_id integer references track,
    gid uuid not null unique default gen_random_uuid());
create table if not exists fingerprint (
    id serial primary key, fingerprint integer[] not null, length smallint not null check (length > 0), bitrate smallint,
    format_id integer, created timestamptz not null default now(), updated timestamptz, track_id integer not null references track,
    submission_count integer not null default 1);
create index if not exists fingerprint_idx_track_id on fingerprint (track_id);
create table if not exists meta (
    id serial primary key, gid uuid unique default gen_random_uuid(), track varchar, artist varchar, album varchar,
    album_artist varchar, track_no integer, disc_no integer, year integer, created timestamptz default now());
create table if not exists foreignid_vendor (id serial primary key, name varchar not null unique);
create table if not exists foreignid (
    id serial primary key, vendor_id integer not null references foreignid_vendor, name text not null, unique (vendor_id, name));
create table if not exists track_mbid (
    id serial primary key, track_id integer not null references track, mbid uuid not null, created timestamptz default now(),
    submission_count integer not null default 1, disabled boolean not null default false, unique (track_id, mbid));
create table if not exists track_puid (like track_mbid including all);
create table if not exists track_meta (
    id serial primary key, track_id integer not null references track, meta_id integer not null references meta,
    created timestamptz default now(), submission_count integer not null default 1, unique (track_id, meta_id));
create table if not exists track_foreignid (
    id serial primary key, track_id integer not null references track, foreignid_id integer not null references foreignid,
    created timestamptz default now(), submission_count integer not null default 1, unique (track_id, foreignid_id));
create table if not exists fpindex_meta (name varchar primary key, value text not null);
create table if not exists fpindex_changelog (
    id bigint generated always as identity, fingerprint_id integer not null, operation char(1) not null,
    created timestamptz not null default now(), primary key (id, created)) partition by range (created);
-- The changelog has a partition a month and no default one: without the next one, inserts fail.
create or replace function fpindex_changelog_partition(day timestamptz) returns void language plpgsql as $$
declare first date := date_trunc('month', day);
begin
    execute format('create table if not exists fpindex_changelog_%s partition of fpindex_changelog for values from (%L) to (%L)',
        to_char(first, 'YYYYMM'), first, first + interval '1 month');
end $$;
select fpindex_changelog_partition(now()), fpindex_changelog_partition(now() + interval '1 month');
create or replace function fpindex_changelog_insert() returns trigger language plpgsql as $$
begin
    perform pg_advisory_xact_lock(7031);
    insert into fpindex_changelog (fingerprint_id, operation) values (new.id, 'i');
    return new;
end $$;
create or replace trigger fingerprint_changelog after insert on fingerprint for each row execute function fpindex_changelog_insert();
""",
}

VERSION = """
create table if not exists alembic_version (version_num varchar(32) not null primary key);
delete from alembic_version where version_num <> %(head)s;
insert into alembic_version values (%(head)s) on conflict do nothing;
"""


def connect(name: str, database: Database):
    """Waits a little for a database that is just starting."""
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            return database.connect(autocommit=False)
        except Problem as problem:
            if time.monotonic() > deadline:
                fail(f"{name}: {problem}")
            time.sleep(1)


def upgrade(settings: Settings) -> None:
    """Brings all three databases to the newest version."""
    places = [(name, settings.databases[name]) for name in TABLES]
    if len({(database.host, database.port, database.name) for _name, database in places}) < len(places):
        fail("app, ingest and fingerprint must be three databases: each keeps a version table of its own")
    connections = [(name, connect(name, database)) for name, database in places]
    for name, connection in connections:
        try:
            with connection, connection.cursor() as cursor:
                cursor.execute("select extname from pg_extension")
                there = {extension for (extension,) in cursor}
                missing = [extension for extension in EXTENSIONS[name] if extension not in there]
                if missing:
                    fail(
                        f"{name}: the extension {missing[0]} is missing; a superuser must create it before the migrations run"
                    )
                # One migration at a time, also when two Jobs meet.
                cursor.execute("select pg_advisory_xact_lock(7030)")
                cursor.execute(TABLES[name])
                cursor.execute(VERSION, {"head": HEAD})
        except psycopg2.Error as error:
            fail(f"{name}: {reason(error)}")
        log(f"{name}: at version {HEAD}")


def current(settings: Settings) -> None:
    """Prints the version of each database."""
    for name in TABLES:
        connection = connect(name, settings.databases[name])
        try:
            with connection.cursor() as cursor:
                cursor.execute("select version_num from alembic_version")
                print(f"{name}: {' '.join(version for (version,) in cursor)}")
        except psycopg2.Error as error:
            fail(f"{name}: {reason(error)}")


def main() -> None:
    """`upgrade head`, `current` or `heads`."""
    settings = Settings()
    match sys.argv[1:]:
        case ["upgrade", "head" | "heads"]:
            upgrade(settings)
        case ["current"]:
            current(settings)
        case ["heads"]:
            print(f"{HEAD} (head)")
        case _:
            print("usage: run-alembic.sh upgrade head | current | heads", file=sys.stderr)
            sys.exit(2)


if __name__ == "__main__":
    main()
