//! Cost of many namespaces: finding the namespace of a key, and reading them all.

use std::hint::black_box;

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use slotmux_core::config::{CommandLine, SourceFile, Sources, load};
use slotmux_core::policy::Policies;

/// Keys that are looked up in turn: consecutive keys are never close to each other.
const KEYS: usize = 1024;

fn sources(count: usize) -> Sources {
    let mut text = String::from("[[cluster]]\nseeds = [\"redis://127.0.0.1:7000\"]\n");
    for number in 0..count {
        text.push_str(&format!(
            "[[namespace]]\nname = \"team{number}\"\nmatch = [\"app:team{number}:\"]\n\
             ttl.default = \"1h\"\nttl.max = \"1d\"\n"
        ));
    }
    Sources {
        file: Some(SourceFile {
            name: "slotmux.toml".to_owned(),
            text,
        }),
        env: Default::default(),
        flags: CommandLine::default(),
    }
}

fn find(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("namespaces/find");
    group.throughput(Throughput::Elements(KEYS as u64));
    for count in [1, 8, 16, 17, 100, 10_000] {
        let config = load(&sources(count)).expect("a configuration");
        let policies = Policies::new(&config);
        let key = |i: usize| format!("app:team{}:{}", i * 7919 % count, "k".repeat(24));
        let keys: Vec<String> = (0..KEYS).map(key).collect();
        group.bench_function(BenchmarkId::from_parameter(count), |bencher| {
            bencher.iter(|| {
                for key in &keys {
                    black_box(policies.find(black_box(key.as_bytes())));
                }
            })
        });
    }
    group.finish();
}

fn read(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("namespaces/read");
    group.sample_size(10);
    for count in [100, 1000, 10_000] {
        let sources = sources(count);
        group.throughput(Throughput::Elements(count as u64));
        group.bench_function(BenchmarkId::from_parameter(count), |bencher| {
            bencher.iter_batched(
                || sources.clone(),
                |sources| load(&sources).expect("a configuration"),
                BatchSize::LargeInput,
            )
        });
    }
    group.finish();
}

criterion_group!(benches, find, read);
criterion_main!(benches);
