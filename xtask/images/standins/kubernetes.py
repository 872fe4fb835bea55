"""A small client of the Kubernetes API for a pod: lists kinds and follows their changes with the pod's own token."""

from __future__ import annotations

import http.client
import json
import os
import ssl
import threading
from collections.abc import Callable
from typing import Any

from shared import Problem, Stop, fail, log, reason

ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"

Object = dict[str, Any]


class Forbidden(Problem):
    """The account lacks a right."""


class Api:
    """Requests to the API server that the pod's environment names."""

    def __init__(self) -> None:
        self.host = os.environ.get("KUBERNETES_SERVICE_HOST", "")
        self.port = int(os.environ.get("KUBERNETES_SERVICE_PORT", "443"))
        if not self.host:
            fail("KUBERNETES_SERVICE_HOST is not set: this is no pod")
        try:
            self.tls = ssl.create_default_context(cafile=f"{ACCOUNT}/ca.crt")
        except OSError as error:
            fail(f"no service account is mounted at {ACCOUNT}: {error}")

    def request(
        self, method: str, path: str, body: Object | None = None, timeout: float = 10
    ) -> http.client.HTTPResponse:
        """An answer, its body still to be read."""
        connection = http.client.HTTPSConnection(self.host, self.port, timeout=timeout, context=self.tls)
        # Read each time: the kubelet renews it.
        with open(f"{ACCOUNT}/token", encoding="ascii") as token:
            headers = {"Authorization": f"Bearer {token.read().strip()}", "Accept": "application/json"}
        content = None if body is None else json.dumps(body)
        if content is not None:
            headers["Content-Type"] = "application/json"
        connection.request(method, path, content, headers)
        answer = connection.getresponse()
        if answer.status >= 400:
            text = json.loads(answer.read() or b"{}").get("message", answer.reason)
            connection.close()
            raise (Forbidden if answer.status in (401, 403) else Problem)(f"{method} {path}: {answer.status} {text}")
        return answer

    def get(self, path: str) -> Object:
        """A whole answer."""
        with self.request("GET", path) as answer:
            return json.load(answer)


class Cache:
    """All objects of one kind in one place, kept up to date in the background."""

    def __init__(self, api: Api, path: str, stop: Stop, changed: Callable[[], None]) -> None:
        self.api, self.path, self.stop, self.changed = api, path, stop, changed
        self.objects: dict[tuple[str, str], Object] = {}
        self.synced = False
        self.problem = "not listed yet"
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        while not self.stop:
            try:
                self._watch(self._list())
            except Forbidden as problem:
                # Nothing that waiting would cure.
                log(str(problem), "ERROR")
                os._exit(1)
            except (Problem, OSError, ValueError, http.client.HTTPException) as error:
                self.problem = reason(error)
                log(f"{self.path}: {self.problem}", "WARNING")
                self.stop.wait(1)

    def _list(self) -> str:
        found = self.api.get(self.path)
        self.objects = {key(item): item for item in found["items"]}
        self.synced = True
        self.changed()
        return found["metadata"]["resourceVersion"]

    def _watch(self, version: str) -> None:
        """Follows changes until the server ends the stream, as it does every few minutes, or the version is too old."""
        while not self.stop:
            path = f"{self.path}?watch=1&allowWatchBookmarks=true&timeoutSeconds=240&resourceVersion={version}"
            with self.api.request("GET", path, timeout=300) as stream:
                for line in stream:
                    event = json.loads(line)
                    item = event["object"]
                    if event["type"] == "ERROR":
                        return
                    version = item["metadata"]["resourceVersion"]
                    if event["type"] == "BOOKMARK":
                        continue
                    objects = dict(self.objects)
                    if event["type"] == "DELETED":
                        objects.pop(key(item), None)
                    else:
                        objects[key(item)] = item
                    self.objects = objects
                    self.changed()

    def get(self, namespace: str, name: str) -> Object | None:
        """One object."""
        return self.objects.get((namespace, name))

    def all(self) -> list[Object]:
        """Every object, in order."""
        return [self.objects[key] for key in sorted(self.objects)]


def key(item: Object) -> tuple[str, str]:
    """Namespace (empty for what has none) and name."""
    return item["metadata"].get("namespace", ""), item["metadata"]["name"]
