"""Stand-in for Traefik: an ingress controller that watches Ingresses through the API and proxies HTTP to their pods.

It takes the real program's static options (unknown ones are an error, as there) and needs the same rights. What it does
of them: entry points with plain HTTP and, where a router has TLS, HTTPS on the same port; ping; Ingress routing by host
and path; the file provider's ipAllowList and redirectScheme middlewares and certificates; the status of Ingresses.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, field

from proxy import entry_point
from routing import Dynamic, Ingresses, Router
from shared import Answer, Listener, Stop, fail, start

# Options that are read, and the beginnings of those that are accepted and change nothing here.
READ = {
    "ping",
    "ping.entrypoint",
    "providers.file.filename",
    "providers.kubernetesingress",
    "providers.kubernetesingress.ingressclass",
    "providers.kubernetesingress.namespaces",
    "providers.kubernetesingress.strictprefixmatching",
    "providers.kubernetesingress.allowexternalnameservices",
    "providers.kubernetesingress.ingressendpoint.ip",
    "providers.kubernetesingress.ingressendpoint.hostname",
    "providers.kubernetesingress.ingressendpoint.publishedservice",
    "providers.kubernetesingress.disableclusterscoperesources",
}
ACCEPTED = (
    "accesslog",
    "api",
    "global.",
    "log",
    "metrics.",
    "providers.file.",
    "providers.kubernetesingress.allowemptyservices",
    "providers.kubernetesingress.nativelbbydefault",
    "providers.kubernetesingress.throttleduration",
    "providers.providersthrottleduration",
    "serverstransport.",
    "tracing.",
    "ping.",
)
ENTRY_POINT = (
    "address",
    "http",
    "http.tls",
    "http2.",
    "http3",
    "http.",
    "forwardedheaders.",
    "proxyprotocol.",
    "transport.",
    "asdefault",
    "observability.",
)


@dataclass
class Options:
    """The static configuration."""

    values: dict[str, str] = field(default_factory=dict)
    entry_points: dict[str, str] = field(default_factory=dict)

    @classmethod
    def parse(cls, arguments: list[str]) -> Options:
        """Reads `--a.b.c=value` and `--a.b.c` (true); names do not depend on case."""
        options = cls()
        for argument in arguments:
            if not argument.startswith("--"):
                fail(f"command traefik error: unexpected argument: {argument}")
            name, _, value = argument[2:].partition("=")
            name, value = name.lower(), value if "=" in argument else "true"
            match name.split(".", 2):
                case ["entrypoints", point, rest] if rest.startswith(ENTRY_POINT):
                    if rest == "address":
                        options.entry_points[point] = value
                    options.values[name] = value
                case _ if name in READ or name.startswith(ACCEPTED):
                    options.values[name] = value
                case [*parts]:
                    fail(f"failed to decode configuration from flags: field not found, node: {parts[-1]} (--{name})")
        if not options.entry_points:
            options.entry_points["http"] = ":80"
        return options

    def get(self, name: str) -> str:
        """An option's value; empty when it was not given."""
        return self.values.get(name, "")

    def on(self, name: str) -> bool:
        """Whether a switch is on, or something below it was set."""
        return self.get(name).lower() == "true" or any(key.startswith(name + ".") for key in self.values)


def address(text: str) -> tuple[str, int]:
    """Host and port of `:8000`, `127.0.0.1:8000/tcp`."""
    host, _, port = text.split("/")[0].rpartition(":")
    try:
        return host or "0.0.0.0", int(port)
    except ValueError:
        fail(f"the entry point's address is not HOST:PORT: {text}")


def main() -> None:
    """Runs until stopped."""
    arguments = sys.argv[1:]
    if arguments[:1] == ["version"]:
        print("Version: stand-in")
        return
    if arguments[:1] == ["healthcheck"]:
        fail("the stand-in has no healthcheck command")
    stop = Stop()
    options = Options.parse(arguments)
    dynamic = Dynamic(options.get("providers.file.filename"))
    ingresses = None
    if options.on("providers.kubernetesingress"):
        ingresses = Ingresses(stop, options.get, dynamic)
    ping_point = (options.get("ping.entrypoint") or "traefik").lower() if options.on("ping") else None
    if ping_point == "traefik":
        options.entry_points.setdefault("traefik", ":8080")
    if ping_point and ping_point not in options.entry_points:
        fail(f"ping: there is no entry point {ping_point}")

    def ping(path: str) -> Answer | None:
        if path != "/ping":
            return None
        if stop:
            return Answer("shutting down\n", 503)
        problem = ingresses.problem() if ingresses else None
        return Answer("OK") if problem is None else Answer(problem + "\n", 503)

    def routers() -> list[Router]:
        return ingresses.routers if ingresses else []

    servers: list[Listener] = []
    for name, text in options.entry_points.items():
        host, port = address(text)
        tls = options.on(f"entrypoints.{name}.http.tls")
        servers.append(entry_point(name, host, port, tls, routers, dynamic, ping if name == ping_point else None))
        start(servers[-1], f"entry point {name}")
    stop.wait()
    for server in servers:
        server.shutdown()


if __name__ == "__main__":
    main()
