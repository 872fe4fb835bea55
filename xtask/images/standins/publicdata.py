"""`aserver publicdata export`: yesterday's new fingerprints as a compressed file in an S3 bucket; ends with an exit code."""

from __future__ import annotations

import argparse
import datetime
import gzip
import hashlib
import hmac
import json
import urllib.error
import urllib.request

from shared import Database, Pool, Problem, fail, log, reason

OPTIONS = [
    ("storage-bucket", "ASERVER_EXPORT_STORAGE_BUCKET", ""),
    ("storage-endpoint", "ASERVER_EXPORT_STORAGE_ENDPOINT", ""),
    ("storage-access-key-id", "ASERVER_EXPORT_STORAGE_ACCESS_KEY_ID", ""),
    ("storage-secret-access-key", "ASERVER_EXPORT_STORAGE_SECRET_ACCESS_KEY", ""),
    ("storage-use-ssl", "ASERVER_EXPORT_STORAGE_USE_SSL", True),
    ("postgres-host", "ASERVER_EXPORT_POSTGRES_HOST", "localhost"),
    ("postgres-port", "ASERVER_EXPORT_POSTGRES_PORT", 5432),
    ("postgres-user", "ASERVER_EXPORT_POSTGRES_USER", "acoustid"),
    ("postgres-password", "ASERVER_EXPORT_POSTGRES_PASSWORD", ""),
    ("postgres-database", "ASERVER_EXPORT_POSTGRES_DATABASE", "acoustid"),
]

TABLES = {
    "fingerprint": "select id, length, track_id, created from fingerprint where created::date = %s order by id",
    "track": "select id, gid::text, created from track where created::date = %s order by id",
}

REGION = "us-east-1"


def signed(method: str, url: str, host: str, path: str, body: bytes, key: str, secret: str) -> urllib.request.Request:
    """A request with an S3 signature (version 4)."""
    now = datetime.datetime.now(datetime.UTC)
    stamp, day = now.strftime("%Y%m%dT%H%M%SZ"), now.strftime("%Y%m%d")
    digest = hashlib.sha256(body).hexdigest()
    names = "host;x-amz-content-sha256;x-amz-date"
    canonical = (
        f"{method}\n{path}\n\nhost:{host}\nx-amz-content-sha256:{digest}\nx-amz-date:{stamp}\n\n{names}\n{digest}"
    )
    scope = f"{day}/{REGION}/s3/aws4_request"
    text = f"AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
    chain = ("AWS4" + secret).encode()
    for part in (day, REGION, "s3", "aws4_request"):
        chain = hmac.new(chain, part.encode(), hashlib.sha256).digest()
    signature = hmac.new(chain, text.encode(), hashlib.sha256).hexdigest()
    headers = {
        "x-amz-date": stamp,
        "x-amz-content-sha256": digest,
        "Authorization": f"AWS4-HMAC-SHA256 Credential={key}/{scope}, SignedHeaders={names}, Signature={signature}",
    }
    return urllib.request.Request(url, body if method == "PUT" else None, headers, method=method)


def run(options: argparse.Namespace) -> None:
    """Exports and ends."""
    missing = [name for name in ("storage-bucket", "storage-endpoint") if not getattr(options, name.replace("-", "_"))]
    if missing:
        fail(f'required flags "{", ".join(missing)}" not set')
    pool = Pool(
        Database(
            options.postgres_host,
            options.postgres_port,
            options.postgres_user,
            options.postgres_password,
            options.postgres_database,
        )
    )
    day = datetime.date.today() - datetime.timedelta(days=1)
    scheme = "https" if options.storage_use_ssl else "http"
    for table, query in TABLES.items():
        try:
            with pool.cursor() as cursor:
                cursor.execute(query, (day,))
                columns = [column.name for column in cursor.description or ()]
                lines = [json.dumps(dict(zip(columns, row, strict=True)), default=str) for row in cursor]
        except Problem as problem:
            fail(str(problem))
        content = gzip.compress("".join(line + "\n" for line in lines).encode(), mtime=0)
        path = f"/{options.storage_bucket}/{day:%Y}/{day:%Y-%m}/{day}-{table}.jsonl.gz"
        request = signed(
            "PUT",
            f"{scheme}://{options.storage_endpoint}{path}",
            options.storage_endpoint,
            path,
            content,
            options.storage_access_key_id,
            options.storage_secret_access_key,
        )
        try:
            urllib.request.urlopen(request, timeout=30).close()
        except (urllib.error.URLError, OSError) as error:
            fail(f"cannot store {path} at {options.storage_endpoint}: {reason(error)}")
        log("exported", object=path, rows=len(lines))
