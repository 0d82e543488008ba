#!/usr/bin/env python3
"""Head-of-line blocking: the delay of small GETs by other clients' big values and slow scripts.

The 99th percentile of 64-byte GETs at a fixed rate, so that waiting is measured: alone; while other clients
fetch values of 1 MiB from the same node; and while another node runs scripts of 100 ms. On slotmux, on twemproxy where
`nutcracker` is installed, and direct, in interleaved rounds of which the medians are shown. See docs/performance.md.
"""

import argparse
import contextlib
import json
import multiprocessing
import socket
import statistics
import subprocess
import sys
import tempfile
import time

from process import end
from proxies import GENERATOR, PROXIES, Cluster, PlainServers, Running, available

SMALL = ("--clients", 50, "--rate", 2000, "--command", "get", "--value-size", 64, "--keys", 1000)
BIG = ("--clients", 4, "--command", "get", "--value-size", "1MiB", "--keys", 4)
# About 100 ms of the node's time.
SCRIPT = "local t=redis.call('TIME') local s=t[1]*1000000+t[2] repeat t=redis.call('TIME') until t[1]*1000000+t[2]-s>100000 return 1"
SCRIPT_PAUSE = 0.05


def call(port, *words):
    """The one-line reply to a command."""
    words = [str(word).encode() for word in words]
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in words))
        return connection.makefile("rb").readline().rstrip(b"\r\n")


@contextlib.contextmanager
def generator(port, prefix, *load):
    """`slotmux-bench` on keys of one slot; `communicate` returns its report."""
    words = [GENERATOR, "--target", f"127.0.0.1:{port}", "--key-prefix", prefix, "--no-progress", "--json", *load]
    process = subprocess.Popen([str(word) for word in words], stdout=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        end(process)


def run_scripts(port, key, stop):
    """One script after the other."""
    while not stop.is_set():
        reply = call(port, "EVAL", SCRIPT, 1, key)
        assert reply == b":1", reply
        time.sleep(SCRIPT_PAUSE)


@contextlib.contextmanager
def scripts(port, tag):
    """Scripts on the node of a tag, from a separate process."""
    stop = multiprocessing.Event()
    job = multiprocessing.Process(target=run_scripts, args=(port, f"{{{tag}}}:script", stop))
    job.start()
    try:
        yield
    finally:
        stop.set()
        job.join()
    if job.exitcode:
        raise SystemExit("a script failed")


def percentile(port, tag, seconds):
    """The 99th percentile of small GETs in milliseconds."""
    with generator(port, f"{{{tag}}}:small:", *SMALL, "--duration", f"{seconds}s") as process:
        report = json.loads(process.communicate()[0])
    if not report["ok"]:
        raise SystemExit(f"faults: {report}")
    return report["latency_us"]["p99"] / 1000


def measure(port, here, elsewhere, options):
    """Alone, beside big values, and beside scripts: the last only if there is another node."""
    call(port, "GET", f"{{{here}}}:warm")
    found = {"alone": percentile(port, here, options.seconds)}
    big = (*BIG, "--rate", options.big_rate, "--duration", f"{options.seconds + 2}s", "--warmup", "500ms")
    with generator(port, f"{{{here}}}:big:", *big) as process:
        time.sleep(1)
        found["big"] = percentile(port, here, options.seconds)
        report = json.loads(process.communicate()[0])
        if not report["ok"]:
            raise SystemExit(f"faults: {report}")
        found["megabytes"] = report["replies"] / report["seconds"]
    if elsewhere is not None:
        with scripts(port, elsewhere):
            time.sleep(0.2)
            found["scripts"] = percentile(port, here, options.seconds)
    return found


def two_tags(port, ports):
    """Two hash tags on different nodes."""
    home = {}
    for number in range(100):
        tag = f"tag{number}"
        key = f"{{{tag}}}:home"
        assert call(port, "SET", key, "here") == b"+OK", key
        node = next(node for node in ports if call(node, "EXISTS", key) == b":1")
        home.setdefault(node, tag)
        if len(home) == 2:
            return home.values()
    raise SystemExit("all keys lie on one node")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--rounds", type=int, default=3, help="interleaved rounds [3]")
    parser.add_argument("--seconds", type=int, default=5, help="time of one load [5]")
    parser.add_argument("--big-rate", type=int, default=100, help="values of 1 MiB asked for per second [100]")
    options = parser.parse_args()
    found = {}
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        cluster, plain = Cluster(stack, folder), PlainServers(stack, folder)
        there, _ = available()
        peers = [name for name in ("slotmux", "predixy", "twemproxy") if name in there]
        for turn in range(options.rounds):
            for name in peers:
                start, needs_cluster = PROXIES[name]
                ports = cluster.ports if needs_cluster else plain.ports
                with start(ports, folder) as running:
                    tags = two_tags(running.port, ports)
                    found.setdefault(name, []).append(measure(running.port, *tags, options))
                print(f"round {turn + 1} {name}: {found[name][-1]}", file=sys.stderr)
            row = found.setdefault("direct, one server", [])
            row.append(measure(min(plain.ports), "tag0", None, options))
            print(f"round {turn + 1} direct: {row[-1]}", file=sys.stderr)
    print("| p99 of GET 64 B, ms | alone | beside GETs of 1 MiB | these in MiB/s | while another node runs scripts of 100 ms |")
    print("|---|---:|---:|---:|---:|")
    for name, rounds in found.items():
        cells = [statistics.median(figures) if figures else None for figures in (
            [each[what] for each in rounds if what in each] for what in ("alone", "big", "megabytes", "scripts")
        )]
        print(f"| {name} | " + " | ".join("–" if cell is None else f"{cell:.2f}" for cell in cells) + " |")


if __name__ == "__main__":
    main()
