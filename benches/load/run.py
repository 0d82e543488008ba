#!/usr/bin/env python3
"""Compares slotmux with other proxies under the same loads, in interleaved rounds, each with one worker thread.

The main figure is CPU time per request: it is the cost of a request, and it is steadier than wall time where the
generator, the proxy and the servers share the cores. Needs a release build; see docs/performance.md.
"""

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time

import table
from process import CallCount, connections_to, cpu_seconds, end, resident_bytes
from proxies import GENERATOR, PROXIES, WITHOUT_POLICY, SLOTMUX, Cluster, PlainServers, available
from scenarios import SCENARIOS

# How long clients have been idle when their memory is read: buffers are freed after a second or two.
IDLE_SECONDS = 4


class Generator:
    """`slotmux-bench --step`: it connects, waits for a line, loads, reports, and waits for another."""

    def __init__(self, scenario, port, seconds, load):
        words = [GENERATOR, "--target", f"127.0.0.1:{port}", "--step", "--json", "--no-progress", "--keys", scenario.keys]
        words += ["--value-size", scenario.size, *scenario.load]
        words += [] if scenario.idle_bytes else ["--warmup", "500ms", "--duration", f"{seconds}s"]
        words += [] if load else ["--no-load"]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        self.process = subprocess.Popen([str(word) for word in words], **pipes)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        end(self.process)

    def step(self):
        """Lets it continue."""
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def line(self):
        """Its next line; without one the run ends."""
        text = self.process.stdout.readline()
        if not text:
            raise SystemExit("slotmux-bench ended early")
        return text.strip()


def measure(scenario, proxy, seconds, load, before):
    """One load on one proxy: the generator's report, and the resources that the proxy used."""
    with Generator(scenario, proxy.port, seconds, load) as generator:
        generator.line()
        spent = cpu_seconds(proxy.pid)
        generator.step()
        text = generator.line()
        if scenario.idle_bytes:
            time.sleep(IDLE_SECONDS)
            held = resident_bytes(proxy.pid)
            connections = connections_to(proxy.pid, proxy.upstream_ports)
            generator.step()
            text = generator.line()
        else:
            held, connections = resident_bytes(proxy.pid), connections_to(proxy.pid, proxy.upstream_ports)
        user, system = (after - start for after, start in zip(cpu_seconds(proxy.pid), spent))
        report = json.loads(text)
        if not scenario.idle_bytes:
            generator.step()
    replies = max(report["replies"], 1)
    return {
        "replies": report["replies"],
        "faults": sum(report[kind] for kind in ("errors", "wrong", "missing", "lost")),
        "samples": report.get("samples", []),
        "connected": report["connected"],
        "connect_seconds": report["connect_seconds"],
        "requests_per_second": report["requests_per_second"],
        "latency_us": report["latency_us"],
        "cpu_us": (user + system) / replies * 1e6,
        "user_us": user / replies * 1e6,
        "upstream_connections": connections,
        "bytes_per_client": (held - before) / report["clients"],
    }


def calls_per_request(scenario, proxy, folder):
    """System calls per request, in a separate run: counting makes a proxy several times slower."""
    with Generator(scenario, proxy.port, 2, False) as generator:
        generator.line()
        with CallCount(proxy.pid, folder) as calls:
            generator.step()
            report = json.loads(generator.line())
        generator.step()
    return calls.total / max(report["replies"], 1)


def main():
    options = arguments()
    names, missing = available()
    names = [name for name in names if name in options.proxies]
    for name, program in missing.items():
        print(f"{name} is not measured: set {program.upper()} to its program", file=sys.stderr)
    if not SLOTMUX.exists() or not GENERATOR.exists():
        raise SystemExit("build first: cargo build --release --workspace")
    results = {scenario: {name: [] for name in names} for scenario in options.only}
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        backends = {True: Cluster(stack, folder), False: PlainServers(stack, folder)}
        loaded = set()
        for turn in range(options.rounds):
            for key in options.only:
                scenario = SCENARIOS[key]
                # Every round in another order, so that no proxy is always the first on warm servers.
                order = [name for name in names if name in (scenario.only or WITHOUT_POLICY)]
                for name in order[turn % len(order):] + order[: turn % len(order)]:
                    start, in_cluster = PROXIES[name]
                    data = (in_cluster, scenario.keys, scenario.size)
                    with start(backends[in_cluster].ports, folder) as proxy:
                        before = resident_bytes(proxy.pid)
                        if scenario.idle_bytes and data not in loaded:
                            fill(scenario, proxy)
                            loaded.add(data)
                            before = resident_bytes(proxy.pid)
                        found = measure(scenario, proxy, options.seconds, data not in loaded, before)
                        loaded.add(data)
                        if options.calls and turn == 0 and not (scenario.idle_bytes or scenario.paced):
                            found["calls"] = calls_per_request(scenario, proxy, folder)
                    results[key][name].append(found)
                    print(f"round {turn + 1} {key} {name}: {table.one_line(found)}", file=sys.stderr)
    if options.json:
        json.dump(results, sys.stdout, indent=1)
        print()
    else:
        print(table.render(results))
    sys.exit(1 if table.faults(results) else 0)


def fill(scenario, proxy):
    """Stores the keys by a few connections, before the idle ones are opened."""
    words = [GENERATOR, "--target", f"127.0.0.1:{proxy.port}", "--keys", scenario.keys, "--value-size", scenario.size]
    words += ["--requests", 1, "--no-progress", "--json"]
    subprocess.run([str(word) for word in words], check=True, stdout=subprocess.DEVNULL)


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3, help="interleaved rounds; medians are shown [3]")
    parser.add_argument("--seconds", type=float, default=5, help="time of one load [5]")
    parser.add_argument("--only", type=_list(SCENARIOS), default=list(SCENARIOS), metavar="S1,S2", help="these loads")
    parser.add_argument("--proxies", type=_list(PROXIES), default=list(PROXIES), metavar="NAMES", help="these proxies")
    parser.add_argument("--calls", action="store_true", help="count system calls too (needs strace)")
    parser.add_argument("--json", action="store_true", help="every figure of every round as one JSON object")
    return parser.parse_args()


def _list(known):
    def parse(text):
        names = text.split(",")
        unknown = [name for name in names if name not in known]
        if unknown:
            raise argparse.ArgumentTypeError(f"{unknown} not in {list(known)}")
        return names

    return parse


if __name__ == "__main__":
    os.environ.pop("SLOTMUX_BENCH_PASSWORD", None)
    main()
