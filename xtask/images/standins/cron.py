"""Stand-in for cron: it only enqueues, on the real schedule (local time). Without a worker nothing gets done."""

from __future__ import annotations

import time

from acoustid import ALL_SIDES, Settings, Site
from shared import Stop, log, reason
from tasks import enqueue


def due(now: time.struct_time) -> list[str]:
    """The tasks of a minute."""
    tasks = ["update_all_lookup_stats"]
    if now.tm_min == 0:
        tasks += ["update_all_user_agent_stats", "manage_fpindex_changelog"]
    if (now.tm_hour, now.tm_min) == (0, 10):
        tasks.append("update_stats")
    return tasks


def main() -> None:
    """Runs until stopped."""
    stop = Stop()
    site = Site(Settings())
    site.checks(stop, ALL_SIDES).keep()
    log("cron: connected, waiting for the next minute")
    while not stop.wait(60 - time.time() % 60):
        for task in due(time.localtime()):
            try:
                enqueue(site.redis, task)
                log(f"enqueued {task}")
            except Exception as error:  # noqa: BLE001 - the next minute comes
                log(f"cannot enqueue {task}: {reason(error)}", "ERROR")


if __name__ == "__main__":
    main()
