"""The measured programs: slotmux and its peers, each with one worker thread, and the servers behind them."""

import contextlib
import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from process import Child, answers, free_port

ROOT = Path(__file__).resolve().parents[2]
SLOTMUX = ROOT / "target/release/slotmux"
GENERATOR = ROOT / "target/release/slotmux-bench"
NODES = 3
BEFORE = "slotmux_before"


@dataclass
class Running:
    """A proxy that answers."""

    pid: int
    port: int
    upstream_ports: set


class Cluster:
    """Three primaries, started and ended by `slotmux demo`; its own slotmux stays idle."""

    def __init__(self, stack, folder):
        words = [SLOTMUX, "demo", "--replicas", "0", "--primaries", NODES, "--port", free_port()]
        log = Path(folder) / "cluster"
        child = stack.enter_context(Child(words, log))
        found = child.wait_for(lambda: _all(re.findall(r"127\.0\.0\.1:(\d+)\s+primary", log.read_text())))
        self.ports = {int(port) for port in found}


class PlainServers:
    """As many servers without cluster mode, for the proxy that does not support it."""

    def __init__(self, stack, folder):
        self.ports = set()
        for _ in range(NODES):
            port = free_port()
            words = ["redis-server", "--port", port, "--bind", "127.0.0.1", "--save", "", "--dir", folder]
            child = stack.enter_context(Child(words, Path(folder) / f"server-{port}"))
            child.wait_for(lambda port=port: answers(port))
            self.ports.add(port)


def _all(found):
    return found if len(found) == NODES else None


POLICY = """
[[namespace]]
name = "bench"
match = ["bench:"]
ttl = { default = "1h", max = "1d", jitter = 0.1 }
"""


@contextlib.contextmanager
def slotmux_with_policy(ports, folder):
    """slotmux that gives each key of the load a TTL."""
    conf = Path(folder) / "policy.toml"
    conf.write_text(POLICY)
    with slotmux(ports, folder, "--config", conf) as running:
        yield running


@contextlib.contextmanager
def slotmux_before(ports, folder):
    """slotmux as it was before a change: `SLOTMUX_BEFORE` names the program."""
    with slotmux(ports, folder, built=program(BEFORE)) as running:
        yield running


@contextlib.contextmanager
def slotmux(ports, folder, *more, built=SLOTMUX):
    """slotmux with one worker and otherwise the defaults."""
    port = free_port()
    urls = [word for node in sorted(ports) for word in ("--upstream", f"redis://127.0.0.1:{node}")]
    words = [built, "run", "--listen", f"127.0.0.1:{port}", "--admin", "none", "--workers", 1, *urls, *more]
    # Settings from the environment would change the measured configuration.
    with Child(words, Path(folder) / "slotmux", env={"PATH": os.environ["PATH"]}) as child:
        child.wait_for(lambda: answers(port))
        yield Running(child.pid, port, ports)


@contextlib.contextmanager
def predixy(ports, folder):
    """predixy with one worker: `PREDIXY` names the program."""
    port, conf = free_port(), Path(folder) / "predixy.conf"
    servers = "\n".join(f"        + 127.0.0.1:{port}" for port in sorted(ports))
    conf.write_text(
        f"Bind 127.0.0.1:{port}\nWorkerThreads 1\n"
        "Authority {\n    Auth {\n        Mode write\n    }\n}\n"
        "ClusterServerPool {\n    RefreshInterval 1\n    ServerTimeout 10\n    ServerFailureLimit 10\n"
        f"    ServerRetryTimeout 1\n    Servers {{\n{servers}\n    }}\n}}\n"
    )
    with Child([program("predixy"), conf], Path(folder) / "predixy") as child:
        child.wait_for(lambda: answers(port))
        yield Running(child.pid, port, ports)


@contextlib.contextmanager
def twemproxy(ports, folder):
    """twemproxy, which has one thread: `NUTCRACKER` names the program, or Debian's is on PATH."""
    port, conf = free_port(), Path(folder) / "nutcracker.yml"
    servers = "\n".join(f"  - 127.0.0.1:{port}:1" for port in sorted(ports))
    conf.write_text(
        f"load:\n  listen: 127.0.0.1:{port}\n  hash: murmur\n  hash_tag: '{{}}'\n  distribution: ketama\n  redis: true\n"
        f"  timeout: 10000\n  backlog: 4096\n  preconnect: true\n  servers:\n{servers}\n"
    )
    words = [program("nutcracker"), "-c", conf, "-s", free_port(), "-a", "127.0.0.1"]
    # Unlike the others it does not raise its soft limit of descriptors.
    with Child(["sh", "-c", 'ulimit -n "$(ulimit -Hn)"; exec "$@"', "sh", *words], Path(folder) / "nutcracker") as child:
        child.wait_for(lambda: answers(port))
        yield Running(child.pid, port, ports)


def program(name):
    """The path of a peer, or None: its variable first, then PATH."""
    return os.environ.get(name.upper()) or shutil.which(name)


# Name, start function, whether it needs a cluster.
PROXIES = {
    "slotmux": (slotmux, True),
    "slotmux before": (slotmux_before, True),
    "slotmux with a policy": (slotmux_with_policy, True),
    "predixy": (predixy, True),
    "twemproxy": (twemproxy, False),
}
WITHOUT_POLICY = [name for name in PROXIES if name != "slotmux with a policy"]


def available():
    """The installed proxies, slotmux first, and the missing ones."""
    programs = {"slotmux before": BEFORE, "predixy": "predixy", "twemproxy": "nutcracker"}
    missing = {name: variable for name, variable in programs.items() if not program(variable)}
    return [name for name in PROXIES if name not in missing], missing
