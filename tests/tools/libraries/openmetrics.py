"""The page of metrics read strictly: HOST ADMIN_PORT NAMESPACE. As OpenMetrics and in the older text form, by the parsers of
Prometheus' own client library; and the families as they are by its rules of naming.
"""

import math
import sys
import traceback
import urllib.request

from prometheus_client.openmetrics.parser import text_string_to_metric_families as strict
from prometheus_client.parser import text_string_to_metric_families as older

HOST, PORT, NAMESPACE = sys.argv[1:4]
OPEN_METRICS = "application/openmetrics-text"
# The Accept header of Prometheus.
USUAL = f"{OPEN_METRICS}; version=1.0.0,{OPEN_METRICS}; version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1"


def page(accept=None):
    headers = {"Accept": accept} if accept else {}
    request = urllib.request.Request(f"http://{HOST}:{PORT}/metrics", headers=headers)
    with urllib.request.urlopen(request) as answer:
        return answer.headers["Content-Type"], answer.read().decode("utf-8")


def equal(found, wanted):
    if found != wanted:
        raise AssertionError(f"{found!r:.300} is not {wanted!r:.300}")


def holds(condition, text):
    if not condition:
        raise AssertionError(text)


def check_the_strict_parser_takes_it():
    for accept in [None, USUAL, OPEN_METRICS]:
        kind, text = page(accept)
        equal(kind, f"{OPEN_METRICS}; version=1.0.0; charset=utf-8")
        holds(text.endswith("\n# EOF\n") and text.count("# EOF") == 1, "its end")
        families = list(strict(text))
        holds(len(families) > 50, len(families))
        names = [family.name for family in families]
        equal(len(names), len(set(names)))


def check_the_older_form():
    kind, text = page("text/plain")
    equal(kind, "text/plain; version=0.0.4; charset=utf-8")
    holds("# EOF" not in text and "# UNIT" not in text, text[-200:])
    families = list(older(text))
    # Every family has its type: in this form it is that of the samples' own names.
    equal([family.name for family in families if family.type in ("unknown", "untyped")], [])
    equal({family.name for family in families}, {family.name for family in strict(page()[1])})
    both = {(sample.name, tuple(sorted(sample.labels.items()))) for family in families for sample in family.samples}
    equal(both, {(sample.name, tuple(sorted(sample.labels.items()))) for family in strict(page()[1]) for sample in family.samples})


def check_names_and_words():
    text = page()[1]
    for family in strict(text):
        holds(family.documentation and family.documentation[-1] not in ".!", f"the words of {family.name}")
        holds("\\" not in family.documentation and "\n" not in family.documentation, family.documentation)
        holds(family.type in ("counter", "gauge", "histogram"), f"{family.name} is {family.type}")
        for sample in family.samples:
            if family.type == "counter":
                equal(sample.name, f"{family.name}_total")
                holds(sample.value >= 0, sample)
            # A unit is a base unit, and the end of the name.
            for part in ("_ms", "_milliseconds", "_microseconds", "_kb", "_kilobytes", "_percent"):
                holds(part not in family.name, family.name)
            holds(math.isfinite(sample.value), sample)


def check_histograms_end_at_infinity():
    found = 0
    for family in strict(page()[1]):
        if family.type != "histogram":
            continue
        holds(family.name.endswith("_seconds"), family.name)
        series = {}
        for sample in family.samples:
            labels = dict(sample.labels)
            bound = labels.pop("le", None)
            one = series.setdefault(tuple(labels.items()), {"buckets": []})
            if bound is not None:
                one["buckets"].append((bound, sample.value))
            else:
                one[sample.name.rsplit("_", 1)[1]] = sample.value
        for one in series.values():
            bounds = [float(bound) for bound, _ in one["buckets"]]
            counts = [count for _, count in one["buckets"]]
            equal(one["buckets"][-1][0], "+Inf")
            equal(bounds, sorted(set(bounds)))
            holds(all(math.isfinite(bound) and bound < 3600 for bound in bounds[:-1]), bounds)
            equal(counts, sorted(counts))
            equal(counts[-1], one["count"])
            holds(one["sum"] > 0 or one["count"] == 0, one)
            found += one["count"] > 0
    holds(found > 0, "no series has counted anything")


def check_labels_are_what_they_were():
    for parse, text in [(strict, page()[1]), (older, page("text/plain")[1])]:
        names = {sample.labels.get("namespace") for family in parse(text) for sample in family.samples}
        holds(NAMESPACE in names, names)


def main():
    passed = failed = 0
    for name, check in [item for item in globals().items() if item[0].startswith("check_")]:
        try:
            check()
            passed += 1
        except Exception:
            failed += 1
            print(f"FAILED openmetrics {name}")
            traceback.print_exc(limit=-6, file=sys.stdout)
    print(f"openmetrics: {passed} passed, {failed} failed")
    return failed


sys.exit(min(main(), 1))
