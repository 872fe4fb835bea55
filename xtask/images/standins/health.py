"""The health paths and the way of stopping that api, web and feed have in common."""

from __future__ import annotations

import os
import time

from acoustid import Settings
from shared import Answer, Checks, Handler, Request, Stop, healthy, log, start, web_server


class Service:
    """An HTTP process of the server image.

    The real health paths look only at the shutdown marker and the cluster's role. Here they also tell whether every
    dependency answers: that is the point of a stand-in.
    """

    def __init__(self, settings: Settings, stop: Stop, checks: Checks) -> None:
        self.settings, self.stop, self.checks = settings, stop, checks
        self.remove_marker()

    def remove_marker(self) -> None:
        """A marker left by an earlier life of the container says nothing about this one."""
        if os.path.exists(self.settings.shutdown_file):
            os.remove(self.settings.shutdown_file)

    def problem(self) -> str | None:
        """Why this process should get no requests."""
        if os.path.exists(self.settings.shutdown_file):
            return "shutdown in progress"
        return self.checks.problem()

    def health(self, request: Request) -> Answer | None:
        """The answer if the path is a health path."""
        if request.path in ("/_health_ro", "/_health_docker"):
            return healthy(self.problem())
        if request.path == "/_health":
            if not self.settings.master:
                return healthy("not the master")
            return healthy(self.problem())
        return None

    def run(self, name: str, port: int, handle: Handler) -> None:
        """Serves until told to stop: marks the shutdown, lets requests come in for a while, then ends."""
        start(web_server("0.0.0.0", port, lambda request: self.health(request) or handle(request)), name)
        self.stop.wait()
        with open(self.settings.shutdown_file, "w", encoding="ascii") as marker:
            marker.write("shutting down\n")
        log(f"{name}: health is 503 now, requests are still answered for {self.settings.shutdown_delay:g} s")
        # A second signal ends the process in the meantime.
        time.sleep(self.settings.shutdown_delay)
