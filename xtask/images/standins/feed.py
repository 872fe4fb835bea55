"""Stand-in for fpindex-feed (port 3033): the changes a new index follows. The real one speaks msgpack, this one JSON."""

from __future__ import annotations

from acoustid import Settings, Site
from shared import Answer, Checks, Request, Stop, healthy, start, web_server


def main() -> None:
    """Runs until stopped."""
    stop = Stop()
    site = Site(Settings())
    checks = Checks(stop, {"database fingerprint": lambda: site.check_database("fingerprint")})

    def handle(request: Request) -> Answer:
        if request.path == "/health":
            return healthy(checks.problem())
        if request.path == "/changes":
            after = int(request.query.get("after", "0"))
            with site.pools["fingerprint"].cursor() as cursor:
                cursor.execute("select id from fingerprint where id > %s order by id limit 10000", (after,))
                return Answer({"index": "acoustid", "generation": 1, "ids": [id for (id,) in cursor]})
        return Answer("not found\n", 404)

    start(web_server("0.0.0.0", 3033, handle), "fpindex-feed")
    stop.wait()


if __name__ == "__main__":
    main()
