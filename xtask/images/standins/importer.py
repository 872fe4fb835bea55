"""Stand-in for import: moves submissions from ingest to the fingerprint database, one a transaction. Idle as slave."""

from __future__ import annotations

from acoustid import ALL_SIDES, Settings, Site
from shared import Problem, Stop, log


def import_one(site: Site) -> bool:
    """Handles the next submission that nobody else is at; false if there is none."""
    with site.pools["ingest"].cursor() as ingest:
        ingest.execute(
            "select id, fingerprint, length, mbid, account_id, application_id from submission where not handled"
            " order by id limit 1 for update skip locked"
        )
        row = ingest.fetchone()
        if row is None:
            return False
        submission, items, length, mbid, account, application = row
        with site.pools["fingerprint"].cursor() as cursor:
            track, fingerprint = store(site, cursor, items, length, mbid)
        ingest.execute(
            "insert into submission_result (submission_id, account_id, application_id, fingerprint_id, track_id, mbid)"
            " values (%s, %s, %s, %s, %s, %s) on conflict (submission_id) do nothing",
            (submission, account, application, fingerprint, track, mbid),
        )
        ingest.execute("update submission set handled = true, handled_at = now() where id = %s", (submission,))
    log("imported", submission=submission, fingerprint=fingerprint, track=track)
    return True


def store(site: Site, cursor, items: list[int], length: int, mbid: str | None) -> tuple[int, int]:
    """The track and fingerprint for these items: those of an equal fingerprint, otherwise new ones."""
    cursor.execute("select acoustid_extract_query(%s::integer[])", (items,))
    near = [id for id, _score in site.index.search(cursor.fetchone()[0])[:10]]
    cursor.execute(
        "select track_id, id from fingerprint where id = any(%s) and fingerprint = %s::integer[]", (near, items)
    )
    found = cursor.fetchone()
    if found is None:
        cursor.execute("insert into track default values returning id")
        track = cursor.fetchone()[0]
        cursor.execute(
            "insert into fingerprint (fingerprint, length, track_id) values (%s, %s, %s) returning id",
            (items, length, track),
        )
        found = track, cursor.fetchone()[0]
    else:
        cursor.execute("update fingerprint set submission_count = submission_count + 1 where id = %s", (found[1],))
    if mbid:
        cursor.execute(
            "insert into track_mbid (track_id, mbid) values (%s, %s)"
            " on conflict (track_id, mbid) do update set submission_count = track_mbid.submission_count + 1",
            (found[0], mbid),
        )
    return found


def main() -> None:
    """Runs until stopped."""
    stop = Stop()
    site = Site(Settings())
    if not site.settings.master:
        log("import: this site is a slave, nothing to do")
        stop.wait()
        return
    site.checks(stop, ALL_SIDES, index=True).keep()
    log("import: connected, waiting for submissions")
    pause = 1.0
    while not stop:
        try:
            if import_one(site):
                pause = 1.0
                continue
        except Problem as problem:
            log(f"import: {problem}", "ERROR")
        stop.wait(pause)
        pause = min(pause * 2, 10.0)


if __name__ == "__main__":
    main()
