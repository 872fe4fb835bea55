"""The task queue between cron and worker: 256 lists in Redis."""

from __future__ import annotations

import json
import random
import zlib
from typing import Any

from redis import Redis

QUEUES = [f"tasks:{number:02x}" for number in range(256)]


def enqueue(redis: Redis, name: str, **arguments: Any) -> None:
    """Puts a task at the end of its list."""
    task = json.dumps({"name": name, "kwargs": arguments}).encode()
    redis.rpush(QUEUES[zlib.crc32(task) % len(QUEUES)], task)


def dequeue(redis: Redis, seconds: int = 1) -> tuple[str, dict[str, Any]] | None:
    """The next task of any list; None if there was none in that time."""
    found = redis.blpop(random.sample(QUEUES, len(QUEUES)), timeout=seconds)
    if found is None:
        return None
    task = json.loads(found[1])
    return task["name"], task.get("kwargs") or {}
