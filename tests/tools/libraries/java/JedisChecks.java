import static redis.clients.jedis.Protocol.Command.CLIENT;
import static redis.clients.jedis.Protocol.Command.GET;

import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.Future;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import redis.clients.jedis.AbstractTransaction;
import redis.clients.jedis.DefaultJedisClientConfig;
import redis.clients.jedis.HostAndPort;
import redis.clients.jedis.Jedis;
import redis.clients.jedis.JedisPubSub;
import redis.clients.jedis.Pipeline;
import redis.clients.jedis.RedisClient;
import redis.clients.jedis.RedisProtocol;
import redis.clients.jedis.Response;
import redis.clients.jedis.ScanIteration;
import redis.clients.jedis.StreamEntryID;
import redis.clients.jedis.exceptions.JedisConnectionException;
import redis.clients.jedis.params.ClientKillParams;
import redis.clients.jedis.params.SetParams;
import redis.clients.jedis.params.XReadParams;
import redis.clients.jedis.resps.Tuple;

/** Jedis, its pooled client and its single connection, RESP2 and RESP3. Nothing is set up for slotmux. */
final class JedisChecks {
    private final Checks checks;
    private final RedisProtocol protocol;

    private JedisChecks(Checks checks, RedisProtocol protocol) {
        this.checks = checks;
        this.protocol = protocol;
    }

    public static void main(String[] arguments) {
        Checks checks = new Checks("jedis", arguments);
        for (RedisProtocol protocol : List.of(RedisProtocol.RESP2, RedisProtocol.RESP3)) {
            JedisChecks kind = new JedisChecks(checks, protocol);
            checks.add("defaults " + protocol, kind::defaults);
            checks.add("handshake " + protocol, kind::handshake);
            checks.add("a wrong password " + protocol, kind::wrongPassword);
            checks.add("values " + protocol, kind::values);
            checks.add("many keys " + protocol, kind::manyKeys);
            checks.add("types " + protocol, kind::types);
            checks.add("pipelines " + protocol, kind::pipelines);
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

    private DefaultJedisClientConfig.Builder config() {
        return DefaultJedisClientConfig.builder().protocol(protocol).password(checks.password)
                .clientName("by-name").socketTimeoutMillis(Checks.PATIENCE * 1000)
                .blockingSocketTimeoutMillis(Checks.PATIENCE * 1000);
    }

    private RedisClient client() {
        return RedisClient.builder().hostAndPort(checks.host, checks.port).clientConfig(config().build()).build();
    }

    private Jedis connection() {
        return new Jedis(new HostAndPort(checks.host, checks.port), config().build());
    }

    private void defaults() {
        DefaultJedisClientConfig config = DefaultJedisClientConfig.builder().password(checks.password).build();
        try (RedisClient client = RedisClient.builder().hostAndPort(checks.host, checks.port).clientConfig(config).build()) {
            Checks.equal(client.ping(), "PONG");
            Checks.equal(client.set(key("default"), "grün"), "OK");
            Checks.equal(client.get(key("default")), "grün");
        }
    }

    private void handshake() {
        try (Jedis connection = connection()) {
            Checks.equal(connection.clientGetname(), "by-name");
            String info = connection.clientInfo();
            Checks.equal(info.contains(" name=by-name "), true);
            Checks.equal(info.contains("resp=" + protocol.version()), true);
            Checks.equal(connection.select(0), "OK");
            Checks.equal(connection.info("server").contains("redis_version:"), true);
        }
    }

    private void wrongPassword() {
        if (checks.password == null) {
            return;
        }
        for (Map.Entry<String, String> given : Map.of("certainly wrong", "WRONGPASS", "", "NOAUTH").entrySet()) {
            String password = given.getKey().isEmpty() ? null : given.getKey();
            DefaultJedisClientConfig wrong = config().password(password).build();
            Checks.refused(() -> {
                try (Jedis connection = new Jedis(new HostAndPort(checks.host, checks.port), wrong)) {
                    connection.ping();
                }
            }, given.getValue());
        }
    }

    private void values() {
        try (RedisClient client = client()) {
            for (byte[] value : List.of(new byte[] {1}, new byte[0], Checks.everyByte(), Checks.BIG.getBytes())) {
                Checks.equal(client.set(key("k").getBytes(), value, SetParams.setParams().ex(1000)), "OK");
                Checks.equal(client.get(key("k").getBytes()), value);
            }
            Checks.equal(client.get(key("missing")), null);
            Checks.equal(client.set(key("k"), "x", SetParams.setParams().nx()), null);
            Checks.equal(client.ttl(key("missing")), -2L);
        }
    }

    private void manyKeys() {
        try (RedisClient client = client()) {
            List<String> pairs = new ArrayList<>();
            List<String> names = new ArrayList<>();
            List<String> wanted = new ArrayList<>();
            for (int n = 0; n < 300; n++) {
                names.add(key("many:" + n));
                wanted.add("" + n);
                pairs.addAll(List.of(key("many:" + n), "" + n));
            }
            String[] all = names.toArray(String[]::new);
            Checks.equal(client.mset(pairs.toArray(String[]::new)), "OK");
            Checks.equal(client.mget(all), wanted);
            Checks.equal(client.exists(all), 300L);
            Checks.equal(client.del(names.subList(0, 200).toArray(String[]::new)), 200L);
            Checks.equal(client.unlink(all), 100L);
        }
    }

    private void types() {
        try (RedisClient client = client()) {
            Checks.equal(client.hset(key("h"), Map.of("a", "1", "b", "two")), 2L);
            Checks.equal(client.hgetAll(key("h")), Map.of("a", "1", "b", "two"));
            Checks.equal(client.zadd(key("z"), Map.of("a", 1.0, "b", 2.5)), 2L);
            Checks.equal(client.zrangeWithScores(key("z"), 0, -1), List.of(new Tuple("a", 1.0), new Tuple("b", 2.5)));
            Checks.equal(client.zscore(key("z"), "b"), 2.5);
            Checks.equal(client.sadd(key("s"), "a", "b"), 2L);
            Checks.equal(client.smembers(key("s")), Set.of("a", "b"));
            Checks.equal(client.rpush(key("l"), "0", "1", "2", "3"), 4L);
            Checks.equal(client.lrange(key("l"), 1, 2), List.of("1", "2"));
            Checks.equal(client.xadd(key("x"), new StreamEntryID("5-1"), Map.of("f", "v")).toString(), "5-1");
            Checks.equal(client.xrange(key("x"), "-", "+").get(0).getFields(), Map.of("f", "v"));
            Checks.equal(client.type(key("h")), "hash");
        }
    }

    private void pipelines() {
        try (RedisClient client = client(); Pipeline pipeline = client.pipelined()) {
            List<Response<Long>> counts = new ArrayList<>();
            for (int n = 0; n < 2000; n++) {
                pipeline.set(key("p:" + n), "" + n);
                counts.add(pipeline.incr(key("p:" + n)));
            }
            pipeline.set(key("p"), "a");
            Response<Long> wrong = pipeline.incr(key("p"));
            Response<String> last = pipeline.get(key("p"));
            pipeline.sync();
            for (int n = 0; n < 2000; n++) {
                Checks.equal(counts.get(n).get(), n + 1L);
            }
            Checks.refused(wrong::get, "not an integer");
            Checks.equal(last.get(), "a");
        }
    }

    private void transactions() {
        try (RedisClient client = client(); AbstractTransaction transaction = client.multi()) {
            List<Object> wanted = new ArrayList<>();
            for (int n = 0; n < 100; n++) {
                transaction.incr(key("{t}:" + n % 10));
                wanted.add(n / 10 + 1L);
            }
            Checks.equal(transaction.exec(), wanted);
        }
        try (RedisClient client = client(); AbstractTransaction transaction = client.multi()) {
            transaction.incr(key("{t}:0"));
            Checks.equal(transaction.discard(), "OK");
            Checks.equal(client.get(key("{t}:0")), "10");
        }
    }

    private void watch() {
        try (RedisClient client = client()) {
            for (boolean disturbed : List.of(false, true)) {
                try (AbstractTransaction transaction = client.transaction(false)) {
                    Checks.equal(transaction.watch(key("watched")), "OK");
                    if (disturbed) {
                        client.set(key("watched"), "other");
                    }
                    transaction.multi();
                    transaction.set(key("watched"), "mine");
                    Checks.equal(transaction.exec(), disturbed ? null : List.of("OK"));
                }
                Checks.equal(client.get(key("watched")), disturbed ? "other" : "mine");
            }
        }
    }

    private void scripts() {
        try (RedisClient client = client()) {
            Checks.equal(client.eval(Checks.ADD, List.of(key("sum")), List.of("5")), 5L);
            Checks.refused(() -> client.evalsha("0".repeat(40), List.of(key("sum")), List.of("1")), "NOSCRIPT");
        }
        try (Jedis connection = connection()) {
            String digest = connection.scriptLoad(Checks.ADD + " -- " + key("script"));
            Checks.equal(connection.scriptExists(digest), true);
            for (int n = 0; n < 21; n++) {
                Checks.equal(connection.evalsha(digest, List.of(key("s:" + n)), List.of("" + n)), (long) n);
            }
        }
    }

    /** Collects what it is sent. */
    private static final class Listener extends JedisPubSub {
        private final BlockingQueue<String> received = new LinkedBlockingQueue<>();

        @Override
        public void onSubscribe(String channel, int count) {
            received.add("subscribed");
        }

        @Override
        public void onPSubscribe(String pattern, int count) {
            received.add("subscribed");
        }

        @Override
        public void onMessage(String channel, String message) {
            received.add(message);
        }

        @Override
        public void onPMessage(String pattern, String channel, String message) {
            received.add(message);
        }

        private String next() throws Exception {
            return received.poll(Checks.PATIENCE, TimeUnit.SECONDS);
        }
    }

    private void subscribe() throws Exception {
        try (RedisClient client = client()) {
            Listener exact = new Listener();
            Listener pattern = new Listener();
            Future<?> first = Checks.start(() -> {
                client.subscribe(exact, key("channel"));
                return null;
            });
            Future<?> second = Checks.start(() -> {
                client.psubscribe(pattern, key("chan*"));
                return null;
            });
            Checks.equal(exact.next(), "subscribed");
            Checks.equal(pattern.next(), "subscribed");
            for (int n = 0; n < 50; n++) {
                Checks.equal(client.publish(key("channel"), "" + n), 2L);
            }
            for (int n = 0; n < 50; n++) {
                Checks.equal(exact.next(), "" + n);
                Checks.equal(pattern.next(), "" + n);
            }
            exact.unsubscribe();
            pattern.punsubscribe();
            Checks.inTime(first);
            Checks.inTime(second);
        }
    }

    private void blocking() throws Exception {
        try (RedisClient client = client()) {
            Future<List<String>> popped = Checks.start(() -> client.blpop(Checks.PATIENCE, key("list")));
            client.rpush(key("list"), "x");
            Checks.equal(Checks.inTime(popped), List.of(key("list"), "x"));
            Checks.equal(client.blpop(1, key("list")), null);
            XReadParams block = XReadParams.xReadParams().block(Checks.PATIENCE * 1000);
            Future<?> read = Checks.start(() -> client.xread(block, Map.of(key("stream"), new StreamEntryID("0-0"))).get(0).getKey());
            client.xadd(key("stream"), StreamEntryID.NEW_ENTRY, Map.of("a", "b"));
            Checks.equal(Checks.inTime(read), key("stream"));
        }
    }

    private void scans() {
        try (RedisClient client = client()) {
            Set<String> wanted = new HashSet<>();
            for (int n = 0; n < 300; n++) {
                client.set(key("scan:" + n), "1");
                wanted.add(key("scan:" + n));
            }
            Set<String> found = new HashSet<>();
            ScanIteration pages = client.scanIteration(50, key("scan:*"));
            while (!pages.isIterationCompleted()) {
                found.addAll(pages.nextBatch().getResult());
            }
            Checks.equal(found, wanted);
        }
    }

    private void errors() {
        try (RedisClient client = client()) {
            client.set(key("text"), "text");
            Checks.refused(() -> client.lpush(key("text"), "x"), "WRONGTYPE");
            Checks.refused(() -> client.incr(key("text")), "value is not an integer or out of range");
            Checks.refused(() -> client.sendCommand(() -> "NO-SUCH".getBytes(), "a"), "unknown command 'NO-SUCH'");
            Checks.refused(() -> client.sendCommand(GET), "wrong number of arguments for 'get'");
            Checks.equal(client.get(key("text")), "text");
        }
    }

    private void threads() throws Exception {
        try (RedisClient client = client()) {
            List<Future<?>> workers = new ArrayList<>();
            for (int worker = 0; worker < 20; worker++) {
                String own = "t:" + worker + ":";
                workers.add(Checks.start(() -> {
                    for (int n = 0; n < 50; n++) {
                        client.set(key(own + n), own + n);
                        Checks.equal(client.get(key(own + n)), own + n);
                        client.incr(key("t:sum"));
                    }
                    return null;
                }));
            }
            for (Future<?> worker : workers) {
                Checks.inTime(worker);
            }
            Checks.equal(client.getDel(key("t:sum")), "1000");
        }
    }

    /** A killed connection is lost to one call at most, and replaced. */
    private void reconnect() {
        try (RedisClient client = client(); Jedis other = connection()) {
            client.set(key("again"), "1");
            String victim = client.sendCommand(CLIENT, "ID").toString();
            Checks.equal(other.clientKill(ClientKillParams.clientKillParams().id(victim)), 1L);
            try {
                client.ping();
            } catch (JedisConnectionException lost) {
                // As with one Redis: the pool learns it from this call.
            }
            Checks.equal(client.get(key("again")), "1");
            Checks.equal(client.sendCommand(CLIENT, "ID").toString().equals(victim), false);
        }
    }
}
