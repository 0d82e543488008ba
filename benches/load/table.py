"""The result as a table in Markdown: medians, ratios, and whether a bar is reached."""

from statistics import median

from scenarios import ACCEPT_SECONDS, SCENARIOS


def one_line(found):
    """The result of one measurement, for the progress line."""
    return (
        f"{found['cpu_us']:.2f} us/request ({found['user_us']:.2f} user), {found['requests_per_second']:.0f}/s, "
        f"p50 {found['latency_us']['p50']:.0f} us, {found['upstream_connections']} upstream connections, "
        f"{found['bytes_per_client']:.0f} B/client, {found['faults']} faults {found['samples'][:1] or ''}"
    )


def faults(results):
    """Requests of all measurements of slotmux that did not get their one right reply."""
    return sum(found["faults"] for by_proxy in results.values() for name in ("slotmux", "slotmux with a policy") for found in by_proxy.get(name, []))


def render(results):
    """All scenarios, one table of figures and one of bars."""
    lines = [
        "| | proxy | CPU µs/request | of it user | calls/request | requests/s | p50 µs | p99 µs | upstream connections "
        "| bytes/client | connect s | faults |",
        "|---|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    bars = ["| | ratio or figure | measured | must | want | |", "|---|---|---:|---:|---:|---|"]
    for key, by_proxy in results.items():
        lines += [_figures(key, name, rounds) for name, rounds in by_proxy.items() if rounds]
        bars += _bars(key, by_proxy)
    lines += ["", *bars, "", *(f"{key}: {SCENARIOS[key].what}" for key in results)]
    return "\n".join(lines)


def _figures(key, name, rounds):
    def middle(*path):
        return median(_at(found, path) for found in rounds)

    calls = next((f"{found['calls']:.2f}" for found in rounds if "calls" in found), "–")
    return (
        f"| {key} | {name} | {middle('cpu_us'):.2f} | {middle('user_us'):.2f} | {calls} "
        f"| {middle('requests_per_second'):,.0f} | {middle('latency_us', 'p50'):,.0f} | {middle('latency_us', 'p99'):,.0f} "
        f"| {middle('upstream_connections'):.0f} | {middle('bytes_per_client'):,.0f} | {middle('connect_seconds'):.2f} "
        f"| {sum(found['faults'] for found in rounds)} |"
    )


def _at(found, path):
    for name in path:
        found = found[name]
    return found


def _bars(key, by_proxy):
    scenario, ours = SCENARIOS[key], by_proxy.get("slotmux")
    if not ours:
        return []
    lines = []
    for peer, must, want in (
        ("predixy", scenario.must, scenario.want),
        ("twemproxy", scenario.must_twemproxy, None),
    ):
        if must and by_proxy.get(peer):
            ratios = [mine["cpu_us"] / theirs["cpu_us"] for mine, theirs in zip(ours, by_proxy[peer])]
            lines.append(_bar(key, f"CPU / {peer}", median(ratios), must, want))
    before = by_proxy.get("slotmux before")
    if before:
        ratios = [after["cpu_us"] / earlier["cpu_us"] for after, earlier in zip(ours, before)]
        lines.append(_bar(key, "CPU after / before", median(ratios), None))
    governed = by_proxy.get("slotmux with a policy")
    if governed:
        ratios = [with_it["cpu_us"] / mine["cpu_us"] for with_it, mine in zip(governed, ours)]
        lines.append(_bar(key, "CPU with a policy / without", median(ratios), scenario.must_policy))
    calls = next((found["calls"] for found in ours if "calls" in found), None)
    if scenario.calls and calls:
        lines.append(_bar(key, "calls per request", calls, scenario.calls))
    if scenario.idle_bytes:
        lines.append(_bar(key, "bytes per client", median(found["bytes_per_client"] for found in ours), scenario.idle_bytes))
    if key == "S5":
        lines.append(_bar(key, "seconds to connect 10,000", median(found["connect_seconds"] for found in ours), ACCEPT_SECONDS))
    if scenario.paced and by_proxy.get("predixy"):
        mine, theirs = (median(_at(found, ("latency_us", "p50")) for found in by_proxy[name]) for name in ("slotmux", "predixy"))
        lines.append(_bar(key, "p50 µs, predixy's as the bar", mine, theirs))
    return lines


def _bar(key, name, measured, must, want=None):
    if must is None:
        verdict = "–"
    else:
        verdict = "missed" if measured > must else "wanted" if want and measured <= want else "reached"
    shown = [f"{bar:.2f}" if bar else "–" for bar in (must, want)]
    return f"| {key} | {name} | {measured:.2f} | {shown[0]} | {shown[1]} | {verdict} |"
