//! The slot of a key: eight bytes a step, against the crc16 crate (which knows no hash tags) and redis-protocol.

use std::hint::black_box;

use crc16::{State, XMODEM};
use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use slotmux_core::slot::{SLOTS, slot_of};

fn slot(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("slot_of");
    let keys = [
        ("k=8", "key:1234".to_owned()),
        ("k=16", "key:123456789012".to_owned()),
        ("k=40", format!("key:{:036}", 12_345)),
        ("k=40 tagged", format!("{{user:1000}}:{:027}", 12_345)),
    ];
    for (name, key) in keys {
        group.bench_with_input(
            BenchmarkId::new("slotmux", name),
            key.as_bytes(),
            |bencher, key| {
                bencher.iter(|| slot_of(black_box(key)));
            },
        );
        group.bench_with_input(
            BenchmarkId::new("crc16", name),
            key.as_bytes(),
            |bencher, key| {
                bencher.iter(|| State::<XMODEM>::calculate(black_box(key)) % SLOTS as u16);
            },
        );
        group.bench_with_input(
            BenchmarkId::new("redis-protocol", name),
            key.as_bytes(),
            |bencher, key| {
                bencher.iter(|| redis_protocol::redis_keyslot(black_box(key)));
            },
        );
    }
    group.finish();
}

criterion_group!(benches, slot);
criterion_main!(benches);
