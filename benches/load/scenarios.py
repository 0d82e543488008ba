"""The loads, and the bars that slotmux must reach in each."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Scenario:
    """One load: arguments of slotmux-bench, and the bars.

    `must` and `want` are ratios of CPU time per request to predixy's in the same round, `must_twemproxy` to
    twemproxy's; `calls` are system calls per request.
    """

    what: str
    load: tuple
    keys: int = 100_000
    size: str = "64"
    must: float | None = None
    want: float | None = None
    must_twemproxy: float | None = None
    calls: float | None = None
    # Resident bytes of an idle client that was served before; such a load has no other bar.
    idle_bytes: int | None = None
    # Whether the load has a fixed rate: then latency counts.
    paced: bool = False
    # The proxies that support it; empty: all without a policy.
    only: tuple = ()
    # Highest ratio of CPU time per request with a policy to that without.
    must_policy: float | None = None


def _load(clients, depth, *more):
    return ("--clients", str(clients), "--depth", str(depth), *more)


_GET, _MIX = ("--command", "get"), ("--mix", "get=80,set=20")
_POLICY = ("slotmux", "slotmux with a policy")
_IDLE = ("--idle", "--clients", "10000")

SCENARIOS = {
    "S1": Scenario("50 clients, depth 1, GET 64 B", _load(50, 1, *_GET), must=1.05, want=0.95, must_twemproxy=0.89, calls=2.4),
    "S2": Scenario("50 clients, depth 32, GET 64 B", _load(50, 32, *_GET), must=0.80, want=0.60, must_twemproxy=0.28, calls=0.12),
    "S3": Scenario("1,000 clients, depth 1, 80/20 GET/SET", _load(1000, 1, *_MIX), must=0.95, want=0.85, must_twemproxy=0.66, calls=2.1),
    "S4": Scenario("10,000 clients, depth 1, 80/20 GET/SET", _load(10000, 1, *_MIX), must=0.95, want=0.88, must_twemproxy=0.66, calls=2.1),
    "S5": Scenario("10,000 clients, one GET each, then idle", (*_IDLE, "--depth", "1"), idle_bytes=1024),
    # Only slotmux: predixy and twemproxy do not speak RESP3.
    "S5b": Scenario(
        "10,000 clients, HELLO 3, CLIENT SETINFO and SETNAME, 64 GETs each, then idle",
        (*_IDLE, "--depth", "64", "--resp", "3", "--introduction", "library"), idle_bytes=1536, only=("slotmux",),
    ),
    "S6": Scenario("50 clients, 20,000 requests/s, GET 64 B", _load(50, 1, *_GET, "--rate", "20000"), paced=True),
    "S7": Scenario("50 clients, MGET of 10 keys over slots", _load(50, 1, "--command", "mget:10"), must=1.0, want=0.80, must_twemproxy=0.93),
    "S8": Scenario("50 clients, depth 1, GET 16 KiB", _load(50, 1, *_GET), keys=5_000, size="16KiB", must=1.05, want=1.0, must_twemproxy=0.89),
    "S9": Scenario("50 clients, depth 16, SET 1 KiB", _load(50, 16, "--command", "set"), size="1KiB", must=0.85, want=0.65, must_twemproxy=0.53),
    # The cost of a policy: SET carries its TTL itself, HSET needs a block of MULTI, HSET, PEXPIRE and EXEC.
    "T1": Scenario("50 clients, depth 1, SET 64 B", _load(50, 1, "--command", "set"), only=_POLICY, must_policy=1.1),
    "T2": Scenario("50 clients, depth 16, SET 64 B", _load(50, 16, "--command", "set"), only=_POLICY, must_policy=1.1),
    "T3": Scenario("50 clients, depth 1, HSET 64 B", _load(50, 1, "--command", "hset"), only=_POLICY),
    "T4": Scenario("50 clients, depth 16, HSET 64 B", _load(50, 16, "--command", "hset"), only=_POLICY),
}

# Seconds within which 10,000 connections have to be accepted and greeted.
ACCEPT_SECONDS = 0.5
