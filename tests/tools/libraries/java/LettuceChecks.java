import io.lettuce.core.ClientOptions;
import io.lettuce.core.KeyValue;
import io.lettuce.core.KillArgs;
import io.lettuce.core.LettuceFutures;
import io.lettuce.core.RedisClient;
import io.lettuce.core.RedisFuture;
import io.lettuce.core.RedisURI;
import io.lettuce.core.ScanArgs;
import io.lettuce.core.ScanIterator;
import io.lettuce.core.ScoredValue;
import io.lettuce.core.ScriptOutputType;
import io.lettuce.core.SetArgs;
import io.lettuce.core.StreamMessage;
import io.lettuce.core.TransactionResult;
import io.lettuce.core.XAddArgs;
import io.lettuce.core.XReadArgs;
import io.lettuce.core.api.StatefulRedisConnection;
import io.lettuce.core.api.async.RedisAsyncCommands;
import io.lettuce.core.api.sync.RedisCommands;
import io.lettuce.core.codec.ByteArrayCodec;
import io.lettuce.core.protocol.ProtocolVersion;
import io.lettuce.core.pubsub.RedisPubSubAdapter;
import io.lettuce.core.pubsub.StatefulRedisPubSubConnection;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.Future;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;

/** Lettuce, blocking, asynchronous and reactive, RESP2 and RESP3. Nothing is set up for slotmux. */
final class LettuceChecks {
    private final Checks checks;
    private final ProtocolVersion protocol;
    private final RedisClient client;

    private LettuceChecks(Checks checks, ProtocolVersion protocol) {
        this.checks = checks;
        this.protocol = protocol;
        client = RedisClient.create(uri(checks).withClientName("by-name").build());
        client.setOptions(ClientOptions.builder().protocolVersion(protocol).build());
    }

    private static RedisURI.Builder uri(Checks checks) {
        RedisURI.Builder uri = RedisURI.builder().withHost(checks.host).withPort(checks.port)
                .withTimeout(Duration.ofSeconds(Checks.PATIENCE));
        return checks.password == null ? uri : uri.withPassword(checks.password.toCharArray());
    }

    public static void main(String[] arguments) {
        Checks checks = new Checks("lettuce", arguments);
        for (ProtocolVersion protocol : ProtocolVersion.values()) {
            LettuceChecks kind = new LettuceChecks(checks, protocol);
            checks.add("defaults " + protocol, kind::defaults);
            checks.add("handshake " + protocol, kind::handshake);
            checks.add("a wrong password " + protocol, kind::wrongPassword);
            checks.add("values " + protocol, kind::values);
            checks.add("many keys " + protocol, kind::manyKeys);
            checks.add("types " + protocol, kind::types);
            checks.add("pipelines " + protocol, kind::pipelines);
            checks.add("reactive " + protocol, kind::reactive);
            checks.add("transactions " + protocol, kind::transactions);
            checks.add("WATCH " + protocol, kind::watch);
            checks.add("scripts " + protocol, kind::scripts);
            checks.add("publish and subscribe " + protocol, kind::subscribe);
            checks.add("blocking " + protocol, kind::blocking);
            checks.add("scans " + protocol, kind::scans);
            checks.add("errors " + protocol, kind::errors);
            checks.add("many threads " + protocol, kind::threads);
            checks.add("reconnect " + protocol, kind::reconnect);
        }
        checks.runAll();
    }

    private String key(Object end) {
        return checks.key(protocol.toString(), end.toString());
    }

    private StatefulRedisConnection<String, String> connection() {
        return client.connect();
    }

    private void defaults() {
        RedisClient plain = RedisClient.create(uri(checks).build());
        try (StatefulRedisConnection<String, String> connection = plain.connect()) {
            Checks.equal(connection.sync().ping(), "PONG");
            Checks.equal(connection.sync().set(key("default"), "grün"), "OK");
            Checks.equal(connection.sync().get(key("default")), "grün");
        }
    }

    private void handshake() {
        try (StatefulRedisConnection<String, String> connection = connection()) {
            RedisCommands<String, String> sync = connection.sync();
            Checks.equal(sync.clientGetname(), "by-name");
            Checks.equal(sync.clientInfo().contains(protocol == ProtocolVersion.RESP3 ? "resp=3" : "resp=2"), true);
            Checks.equal(sync.echo("hello"), "hello");
            Checks.equal(sync.select(0), "OK");
            Checks.equal(sync.info("server").contains("redis_version:"), true);
        }
    }

    private void wrongPassword() {
        if (checks.password == null) {
            return;
        }
        RedisURI wrong = uri(checks).withPassword("certainly wrong".toCharArray()).build();
        Checks.refused(() -> RedisClient.create(wrong).connect(), "WRONGPASS");
        RedisURI none = RedisURI.create(checks.host, checks.port);
        Checks.refused(() -> RedisClient.create(none).connect().sync().ping(), "NOAUTH");
    }

    private void values() {
        try (StatefulRedisConnection<byte[], byte[]> connection = client.connect(new ByteArrayCodec())) {
            RedisCommands<byte[], byte[]> sync = connection.sync();
            byte[] name = key("k").getBytes();
            for (byte[] value : List.of(new byte[] {1}, new byte[0], Checks.everyByte(), Checks.BIG.getBytes())) {
                Checks.equal(sync.set(name, value, SetArgs.Builder.ex(1000)), "OK");
                Checks.equal(sync.get(name), value);
            }
            Checks.equal(sync.get(key("missing").getBytes()), null);
            Checks.equal(sync.set(name, new byte[0], SetArgs.Builder.nx()), null);
            Checks.equal(sync.ttl(key("missing").getBytes()), -2L);
        }
    }

    private void manyKeys() {
        try (StatefulRedisConnection<String, String> connection = connection()) {
            RedisCommands<String, String> sync = connection.sync();
            Map<String, String> many = new LinkedHashMap<>();
            for (int n = 0; n < 300; n++) {
                many.put(key("many:" + n), "" + n);
            }
            String[] names = many.keySet().toArray(String[]::new);
            Checks.equal(sync.mset(many), "OK");
            Checks.equal(sync.mget(names).stream().map(KeyValue::getValue).toList(), List.copyOf(many.values()));
            Checks.equal(sync.exists(names), 300L);
            Checks.equal(sync.del(names), 300L);
        }
    }

    private void types() {
        try (StatefulRedisConnection<String, String> connection = connection()) {
            RedisCommands<String, String> sync = connection.sync();
            Checks.equal(sync.hset(key("h"), Map.of("a", "1", "b", "two")), 2L);
            Checks.equal(sync.hgetall(key("h")), Map.of("a", "1", "b", "two"));
            Checks.equal(sync.zadd(key("z"), ScoredValue.just(1, "a"), ScoredValue.just(2.5, "b")), 2L);
            Checks.equal(sync.zrangeWithScores(key("z"), 0, -1), List.of(ScoredValue.just(1, "a"), ScoredValue.just(2.5, "b")));
            Checks.equal(sync.sadd(key("s"), "a", "b"), 2L);
            Checks.equal(sync.smembers(key("s")), Set.of("a", "b"));
            Checks.equal(sync.rpush(key("l"), "0", "1", "2", "3"), 4L);
            Checks.equal(sync.lrange(key("l"), 1, 2), List.of("1", "2"));
            Checks.equal(sync.xadd(key("x"), XAddArgs.Builder.minId("0").id("5-1"), "f", "v"), "5-1");
            StreamMessage<String, String> entry = sync.xread(XReadArgs.StreamOffset.from(key("x"), "0")).get(0);
            Checks.equal(entry.getBody(), Map.of("f", "v"));
            Checks.equal(sync.type(key("h")), "hash");
        }
    }

    private void pipelines() throws Exception {
        try (StatefulRedisConnection<String, String> connection = connection()) {
            RedisAsyncCommands<String, String> async = connection.async();
            connection.setAutoFlushCommands(false);
            List<RedisFuture<Long>> counts = new ArrayList<>();
            for (int n = 0; n < 2000; n++) {
                async.set(key("p:" + n), "" + n);
                counts.add(async.incr(key("p:" + n)));
            }
            connection.flushCommands();
            connection.setAutoFlushCommands(true);
            Checks.equal(LettuceFutures.awaitAll(Checks.PATIENCE, TimeUnit.SECONDS, counts.toArray(RedisFuture[]::new)), true);
            for (int n = 0; n < 2000; n++) {
                Checks.equal(counts.get(n).get(), n + 1L);
            }
        }
    }

    private void reactive() {
        try (StatefulRedisConnection<String, String> connection = connection()) {
            List<Long> found = reactor.core.publisher.Flux.range(0, 500)
                    .flatMapSequential(n -> connection.reactive().incrby(key("r:" + n), n))
                    .collectList().block(Duration.ofSeconds(Checks.PATIENCE));
            for (int n = 0; n < 500; n++) {
                Checks.equal(found.get(n), (long) n);
            }
        }
    }

    private void transactions() {
        try (StatefulRedisConnection<String, String> connection = connection()) {
            RedisCommands<String, String> sync = connection.sync();
            sync.multi();
            List<Long> wanted = new ArrayList<>();
            for (int n = 0; n < 100; n++) {
                sync.incr(key("{t}:" + n % 10));
                wanted.add(n / 10 + 1L);
            }
            Checks.equal(sync.exec().stream().toList(), wanted);
            sync.multi();
            sync.incr(key("{t}:0"));
            Checks.equal(sync.discard(), "OK");
            Checks.equal(sync.get(key("{t}:0")), "10");
        }
    }

    private void watch() {
        try (StatefulRedisConnection<String, String> connection = connection();
                StatefulRedisConnection<String, String> other = connection()) {
            RedisCommands<String, String> sync = connection.sync();
            for (boolean disturbed : List.of(false, true)) {
                Checks.equal(sync.watch(key("watched")), "OK");
                if (disturbed) {
                    other.sync().set(key("watched"), "other");
                }
                sync.multi();
                sync.set(key("watched"), "mine");
                TransactionResult result = sync.exec();
                Checks.equal(result.wasDiscarded(), disturbed);
                Checks.equal(sync.get(key("watched")), disturbed ? "other" : "mine");
            }
        }
    }

    private void scripts() {
        try (StatefulRedisConnection<String, String> connection = connection()) {
            RedisCommands<String, String> sync = connection.sync();
            Long sum = sync.eval(Checks.ADD, ScriptOutputType.INTEGER, new String[] {key("sum")}, "5");
            Checks.equal(sum, 5L);
            Checks.refused(() -> sync.evalsha("0".repeat(40), ScriptOutputType.INTEGER, new String[] {key("sum")}, "1"), "NOSCRIPT");
            String digest = sync.scriptLoad(Checks.ADD + " -- " + key("script"));
            Checks.equal(sync.scriptExists(digest), List.of(true));
            for (int n = 0; n < 21; n++) {
                Long found = sync.evalsha(digest, ScriptOutputType.INTEGER, new String[] {key("s:" + n)}, "" + n);
                Checks.equal(found, (long) n);
            }
        }
    }

    private void subscribe() throws Exception {
        BlockingQueue<String> received = new LinkedBlockingQueue<>();
        try (StatefulRedisPubSubConnection<String, String> listener = client.connectPubSub();
                StatefulRedisConnection<String, String> publisher = connection()) {
            listener.addListener(new RedisPubSubAdapter<>() {
                @Override
                public void message(String channel, String message) {
                    received.add(message);
                }

                @Override
                public void message(String pattern, String channel, String message) {
                    received.add("by pattern " + message);
                }
            });
            long victim = listener.sync().clientId();
            listener.sync().subscribe(key("channel"));
            listener.sync().psubscribe(key("chan*"));
            Set<String> wanted = new HashSet<>();
            for (int n = 0; n < 50; n++) {
                Checks.equal(publisher.sync().publish(key("channel"), "" + n), 2L);
                wanted.addAll(List.of("" + n, "by pattern " + n));
            }
            Set<String> found = new HashSet<>();
            while (found.size() < 100) {
                found.add(received.poll(Checks.PATIENCE, TimeUnit.SECONDS));
            }
            Checks.equal(found, wanted);
            Checks.equal(publisher.sync().pubsubNumsub(key("channel")), Map.of(key("channel"), 1L));
            // A killed subscriber subscribes again.
            publisher.sync().clientKill(KillArgs.Builder.id(victim));
            Checks.until("a message", () -> {
                publisher.sync().publish(key("channel"), "again");
                return received.contains("again");
            });
            listener.sync().unsubscribe(key("channel"));
        }
    }

    private void blocking() throws Exception {
        try (StatefulRedisConnection<String, String> connection = connection();
                StatefulRedisConnection<String, String> other = connection()) {
            Future<KeyValue<String, String>> popped = connection.async().blpop(Checks.PATIENCE, key("list"));
            other.sync().rpush(key("list"), "x");
            Checks.equal(Checks.inTime(popped), KeyValue.just(key("list"), "x"));
            Checks.equal(connection.sync().blpop(1, key("list")), null);
            Future<List<StreamMessage<String, String>>> read = connection.async().xread(
                    XReadArgs.Builder.block(Checks.PATIENCE * 1000), XReadArgs.StreamOffset.from(key("stream"), "0"));
            other.sync().xadd(key("stream"), "a", "b");
            Checks.equal(Checks.inTime(read).get(0).getBody(), Map.of("a", "b"));
        }
    }

    private void scans() {
        try (StatefulRedisConnection<String, String> connection = connection()) {
            Set<String> wanted = new HashSet<>();
            for (int n = 0; n < 300; n++) {
                connection.sync().set(key("scan:" + n), "1");
                wanted.add(key("scan:" + n));
            }
            Set<String> found = new HashSet<>();
            ScanIterator.scan(connection.sync(), ScanArgs.Builder.limit(50).match(key("scan:*"))).forEachRemaining(found::add);
            Checks.equal(found, wanted);
        }
    }

    private void errors() {
        try (StatefulRedisConnection<String, String> connection = connection()) {
            RedisCommands<String, String> sync = connection.sync();
            sync.set(key("text"), "text");
            Checks.refused(() -> sync.lpush(key("text"), "x"), "WRONGTYPE");
            Checks.refused(() -> sync.incr(key("text")), "value is not an integer or out of range");
            Checks.equal(sync.get(key("text")), "text");
        }
    }

    /** All on one connection, as is usual with Lettuce. */
    private void threads() throws Exception {
        try (StatefulRedisConnection<String, String> connection = connection()) {
            List<Future<?>> workers = new ArrayList<>();
            for (int worker = 0; worker < 20; worker++) {
                String own = "t:" + worker + ":";
                workers.add(Checks.start(() -> {
                    for (int n = 0; n < 50; n++) {
                        connection.sync().set(key(own + n), own + n);
                        Checks.equal(connection.sync().get(key(own + n)), own + n);
                        connection.sync().incr(key("t:sum"));
                    }
                    return null;
                }));
            }
            for (Future<?> worker : workers) {
                Checks.inTime(worker);
            }
            Checks.equal(connection.sync().getdel(key("t:sum")), "1000");
        }
    }

    private void reconnect() {
        try (StatefulRedisConnection<String, String> connection = connection();
                StatefulRedisConnection<String, String> other = connection()) {
            long victim = connection.sync().clientId();
            Checks.equal(other.sync().clientKill(KillArgs.Builder.id(victim)), 1L);
            Checks.equal(connection.sync().set(key("again"), "1"), "OK");
            Checks.equal(connection.sync().clientId() != victim, true);
            Checks.equal(connection.sync().clientGetname(), "by-name");
        }
    }
}
