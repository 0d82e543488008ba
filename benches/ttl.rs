//! The cost of governing a request, compared with only reading it, for the commands that policies rewrite most.

use std::hint::black_box;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use slotmux_core::command::{CommandRef, resolve};
use slotmux_core::config::{Config, Multi, Namespace, RetryWrites, Ttl};
use slotmux_core::policy::{Governed, Policies, govern};
use slotmux_core::resp::request::Request;
use slotmux_core::resp::{Limits, scan_request, write};

/// A fixed time: only points in time need a clock.
const NOW: fn() -> u64 = || 86_400_000_000;

fn namespace(name: &str, ttl: Ttl) -> Namespace {
    Namespace {
        name: name.to_owned(),
        prefixes: vec![format!("{name}:")],
        ttl,
        ttl_env: Vec::new(),
        read_only: false,
        max_key: None,
        max_value: None,
        deny: Vec::new(),
        multi: Multi::default(),
        cross_slot: slotmux_core::config::CrossSlot::default(),
        retry_writes: RetryWrites::default(),
    }
}

/// Four namespaces, three with a policy and one without, as the first user has them.
fn policies() -> Policies {
    let bounded = |jitter| Ttl {
        default: Some(Duration::from_secs(43_200)),
        max: Some(Duration::from_secs(604_800)),
        jitter,
        ..Ttl::default()
    };
    Policies::new(&Config {
        namespaces: vec![
            namespace("llm_response_cache", bounded(0.1)),
            namespace("community_reports", bounded(0.1)),
            namespace("text_chunks", bounded(0.0)),
            namespace("full_docs", Ttl::default()),
        ],
        ..Config::default()
    })
}

fn ttl(criterion: &mut Criterion) {
    let key = |namespace: &str| format!("{namespace}:{}", "k".repeat(32)).into_bytes();
    let (plain, jitter, free) = (
        key("text_chunks"),
        key("llm_response_cache"),
        key("full_docs"),
    );
    let value = [b'v'; 100];
    let rows: [(&str, &[&[u8]], bool); 9] = [
        ("GET", &[b"GET", &plain], false),
        ("SET, no policy", &[b"SET", &free, &value], false),
        ("SET, default", &[b"SET", &plain, &value], true),
        ("SET, default with jitter", &[b"SET", &jitter, &value], true),
        (
            "SET EX that fits",
            &[b"SET", &plain, &value, b"EX", b"60"],
            false,
        ),
        (
            "SET EX, clamped",
            &[b"SET", &plain, &value, b"EX", b"9999999"],
            true,
        ),
        ("HSET, no policy", &[b"HSET", &free, b"f", &value], false),
        ("HSET, block", &[b"HSET", &plain, b"f", &value], true),
        ("SETNX", &[b"SETNX", &plain, &value], true),
    ];
    let policies = policies();
    let mut group = criterion.benchmark_group("govern");
    for (name, args, changes) in rows {
        let mut bytes = Vec::new();
        write::request(&mut bytes, args);
        let mut spans = Vec::new();
        scan_request(&bytes, &Limits::default(), &mut spans).expect("a request");
        let request = Request {
            bytes: &bytes,
            args: &spans,
        };
        let command = CommandRef::Table(resolve(&bytes, &spans).expect("a command"));
        let mut out = Vec::new();
        let decision = govern(&request, command, &policies, NOW, &mut out);
        assert_eq!(decision.governed != Governed::AsIs, changes, "{name}");
        group.bench_function(BenchmarkId::from_parameter(name), |bencher| {
            bencher.iter(|| {
                govern(
                    black_box(&request),
                    black_box(command),
                    black_box(&policies),
                    NOW,
                    &mut out,
                )
            });
        });
    }
    // The copy that a lane makes in any case.
    let mut set = Vec::new();
    write::request(&mut set, &[b"SET", &plain, &value]);
    let mut out = Vec::new();
    group.bench_function("copying the SET", |bencher| {
        bencher.iter(|| {
            out.clear();
            out.extend_from_slice(black_box(&set));
        });
    });
    let nothing = Policies::default();
    group.bench_function("nothing configured", |bencher| {
        bencher.iter(|| black_box(&nothing).is_active());
    });
    group.finish();
}

criterion_group!(benches, ttl);
criterion_main!(benches);
