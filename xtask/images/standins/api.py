"""Stand-in for the lookup and submission API (port 3031).

Lookup: rate limit and counters in Redis, the client's key in the app database, candidates from the index (or the
fingerprint store), the fingerprints themselves from the fingerprint database. Submission: writes to ingest only.
"""

from __future__ import annotations

import gzip
import time
from urllib.parse import parse_qs

from acoustid import ALL_SIDES, Settings, Site
from chromaprint import BadFingerprint, decode
from health import Service
from shared import Answer, Request, Stop

CORS = {"Access-Control-Allow-Origin": "*"}


class Refused(Exception):
    """An answer that the caller has to do something about."""

    def __init__(self, code: int, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.code, self.message, self.status = code, message, status


class Api:
    """The handlers."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.settings = site.settings

    def handle(self, request: Request) -> Answer:
        """Every path that is no health path."""
        handler = {"/lookup": self.lookup, "/v2/lookup": self.lookup, "/submit": self.submit, "/v2/submit": self.submit}
        found = handler.get(request.path)
        try:
            if request.path.startswith("/v2/internal/"):
                raise Refused(14, "not allowed", 403)
            if found is None:
                return Answer({"status": "error", "error": {"code": 0, "message": "not found"}}, 404, CORS)
            if self.settings.maintenance:
                raise Refused(13, "service currently unavailable", 503)
            return Answer({"status": "ok"} | found(parameters(request), client_address(request)), 200, CORS)
        except Refused as refused:
            error = {"code": refused.code, "message": refused.message}
            return Answer({"status": "error", "error": error}, refused.status, CORS)

    def application(self, key: str | None) -> int:
        """The id of the application with that key."""
        if not key:
            raise Refused(2, 'missing required parameter "client"')
        found = self.site.pools["app:ro"].value("select id from application where apikey = %s and active", (key,))
        if found is None:
            raise Refused(4, "invalid API key")
        return found

    def limit_rate(self, address: str) -> None:
        """Counts the caller's requests of this second in Redis."""
        key = f"rl:{address}:{int(time.time())}"
        count = self.site.redis.incr(key)
        self.site.redis.expire(key, 10)
        if self.settings.rate_limit is not None and count > self.settings.rate_limit:
            raise Refused(15, "rate limit exceeded", 429)

    def lookup(self, values: dict[str, str], address: str) -> dict:
        """Which tracks a fingerprint belongs to."""
        self.limit_rate(address)
        application = self.application(values.get("client"))
        items, length = fingerprint(values, "")
        results = []
        if ids := self.site.candidates(items):
            query = """
                select t.gid::text, acoustid_compare2(f.fingerprint, %s::integer[], 80)
                from fingerprint f join track t on t.id = f.track_id
                where f.id = any(%s) and abs(f.length - %s) < 7 order by 2 desc"""
            with self.site.pools["fingerprint:ro"].cursor() as cursor:
                cursor.execute(query, (items, ids, length))
                results = [{"id": gid, "score": score} for gid, score in cursor if score > 0.3]
        if results and "recordings" in values.get("meta", ""):
            self.site.pools["musicbrainz:ro"].value("select 1")
        hour = time.strftime("%Y-%m-%d:%H", time.gmtime())
        self.site.redis.hincrby("lookups", f"{hour}:{application}:{'hit' if results else 'miss'}", 1)
        return {"results": results}

    def submit(self, values: dict[str, str], address: str) -> dict:
        """Queues fingerprints for the importer."""
        if not self.settings.master:
            raise Refused(13, "this site is read-only", 503)
        self.limit_rate(address)
        application = self.application(values.get("client"))
        account = self.site.pools["app:ro"].value("select id from account where apikey = %s", (values.get("user", ""),))
        if account is None:
            raise Refused(6, "invalid user API key")
        suffixes = sorted({name[len("fingerprint") :] for name in values if name.startswith("fingerprint")})
        if not suffixes:
            raise Refused(2, 'missing required parameter "fingerprint"')
        queued = []
        with self.site.pools["ingest"].cursor() as cursor:
            for suffix in suffixes:
                items, length = fingerprint(values, suffix)
                cursor.execute(
                    "insert into submission (fingerprint, length, mbid, account_id, application_id)"
                    " values (%s, %s, %s, %s, %s) returning id",
                    (items, length, values.get("mbid" + suffix), account, application),
                )
                row = cursor.fetchone()
                queued.append({"id": row[0] if row else None, "status": "pending"})
        return {"submissions": queued}


def fingerprint(values: dict[str, str], suffix: str) -> tuple[list[int], int]:
    """The items and the duration in seconds."""
    for name in ("fingerprint", "duration"):
        if not values.get(name + suffix):
            raise Refused(2, f'missing required parameter "{name}{suffix}"')
    try:
        return decode(values["fingerprint" + suffix]), int(float(values["duration" + suffix]))
    except (BadFingerprint, ValueError) as error:
        raise Refused(3, "invalid fingerprint") from error


def parameters(request: Request) -> dict[str, str]:
    """The parameters of the query and of a form, which may be compressed."""
    body = request.body
    if request.headers.get("Content-Encoding") == "gzip":
        try:
            body = gzip.decompress(body)
        except OSError as error:
            raise Refused(3, "the body is not gzip") from error
    form = parse_qs(body.decode("utf-8", "replace"), keep_blank_values=True) if body else {}
    return request.query | {key: values[-1] for key, values in form.items()}


def client_address(request: Request) -> str:
    """The caller, seen over exactly one proxy."""
    forwarded = request.headers.get("X-Forwarded-For")
    return forwarded.split(",")[-1].strip() if forwarded else request.client


def main() -> None:
    """Runs until stopped."""
    stop = Stop()
    settings = Settings()
    site = Site(settings)
    service = Service(settings, stop, site.checks(stop, ALL_SIDES, index=True))
    service.run("api", 3031, Api(site).handle)


if __name__ == "__main__":
    main()
