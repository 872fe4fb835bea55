"""Stand-in for the worker: takes what cron enqueued and does a small real part of it."""

from __future__ import annotations

from acoustid import ALL_SIDES, Settings, Site
from shared import Stop, log, reason
from tasks import dequeue, enqueue


def update_all_lookup_stats(site: Site) -> None:
    """Fans out: a task for every hour and application that Redis has counters for."""
    counted = {name.decode().rsplit(":", 1)[0] for name in site.redis.hkeys("lookups")}
    for name in sorted(counted):
        enqueue(site.redis, "update_lookup_stats", counter=name)


def update_lookup_stats(site: Site, counter: str) -> None:
    """Moves the counters of an hour and application from Redis to the app database."""
    day, hour, application = counter.split(":")
    hits, misses = (int(site.redis.hget("lookups", f"{counter}:{kind}") or 0) for kind in ("hit", "miss"))
    with site.pools["app"].cursor() as cursor:
        cursor.execute(
            "insert into stats_lookups (date, hour, application_id, count_hits, count_nohits) values (%s, %s, %s, %s, %s)"
            " on conflict (date, hour, application_id) do update set count_hits = stats_lookups.count_hits + excluded.count_hits,"
            " count_nohits = stats_lookups.count_nohits + excluded.count_nohits",
            (day, int(hour), int(application), hits, misses),
        )
    for kind, count in (("hit", hits), ("miss", misses)):
        site.redis.hincrby("lookups", f"{counter}:{kind}", -count)


def update_all_user_agent_stats(site: Site) -> None:
    """Nothing counts user agents here."""
    site.redis.hlen("ua")


def manage_fpindex_changelog(site: Site) -> None:
    """Makes next month's partition of the changelog."""
    with site.pools["fingerprint"].cursor() as cursor:
        cursor.execute("select fpindex_changelog_partition(current_date + interval '1 month')")


def update_stats(site: Site) -> None:
    """Daily figures. Like the real task it needs statsd, and fails without."""
    if not site.settings.statsd_host:
        raise RuntimeError("update_stats needs statsd: ACOUSTID_STATSD_HOST is not set")
    figures = {
        "fingerprint.all": site.pools["fingerprint:ro"].value("select count(*) from fingerprint"),
        "track.all": site.pools["fingerprint:ro"].value("select count(*) from track"),
        "account.all": site.pools["app:ro"].value("select count(*) from account"),
    }
    with site.pools["app"].cursor() as cursor:
        for name, value in figures.items():
            cursor.execute(
                "insert into stats (name, date, value) values (%s, current_date, %s)"
                " on conflict (name, date) do update set value = excluded.value",
                (name, value),
            )


TASKS = {
    task.__name__: task
    for task in (
        update_all_lookup_stats,
        update_lookup_stats,
        update_all_user_agent_stats,
        manage_fpindex_changelog,
        update_stats,
    )
}


def main() -> None:
    """Runs until stopped."""
    stop = Stop()
    site = Site(Settings())
    site.checks(stop, ALL_SIDES).keep()
    log("worker: connected, waiting for tasks")
    while not stop:
        try:
            task = dequeue(site.redis)
        except Exception as error:  # noqa: BLE001 - Redis may come back; the checks end the process if it does not
            log(f"cannot take a task: {reason(error)}", "ERROR")
            stop.wait(1)
            continue
        if task is None:
            continue
        name, arguments = task
        try:
            TASKS[name](site, **arguments)
            log(f"done: {name}", **arguments)
        except Exception as error:  # noqa: BLE001 - a task may fail, the worker goes on
            log(f"failed: {name}: {type(error).__name__}: {reason(error)}", "ERROR", **arguments)


if __name__ == "__main__":
    main()
