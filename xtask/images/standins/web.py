"""Stand-in for the website (port 3032): a front page with live figures. Sessions are signed with the site's secret."""

from __future__ import annotations

import hashlib
import hmac
import html
import time

from acoustid import ALL_SIDES, Settings, Site
from health import Service
from shared import Answer, Request, Stop, fail

PAGE = """<!doctype html><title>AcoustID (stand-in)</title><h1>AcoustID</h1>
<p>A stand-in for the website: it reads the databases it was told to read.</p>
<table>{rows}</table>
"""

FIGURES = (
    ("fingerprints", "fingerprint:ro", "select count(*) from fingerprint"),
    ("tracks", "fingerprint:ro", "select count(*) from track"),
    ("applications", "app:ro", "select count(*) from application"),
    ("submissions waiting", "ingest:ro", "select count(*) from submission where not handled"),
)


def handler(site: Site):
    """The pages."""

    def handle(request: Request) -> Answer:
        if site.settings.maintenance:
            return Answer("down for maintenance\n", 503)
        if request.path not in ("/", "/login", "/stats"):
            return Answer("not found\n", 404)
        rows = [(name, site.pools[pool].value(query)) for name, pool, query in FIGURES]
        lines = "".join(f"<tr><td>{html.escape(name)}<td>{value}\n" for name, value in rows)
        stamp = str(int(time.time()))
        signature = hmac.new(site.settings.secret.encode(), stamp.encode(), hashlib.sha256).hexdigest()
        cookie = f"session={stamp}.{signature}; HttpOnly; SameSite=Lax"
        return Answer(PAGE.format(rows=lines), 200, {"Content-Type": "text/html; charset=utf-8", "Set-Cookie": cookie})

    return handle


def main() -> None:
    """Runs until stopped."""
    stop = Stop()
    settings = Settings()
    if not settings.secret:
        fail("the site secret is missing (ACOUSTID_SECRET): sessions cannot be signed")
    site = Site(settings)
    Service(settings, stop, site.checks(stop, ALL_SIDES)).run("web", 3032, handler(site))


if __name__ == "__main__":
    main()
