//! The look-up of a command's name: our index, which folds case by the word, against std's HashMap of the same names.

use std::collections::HashMap;
use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use slotmux_core::command::{Command, all, lookup};

/// A map compares exact bytes, so the name is copied in lower case first, without an allocation.
fn lookup_in_map(
    map: &HashMap<&'static [u8], &'static Command>,
    name: &[u8],
) -> Option<&'static Command> {
    let mut copy = [0; 24];
    let lower = copy.get_mut(..name.len())?;
    lower.copy_from_slice(name);
    lower.make_ascii_lowercase();
    map.get(&*lower).copied()
}

fn table(criterion: &mut Criterion) {
    let map: HashMap<&'static [u8], &'static Command> = all()
        .map(|command| (command.name.as_bytes(), command))
        .collect();
    let mut group = criterion.benchmark_group("table");
    for name in ["GET", "set", "HgetAll", "ZRANGEBYSCORE", "NOSUCHCOMMAND"] {
        let name = name.as_bytes();
        assert_eq!(
            lookup(name).map(|command| command.name),
            lookup_in_map(&map, name).map(|command| command.name),
        );
        let label = name.escape_ascii();
        group.bench_with_input(
            BenchmarkId::new("slotmux", &label),
            name,
            |bencher, name| {
                bencher.iter(|| lookup(black_box(name)));
            },
        );
        group.bench_with_input(
            BenchmarkId::new("std HashMap", &label),
            name,
            |bencher, name| {
                bencher.iter(|| lookup_in_map(&map, black_box(name)));
            },
        );
    }
    // Different names in turn, as in real traffic, so that the branch predictor does not learn a single one.
    let names: Vec<Vec<u8>> = all()
        .map(|command| command.name.to_ascii_uppercase().into_bytes())
        .collect();
    group.bench_function("slotmux/every name", |bencher| {
        bencher.iter(|| {
            names
                .iter()
                .filter(|name| lookup(black_box(name)).is_some())
                .count()
        });
    });
    group.bench_function("std HashMap/every name", |bencher| {
        bencher.iter(|| {
            names
                .iter()
                .filter(|name| lookup_in_map(&map, black_box(name)).is_some())
                .count()
        });
    });
    group.finish();
}

criterion_group!(benches, table);
criterion_main!(benches);
