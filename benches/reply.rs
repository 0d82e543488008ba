//! Replies: our resumable boundary scanner against redis-protocol's cheapest decoder of each protocol.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use redis_protocol::{resp2, resp3};
use slotmux_core::resp::{Protocol, ReplyScanner, write};

fn mget(elements: usize) -> Vec<u8> {
    let mut reply = Vec::new();
    write::array(&mut reply, elements);
    for _ in 0..elements {
        write::bulk(&mut reply, &[b'v'; 100]);
    }
    reply
}

fn hgetall(pairs: usize) -> Vec<u8> {
    let mut reply = Vec::new();
    write::map(&mut reply, Protocol::Resp3, pairs);
    for pair in 0..pairs {
        write::bulk(&mut reply, format!("field:{pair}").as_bytes());
        write::bulk(&mut reply, &[b'v'; 20]);
    }
    reply
}

fn replies() -> Vec<(&'static str, Vec<u8>)> {
    let mut bulk = Vec::new();
    write::bulk(&mut bulk, &[b'v'; 100]);
    vec![
        ("+OK", b"+OK\r\n".to_vec()),
        (":1", b":1\r\n".to_vec()),
        ("100 B bulk", bulk),
        ("-MOVED", b"-MOVED 12182 127.0.0.1:7002\r\n".to_vec()),
        ("MGET 100x100 B", mget(100)),
    ]
}

fn reply(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("reply");
    for (name, reply) in replies() {
        group.throughput(Throughput::Bytes(reply.len() as u64));
        group.bench_with_input(
            BenchmarkId::new("slotmux", name),
            &reply,
            |bencher, reply| {
                let mut scanner = ReplyScanner::default();
                bencher.iter(|| black_box(&mut scanner).advance(black_box(reply)));
            },
        );
        group.bench_with_input(
            BenchmarkId::new("redis-protocol resp2", name),
            &reply,
            |bencher, reply| {
                bencher.iter(|| resp2::decode::decode_range(black_box(reply)));
            },
        );
        group.bench_with_input(
            BenchmarkId::new("redis-protocol resp3", name),
            &reply,
            |bencher, reply| {
                bencher.iter(|| resp3::decode::complete::decode_range(black_box(reply)));
            },
        );
    }
    let map = hgetall(50);
    group.throughput(Throughput::Bytes(map.len() as u64));
    group.bench_with_input(
        BenchmarkId::new("slotmux", "HGETALL 50"),
        &map,
        |bencher, reply| {
            let mut scanner = ReplyScanner::default();
            bencher.iter(|| black_box(&mut scanner).advance(black_box(reply)));
        },
    );
    group.bench_with_input(
        BenchmarkId::new("redis-protocol resp3", "HGETALL 50"),
        &map,
        |bencher, reply| {
            bencher.iter(|| resp3::decode::complete::decode_range(black_box(reply)));
        },
    );
    group.finish();
}

/// A reply of 1 MB and 10,000 elements in pieces of 16 KiB: the cost of a decoder that restarts with each piece.
fn pieces(criterion: &mut Criterion) {
    const PIECE: usize = 16 * 1024;
    let reply = mget(10_000);
    let mut group = criterion.benchmark_group("reply_in_16KiB_pieces");
    group.sample_size(10);
    group.bench_function("slotmux", |bencher| {
        bencher.iter(|| {
            let mut scanner = ReplyScanner::default();
            let (mut from, mut to) = (0, 0);
            while to < reply.len() {
                to = (to + PIECE).min(reply.len());
                from += scanner
                    .advance(black_box(&reply[from..to]))
                    .map_or(0, |progress| progress.consumed);
            }
            from
        });
    });
    group.bench_function("redis-protocol resp2", |bencher| {
        bencher.iter(|| {
            for to in (PIECE..reply.len()).step_by(PIECE).chain([reply.len()]) {
                let _ = black_box(resp2::decode::decode_range(black_box(&reply[..to])));
            }
        });
    });
    group.finish();
}

criterion_group!(benches, reply, pieces);
criterion_main!(benches);
