//! Requests: our scanner with the spans of all arguments, against redis-protocol's cheapest decoder.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use slotmux_core::resp::{Boundary, Limits, Span, scan_request, write};

fn requests() -> Vec<(&'static str, Vec<u8>)> {
    let key = [b'k'; 40];
    let value = [b'v'; 100];
    let mget: Vec<&[u8]> = std::iter::once(&b"MGET"[..])
        .chain((0..100).map(|_| &key[..]))
        .collect();
    let table: [(&str, &[&[u8]]); 4] = [
        ("PING", &[b"PING"]),
        ("GET k=40", &[b"GET", &key]),
        ("SET k=40 v=100 EX", &[b"SET", &key, &value, b"EX", b"3600"]),
        ("MGET 100 k=40", &mget),
    ];
    let written = table.map(|(name, args)| {
        let mut request = Vec::new();
        write::request(&mut request, args);
        (name, request)
    });
    written.into()
}

fn scan(criterion: &mut Criterion) {
    let limits = Limits::default();
    let mut group = criterion.benchmark_group("scan_request");
    for (name, request) in requests() {
        group.throughput(Throughput::Bytes(request.len() as u64));
        group.bench_with_input(
            BenchmarkId::new("slotmux", name),
            &request,
            |bencher, request| {
                let mut args: Vec<Span> = Vec::new();
                bencher.iter(|| {
                    scan_request(black_box(request), black_box(&limits), black_box(&mut args))
                });
            },
        );
        group.bench_with_input(
            BenchmarkId::new("redis-protocol", name),
            &request,
            |bencher, request| {
                bencher.iter(|| redis_protocol::resp2::decode::decode_range(black_box(request)));
            },
        );
    }
    group.finish();
}

/// An MGET of 10,000 keys in pieces of 1 KiB: the cost of a decoder that restarts with each piece.
fn pieces(criterion: &mut Criterion) {
    const PIECE: usize = 1024;
    let limits = Limits::default();
    let keys: Vec<String> = (0..10_000).map(|n| format!("key:{n:036}")).collect();
    let args: Vec<&[u8]> = std::iter::once(&b"MGET"[..])
        .chain(keys.iter().map(|key| key.as_bytes()))
        .collect();
    let mut request = Vec::new();
    write::request(&mut request, &args);
    let cuts: Vec<usize> = (PIECE..request.len())
        .step_by(PIECE)
        .chain([request.len()])
        .collect();

    let mut group = criterion.benchmark_group("request_in_1KiB_pieces");
    group.sample_size(10);
    group.bench_function("slotmux Boundary", |bencher| {
        bencher.iter(|| {
            let mut boundary = Boundary::default();
            for &cut in &cuts {
                let _ = black_box(boundary.advance(black_box(&request[..cut]), &limits));
            }
        });
    });
    group.bench_function("redis-protocol", |bencher| {
        bencher.iter(|| {
            for &cut in &cuts {
                let _ = black_box(redis_protocol::resp2::decode::decode_range(black_box(
                    &request[..cut],
                )));
            }
        });
    });
    group.finish();
}

criterion_group!(benches, scan, pieces);
criterion_main!(benches);
