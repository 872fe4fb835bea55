"""What Ingresses and the file provider say: which request goes where."""

from __future__ import annotations

import base64
import ipaddress
import itertools
import ssl
import tempfile
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

import yaml

from certificates import context, self_signed
from kubernetes import Api, Cache, Object
from shared import Answer, Problem, Stop, fail, log, reason

CONTROLLER = "traefik.io/ingress-controller"
ANNOTATION = "traefik.ingress.kubernetes.io/"

Middleware = Callable[[str, str, str, bool], Answer | None]


@dataclass
class Router:
    """One rule: host and path to servers, by way of middlewares."""

    host: str
    path: str
    exact: bool
    strict: bool
    servers: list[tuple[str, str, int]] = field(default_factory=list)
    pass_host: bool = True
    entry_points: list[str] = field(default_factory=list)
    middlewares: list[Middleware] = field(default_factory=list)
    tls: bool = False
    turn: Any = field(default_factory=itertools.count)

    def matches(self, host: str, path: str) -> bool:
        """Whether the request is this rule's."""
        if self.host.startswith("*."):
            if host.partition(".")[2] != self.host[2:]:
                return False
        elif self.host and host != self.host:
            return False
        if self.exact:
            return path == self.path
        if self.strict and self.path != "/":
            return path == self.path or path.startswith(self.path.rstrip("/") + "/")
        return path.startswith(self.path)

    def server(self) -> tuple[str, str, int] | None:
        """The next server: scheme, address, port."""
        return self.servers[next(self.turn) % len(self.servers)] if self.servers else None


class Dynamic:
    """The file provider: middlewares and certificates. The file is read once; the real program follows its changes."""

    def __init__(self, path: str) -> None:
        self.middlewares: dict[str, Middleware] = {}
        self.default: ssl.SSLContext | None = None
        self.hosts: dict[str, ssl.SSLContext] = {}
        self.fallback = threading.Lock()
        if not path:
            return
        try:
            with open(path, encoding="utf-8") as file:
                content = yaml.safe_load(file) or {}
        except (OSError, yaml.YAMLError) as error:
            fail(f"cannot read {path}: {reason(error)}")
        for name, middleware in ((content.get("http") or {}).get("middlewares") or {}).items():
            self.middlewares[f"{name}@file"] = build_middleware(name, middleware)
        certificate = (((content.get("tls") or {}).get("stores") or {}).get("default") or {}).get("defaultCertificate")
        if certificate:
            try:
                self.default = context(certificate["certFile"], certificate["keyFile"])
            except (OSError, ssl.SSLError) as error:
                fail(f"the default certificate: {reason(error)}")

    def certificate(self, host: str | None) -> ssl.SSLContext:
        """The certificate for a host: an Ingress's, the default one, or one of our own making."""
        if host and host in self.hosts:
            return self.hosts[host]
        with self.fallback:
            if self.default is None:
                self.default = self_signed()
        return self.default


def build_middleware(name: str, definition: dict) -> Middleware:
    """A middleware as a function of client, host, path and TLS; it answers, or gives None to let the request pass."""
    match definition:
        case {"ipAllowList": {"sourceRange": ranges, **more}}:
            networks = [ipaddress.ip_network(text, strict=False) for text in ranges]
            refusal = HTTPStatus(int(str(more.get("rejectStatusCode", 403))))

            def allow(client: str, _host: str, _path: str, _tls: bool) -> Answer | None:
                here = ipaddress.ip_address(client)
                return None if any(here in network for network in networks) else Answer(refusal.phrase, refusal.value)

            return allow
        case {"redirectScheme": {"scheme": scheme, **more}}:
            status = 301 if more.get("permanent") else 302

            def redirect(_client: str, host: str, path: str, tls: bool) -> Answer | None:
                if tls == (scheme == "https"):
                    return None
                return Answer("", status, {"Location": f"{scheme}://{host}{path}"})

            return redirect
    fail(f"middleware {name}: the stand-in knows ipAllowList and redirectScheme only, not {', '.join(definition)}")


class Ingresses:
    """The Kubernetes provider: watches what it routes by, and writes the status of Ingresses."""

    def __init__(self, stop: Stop, option: Callable[[str], str], dynamic: Dynamic) -> None:
        self.option = lambda name: option("providers.kubernetesingress." + name)
        self.dynamic = dynamic
        self.routers: list[Router] = []
        self.dirty = threading.Event()
        self.api = Api()
        namespaces = [name for name in self.option("namespaces").split(",") if name]
        caches: dict[str, list[Cache]] = {}

        def watch(group: str, resource: str, namespaced: bool = True) -> None:
            root = f"/apis/{group}" if "/" in group else f"/api/{group}"
            scopes = [f"/namespaces/{name}" for name in namespaces] if namespaced and namespaces else [""]
            caches[resource] = [Cache(self.api, f"{root}{scope}/{resource}", stop, self.dirty.set) for scope in scopes]

        watch("networking.k8s.io/v1", "ingresses")
        watch("v1", "services")
        watch("v1", "secrets")
        watch("discovery.k8s.io/v1", "endpointslices")
        if self.option("disableclusterscoperesources") != "true":
            watch("networking.k8s.io/v1", "ingressclasses", namespaced=False)
            watch("v1", "nodes", namespaced=False)
        self.caches = caches
        threading.Thread(target=self._run, args=(stop,), daemon=True).start()

    def problem(self) -> str | None:
        """What has not been listed yet."""
        waiting = [cache for caches in self.caches.values() for cache in caches if not cache.synced]
        return "; ".join(f"{cache.path}: {cache.problem}" for cache in waiting) or None

    def all(self, resource: str) -> list[Object]:
        """All objects of a kind."""
        return [item for cache in self.caches.get(resource, []) for item in cache.all()]

    def get(self, resource: str, namespace: str, name: str) -> Object | None:
        """One object."""
        found = (cache.get(namespace, name) for cache in self.caches.get(resource, []))
        return next((item for item in found if item is not None), None)

    def _run(self, stop: Stop) -> None:
        while not stop:
            self.dirty.wait(1)
            if not self.dirty.is_set() or self.problem() is not None:
                continue
            self.dirty.clear()
            # Several changes at once are one.
            stop.wait(0.1)
            try:
                self._route()
            except Exception as error:  # noqa: BLE001 - the old routes stay
                log(f"cannot route: {type(error).__name__}: {reason(error)}", "ERROR")

    def ours(self, ingress: Object) -> bool:
        """Whether an Ingress is of a class that this controller serves."""
        wanted = self.option("ingressclass")
        name = ingress["spec"].get("ingressClassName")
        if name is None:
            annotation = ingress["metadata"].get("annotations", {}).get("kubernetes.io/ingress.class", "")
            return annotation == wanted or (not wanted and annotation == "traefik")
        found = self.get("ingressclasses", "", name)
        return found is not None and found["spec"].get("controller") == CONTROLLER and wanted in ("", name)

    def _route(self) -> None:
        routers: list[Router] = []
        for ingress in filter(self.ours, self.all("ingresses")):
            namespace, spec = ingress["metadata"]["namespace"], ingress["spec"]
            self._certificates(namespace, spec.get("tls") or [])
            for rule in spec.get("rules") or []:
                for path in (rule.get("http") or {}).get("paths") or []:
                    router = self._router(
                        ingress, rule.get("host", ""), path.get("path") or "/", path["pathType"] == "Exact"
                    )
                    if router is not None:
                        self._servers(router, namespace, path["backend"].get("service"))
                        routers.append(router)
            self._publish(ingress)
        # The longest path first, and a named host before any host.
        routers.sort(
            key=lambda router: (bool(router.host), not router.host.startswith("*"), len(router.path), router.exact),
            reverse=True,
        )
        self.routers = routers
        log(f"{len(routers)} routes, {sum(bool(router.servers) for router in routers)} with servers")

    def _router(self, ingress: Object, host: str, path: str, exact: bool) -> Router | None:
        annotations = ingress["metadata"].get("annotations") or {}
        strict = self.option("strictprefixmatching") == "true"
        router = Router(host, path, exact, strict, tls=bool(ingress["spec"].get("tls")))
        if annotations.get(ANNOTATION + "router.tls") == "true":
            router.tls = True
        router.entry_points = [
            name for name in annotations.get(ANNOTATION + "router.entrypoints", "").split(",") if name
        ]
        for name in filter(None, annotations.get(ANNOTATION + "router.middlewares", "").split(",")):
            middleware = self.dynamic.middlewares.get(name.strip())
            if middleware is None:
                log(f"Ingress {ingress['metadata']['name']}: there is no middleware {name}: not routed", "ERROR")
                return None
            router.middlewares.append(middleware)
        return router

    def _servers(self, router: Router, namespace: str, backend: Object | None) -> None:
        service = self.get("services", namespace, backend["name"]) if backend else None
        if backend is None or service is None:
            return
        wanted = backend.get("port") or {}
        ports = service["spec"].get("ports") or []
        port = next(
            (
                p
                for p in ports
                if (p["port"] == wanted.get("number") if "number" in wanted else p.get("name") == wanted.get("name"))
            ),
            None,
        )
        if port is None:
            log(f"Service {backend['name']} has no such port as an Ingress names", "ERROR")
            return
        annotations = service["metadata"].get("annotations") or {}
        https = port["port"] == 443 or (port.get("name") or "").startswith("https")
        scheme = annotations.get(ANNOTATION + "service.serversscheme") or ("https" if https else "http")
        router.pass_host = annotations.get(ANNOTATION + "service.passhostheader") != "false"
        if service["spec"].get("type") == "ExternalName":
            if self.option("allowexternalnameservices") == "true":
                router.servers = [(scheme, service["spec"]["externalName"], port["port"])]
            return
        for piece in self.all("endpointslices"):
            labels = piece["metadata"].get("labels") or {}
            if (
                piece["metadata"]["namespace"] != namespace
                or labels.get("kubernetes.io/service-name") != backend["name"]
            ):
                continue
            number = next(
                (p["port"] for p in piece.get("ports") or [] if (p.get("name") or "") == (port.get("name") or "")), None
            )
            for endpoint in piece.get("endpoints") or []:
                if number is not None and (endpoint.get("conditions") or {}).get("ready", True):
                    router.servers += [(scheme, address, number) for address in endpoint["addresses"]]

    def _certificates(self, namespace: str, entries: list[Object]) -> None:
        for entry in entries:
            secret = self.get("secrets", namespace, entry.get("secretName", ""))
            if secret is None:
                log(f"TLS: there is no Secret {entry.get('secretName')}", "WARNING")
                continue
            with tempfile.TemporaryDirectory() as folder:
                try:
                    loaded = context(*save_pair(folder, secret.get("data") or {}))
                except (OSError, ssl.SSLError, KeyError, ValueError) as error:
                    log(f"TLS: Secret {entry['secretName']}: {reason(error)}", "ERROR")
                    continue
            self.dynamic.hosts.update({host: loaded for host in entry.get("hosts") or []})

    def endpoint(self) -> list[Object] | None:
        """What the status of an Ingress should say; None if nothing was asked for or there is nothing to say yet."""
        fixed = {name: self.option(f"ingressendpoint.{name}") for name in ("ip", "hostname")}
        if any(fixed.values()):
            return [{name: value for name, value in fixed.items() if value}]
        namespace, _, name = self.option("ingressendpoint.publishedservice").partition("/")
        service = self.get("services", namespace, name) if name else None
        if service is None:
            return None
        match service["spec"].get("type"):
            case "LoadBalancer":
                found = (service.get("status") or {}).get("loadBalancer", {}).get("ingress") or []
                return [{key: item[key] for key in ("ip", "hostname") if item.get(key)} for item in found] or None
            case "NodePort":
                nodes = [a for node in self.all("nodes") for a in node["status"].get("addresses") or []]
                outside = [a["address"] for a in nodes if a["type"] == "ExternalIP"] or [
                    a["address"] for a in nodes if a["type"] == "InternalIP"
                ]
                return [{"ip": address} for address in outside] or None
        return [{"ip": service["spec"]["clusterIP"]}]

    def _publish(self, ingress: Object) -> None:
        wanted = self.endpoint()
        there = ((ingress.get("status") or {}).get("loadBalancer") or {}).get("ingress") or []
        if wanted is None or [{k: item[k] for k in ("ip", "hostname") if k in item} for item in there] == wanted:
            return
        namespace, name = ingress["metadata"]["namespace"], ingress["metadata"]["name"]
        path = f"/apis/networking.k8s.io/v1/namespaces/{namespace}/ingresses/{name}/status"
        try:
            self.api.request("PUT", path, ingress | {"status": {"loadBalancer": {"ingress": wanted}}}).close()
        except (Problem, OSError) as error:
            log(f"cannot write the status of Ingress {name}: {reason(error)}", "ERROR")


def save_pair(folder: str, data: Object) -> tuple[str, str]:
    """A TLS Secret's certificate and key as files."""
    paths = []
    for name in ("tls.crt", "tls.key"):
        with open(f"{folder}/{name}", "wb") as file:
            file.write(base64.b64decode(data[name]))
        paths.append(file.name)
    return paths[0], paths[1]
