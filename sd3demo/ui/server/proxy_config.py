"""The configuration of HAProxy, which stands before the processes of one page. Pure.

A visitor stays with one process, for gradio keeps sessions, logins and files that were just made in memory.
Whoever opens the page is sent to the process with the fewest connections and gets a cookie that names it; a
program that keeps no cookies is sent by its address.
"""

from collections.abc import Sequence
from dataclasses import dataclass

COOKIE = "sd3demo_worker"
CHECKED = 2  # seconds between two looks at a process; its figures for /metrics are as old at most
LONGEST = "1h"  # a stream without news: gradio sends some every 15 s
OPENING = ("/", "/config")  # what a browser, and a client of gradio, ask for first


@dataclass(frozen=True)
class ProxiedPage:
    """Where the page listens, and the ports of its processes on this machine."""

    host: str
    port: int
    workers: Sequence[int]
    behind_proxy: bool = False
    """Whether another proxy stands before this one: then its X-Forwarded-For is what tells visitors apart."""


def haproxy_config(page: ProxiedPage) -> str:
    """Return the file: visits by cookie, calls of programs by address, /readyz where one process is ready."""
    forwarding = [] if page.behind_proxy else ["http-request del-header X-Forwarded-For", "option forwardfor"]
    cookie = f"cookie {COOKIE} insert indirect nocache httponly"
    sections = {
        "global": ["maxconn 4096"],
        "defaults": [
            "mode http",
            "timeout connect 5s",
            "timeout http-request 60s",
            f"timeout client {LONGEST}",
            f"timeout server {LONGEST}",
            "timeout check 10s",
            "retries 3",
            "retry-on conn-failure empty-response",
            "option redispatch",
        ],
        "frontend page": [
            f"bind {page.host.removeprefix('[').removesuffix(']')}:{page.port}",
            *forwarding,
            "http-request disable-l7-retry if METH_POST",
            "use_backend ready if { path /readyz } { nbsrv(ready) gt 0 }",
            f"use_backend visits if {{ path {' '.join(OPENING)} }} or {{ req.cook({COOKIE}) -m found }}",
            "default_backend calls",
        ],
        "backend visits": ["balance leastconn", cookie, *_servers(page.workers, "/healthz")],
        "backend calls": [
            "balance source",
            "hash-type consistent",
            cookie,
            *_servers(page.workers, "/healthz"),
        ],
        "backend ready": ["balance roundrobin", *_servers(page.workers, "/readyz", cookies=False)],
    }
    return "\n".join(f"{name}\n" + "".join(f"    {line}\n" for line in of) for name, of in sections.items())


def _servers(ports: Sequence[int], checked: str, *, cookies: bool = True) -> list[str]:
    return [
        "option httpchk",
        f"http-check send meth GET uri {checked} hdr Host localhost",
        "http-check expect status 200",
        f"default-server check inter {CHECKED}s fall 3 rise 1",
        *(
            f"server worker-{number} 127.0.0.1:{port}" + (f" cookie {number}" if cookies else "")
            for number, port in enumerate(ports, 1)
        ),
    ]
