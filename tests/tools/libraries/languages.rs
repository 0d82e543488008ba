//! The libraries of Go, Java, PHP, Ruby, C and C#: each program against one plain Redis and slotmux; in a full run against an
//! open and a locked one.

use super::language::Language::{self, C, Csharp, Go, Java, Php, Ruby};
use super::passes;
use super::server::Server;

use slotmux_testing::times;

fn passes_on(servers: &[Server], language: Language, program: &str) {
    if language.has(program) {
        passes(servers, || language.tool(program));
    }
}

/// A client for one Redis.
fn passes_alone(language: Language, program: &str) {
    let [plain, open, locked] = Server::all();
    passes_on(&[plain, locked, open][..times(2, 3)], language, program);
}

/// A client for a cluster.
fn passes_as_cluster(language: Language, program: &str) {
    passes_on(&Server::clusters()[..times(2, 3)], language, program);
}

#[test]
fn go_redis() {
    passes_alone(Go, "go_redis");
}

#[test]
fn go_redis_cluster() {
    passes_as_cluster(Go, "go_redis_cluster");
}

#[test]
fn jedis() {
    passes_alone(Java, "JedisChecks");
}

#[test]
fn jedis_cluster() {
    passes_as_cluster(Java, "JedisClusterChecks");
}

#[test]
fn lettuce() {
    passes_alone(Java, "LettuceChecks");
}

#[test]
fn lettuce_cluster() {
    passes_as_cluster(Java, "LettuceClusterChecks");
}

#[test]
fn redisson() {
    passes_alone(Java, "RedissonChecks");
}

#[test]
fn redisson_cluster() {
    passes_as_cluster(Java, "RedissonClusterChecks");
}

#[test]
fn valkey_glide_java() {
    passes_alone(Java, "GlideChecks");
}

#[test]
fn valkey_glide_java_cluster() {
    passes_as_cluster(Java, "GlideClusterChecks");
}

#[test]
fn spring_data_redis() {
    passes_alone(Java, "SpringChecks");
}

/// It sets `notify-keyspace-events` by itself.
#[test]
fn spring_session() {
    passes_on(&Server::administered(), Java, "SpringSessionChecks");
}

#[test]
fn phpredis() {
    passes_alone(Php, "phpredis");
}

#[test]
fn phpredis_cluster() {
    passes_as_cluster(Php, "phpredis_cluster");
}

#[test]
fn predis() {
    passes_alone(Php, "predis");
}

#[test]
fn predis_cluster() {
    passes_as_cluster(Php, "predis_cluster");
}

#[test]
fn redis_rb() {
    passes_alone(Ruby, "redis_rb");
}

#[test]
fn redis_rb_cluster() {
    passes_as_cluster(Ruby, "redis_rb_cluster");
}

#[test]
fn sidekiq() {
    passes_on(&Server::splitting(), Ruby, "sidekiq_jobs");
}

#[test]
fn hiredis() {
    passes_alone(C, "hiredis");
}

#[test]
fn hiredis_async() {
    passes_alone(C, "hiredis_async");
}

#[test]
fn stack_exchange_redis() {
    passes_alone(Csharp, "stack_exchange");
}
