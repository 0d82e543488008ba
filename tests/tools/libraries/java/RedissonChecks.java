import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.Future;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import java.util.function.BiFunction;
import org.redisson.Redisson;
import org.redisson.api.BatchOptions;
import org.redisson.api.RBatch;
import org.redisson.api.RBlockingQueue;
import org.redisson.api.RBucket;
import org.redisson.api.RCountDownLatch;
import org.redisson.api.RFuture;
import org.redisson.api.RLock;
import org.redisson.api.RMap;
import org.redisson.api.RMapCache;
import org.redisson.api.RRateLimiter;
import org.redisson.api.RScoredSortedSet;
import org.redisson.api.RScript;
import org.redisson.api.RSemaphore;
import org.redisson.api.RStream;
import org.redisson.api.RTopic;
import org.redisson.api.RTransaction;
import org.redisson.api.RateType;
import org.redisson.api.RedissonClient;
import org.redisson.api.TransactionOptions;
import org.redisson.api.stream.StreamAddArgs;
import org.redisson.api.stream.StreamMessageId;
import org.redisson.api.stream.StreamReadArgs;
import org.redisson.client.codec.ByteArrayCodec;
import org.redisson.client.codec.StringCodec;
import org.redisson.config.BaseConfig;
import org.redisson.config.Config;
import org.redisson.config.Protocol;
import redis.clients.jedis.DefaultJedisClientConfig;
import redis.clients.jedis.HostAndPort;
import redis.clients.jedis.Jedis;
import redis.clients.jedis.params.ClientKillParams;

/** Redisson for one Redis, RESP2 and RESP3. Nothing is set up for slotmux. */
final class RedissonChecks {
    private final Checks checks;
    private final Protocol protocol;
    private final BiFunction<Config, Checks, BaseConfig<?>> addressed;
    private RedissonClient client;

    private RedissonChecks(Checks checks, Protocol protocol, BiFunction<Config, Checks, BaseConfig<?>> addressed) {
        this.checks = checks;
        this.protocol = protocol;
        this.addressed = addressed;
    }

    public static void main(String[] arguments) {
        run("redisson", arguments, (config, checks) ->
                config.useSingleServer().setAddress("redis://" + checks.host + ":" + checks.port));
    }

    /** The same for its cluster client: `addressed` adds the server. */
    static void run(String name, String[] arguments, BiFunction<Config, Checks, BaseConfig<?>> addressed) {
        Checks checks = new Checks(name, arguments);
        for (Protocol protocol : Protocol.values()) {
            RedissonChecks kind = new RedissonChecks(checks, protocol, addressed);
            checks.add("connect " + protocol, kind::connect);
            checks.add("values " + protocol, kind::values);
            checks.add("types " + protocol, kind::types);
            checks.add("batches " + protocol, kind::batches);
            checks.add("transactions " + protocol, kind::transactions);
            checks.add("scripts " + protocol, kind::scripts);
            checks.add("locks " + protocol, kind::locks);
            checks.add("synchronizers " + protocol, kind::synchronizers);
            checks.add("map cache " + protocol, kind::mapCache);
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

    private void connect() {
        if (checks.password != null) {
            Checks.refused(() -> Redisson.create(config("certainly wrong")), "WRONGPASS");
        }
        client = Redisson.create(config(checks.password));
        RBucket<String> bucket = client.getBucket(key("default"));
        bucket.set("grün");
        Checks.equal(bucket.get(), "grün");
    }

    private Config config(String password) {
        Config config = new Config();
        config.setProtocol(protocol);
        if (password != null) {
            config.setPassword(password);
        }
        addressed.apply(config, checks).setClientName(key("by-name"));
        return config;
    }

    private void values() {
        RBucket<byte[]> bucket = client.getBucket(key("k"), ByteArrayCodec.INSTANCE);
        for (byte[] value : List.of(new byte[] {1}, Checks.everyByte(), Checks.BIG.getBytes())) {
            bucket.set(value, Duration.ofSeconds(1000));
            Checks.equal(bucket.get(), value);
            Checks.equal(bucket.remainTimeToLive() > 900_000, true);
        }
        Checks.equal(bucket.setIfAbsent(new byte[] {2}), false);
        Checks.equal(client.getBucket(key("missing")).get(), null);
        Map<String, Object> many = new HashMap<>();
        for (int n = 0; n < 300; n++) {
            many.put(key("many:" + n), "" + n);
        }
        client.getBuckets().set(many);
        String[] names = many.keySet().toArray(String[]::new);
        Checks.equal(client.getBuckets().get(names), many);
        Checks.equal(client.getKeys().countExists(names), 300L);
        Checks.equal(client.getKeys().delete(names), 300L);
    }

    private void types() {
        RMap<String, Integer> map = client.getMap(key("map"));
        map.putAll(Map.of("a", 1, "b", 2));
        Checks.equal(map.put("a", 6), 1);
        Checks.equal(map.readAllMap(), Map.of("a", 6, "b", 2));
        Checks.equal(map.putIfAbsent("a", 9), 6);
        Checks.equal(map.replace("a", 6, 7), true);
        RScoredSortedSet<String> sorted = client.getScoredSortedSet(key("z"));
        sorted.addAll(Map.of("a", 1.0, "b", 2.5));
        Checks.equal(sorted.getScore("b"), 2.5);
        Checks.equal(List.copyOf(sorted.valueRange(0, -1)), List.of("a", "b"));
        Checks.equal(client.getSet(key("s")).addAll(Set.of("a", "b")), true);
        Checks.equal(client.getSet(key("s")).readAll(), Set.of("a", "b"));
        Checks.equal(client.getList(key("l")).addAll(List.of("a", "b")), true);
        Checks.equal(client.getList(key("l")).readAll(), List.of("a", "b"));
        Checks.equal(client.getAtomicLong(key("n")).addAndGet(7), 7L);
        RStream<String, String> stream = client.getStream(key("x"));
        StreamMessageId id = stream.add(StreamAddArgs.entry("f", "v"));
        Checks.equal(stream.read(StreamReadArgs.greaterThan(StreamMessageId.ALL)), Map.of(id, Map.of("f", "v")));
    }

    private void batches() {
        for (BatchOptions.ExecutionMode mode : List.of(BatchOptions.ExecutionMode.IN_MEMORY, BatchOptions.ExecutionMode.IN_MEMORY_ATOMIC)) {
            RBatch batch = client.createBatch(BatchOptions.defaults().executionMode(mode));
            List<Long> wanted = new ArrayList<>();
            for (int n = 0; n < 500; n++) {
                batch.getAtomicLong(key("{batch}:" + mode + n % 50)).incrementAndGetAsync();
                wanted.add(n / 50 + 1L);
            }
            Checks.equal(batch.execute().getResponses(), wanted);
        }
        RBatch spread = client.createBatch();
        List<RFuture<Long>> counts = new ArrayList<>();
        for (int n = 0; n < 500; n++) {
            counts.add(spread.getAtomicLong(key("spread:" + n)).addAndGetAsync(n));
        }
        spread.execute();
        for (int n = 0; n < 500; n++) {
            Checks.equal(counts.get(n).toCompletableFuture().join(), (long) n);
        }
    }

    private void transactions() {
        RTransaction transaction = client.createTransaction(TransactionOptions.defaults());
        transaction.getBucket(key("{t}:bucket")).set("v");
        transaction.getMap(key("{t}:map")).put("a", "1");
        Checks.equal(client.getBucket(key("{t}:bucket")).get(), null);
        transaction.commit();
        Checks.equal(client.getBucket(key("{t}:bucket")).get(), "v");
        Checks.equal(client.getMap(key("{t}:map")).get("a"), "1");
        RTransaction undone = client.createTransaction(TransactionOptions.defaults());
        undone.getBucket(key("{t}:bucket")).set("lost");
        undone.rollback();
        Checks.equal(client.getBucket(key("{t}:bucket")).get(), "v");
    }

    private void scripts() {
        RScript script = client.getScript(StringCodec.INSTANCE);
        Long sum = script.eval(key("sum"), RScript.Mode.READ_WRITE, Checks.ADD, RScript.ReturnType.LONG, List.of(key("sum")), "5");
        Checks.equal(sum, 5L);
        String digest = script.scriptLoad(Checks.ADD + " -- " + key("script"));
        for (int n = 0; n < 21; n++) {
            String name = key("s:" + n);
            Long found = script.evalSha(name, RScript.Mode.READ_WRITE, digest, RScript.ReturnType.LONG, List.of(name), "" + n);
            Checks.equal(found, (long) n);
        }
    }

    /** A lock is a script; the next owner is woken by a message. */
    private void locks() throws Exception {
        RLock lock = client.getLock(key("lock"));
        lock.lock();
        Checks.equal(Checks.inTime(Checks.start(() -> client.getLock(key("lock")).tryLock())), false);
        Future<Boolean> next = Checks.start(() -> {
            RLock same = client.getLock(key("lock"));
            boolean taken = same.tryLock(Checks.PATIENCE, 10, TimeUnit.SECONDS);
            same.unlock();
            return taken;
        });
        lock.unlock();
        Checks.equal(Checks.inTime(next), true);
        RLock fair = client.getFairLock(key("fair"));
        Checks.equal(fair.tryLock(1, 10, TimeUnit.SECONDS), true);
        fair.unlock();
        RLock reading = client.getReadWriteLock(key("rw")).readLock();
        Checks.equal(reading.tryLock(), true);
        Checks.equal(Checks.inTime(Checks.start(() -> client.getReadWriteLock(key("rw")).writeLock().tryLock())), false);
        reading.unlock();
        RLock both = client.getMultiLock(client.getLock(key("first")), client.getLock(key("second")));
        Checks.equal(both.tryLock(1, 10, TimeUnit.SECONDS), true);
        both.unlock();
    }

    private void synchronizers() throws Exception {
        RSemaphore semaphore = client.getSemaphore(key("semaphore"));
        Checks.equal(semaphore.trySetPermits(1), true);
        semaphore.acquire();
        Future<Boolean> waiting = Checks.start(() -> semaphore.tryAcquire(Duration.ofSeconds(Checks.PATIENCE)));
        semaphore.release();
        Checks.equal(Checks.inTime(waiting), true);
        RCountDownLatch latch = client.getCountDownLatch(key("latch"));
        Checks.equal(latch.trySetCount(1), true);
        Future<Boolean> opened = Checks.start(() -> latch.await(Checks.PATIENCE, TimeUnit.SECONDS));
        latch.countDown();
        Checks.equal(Checks.inTime(opened), true);
        RRateLimiter limiter = client.getRateLimiter(key("rate"));
        Checks.equal(limiter.trySetRate(RateType.OVERALL, 2, Duration.ofHours(1)), true);
        Checks.equal(List.of(limiter.tryAcquire(), limiter.tryAcquire(), limiter.tryAcquire()), List.of(true, true, false));
    }

    /** Its scripts access several keys: they have its name as their hash tag, or the tag that the name has. */
    private void mapCache() throws Exception {
        for (String name : List.of(key("cache"), key("{tag}:cache"))) {
            RMapCache<String, String> cache = client.getMapCache(name);
            cache.put("short", "v", 50, TimeUnit.MILLISECONDS);
            cache.put("long", "v", 1, TimeUnit.HOURS);
            Checks.until("the end of an entry", () -> cache.get("short") == null);
            Checks.equal(cache.get("long"), "v");
            Checks.equal(cache.remove("long"), "v");
        }
    }

    private void subscribe() throws Exception {
        BlockingQueue<String> received = new LinkedBlockingQueue<>();
        RTopic topic = client.getTopic(key("topic"));
        int listener = topic.addListener(String.class, (channel, message) -> received.add(message));
        client.getPatternTopic(key("top*")).addListener(String.class, (pattern, channel, message) -> received.add("by pattern " + message));
        Set<String> wanted = new HashSet<>();
        for (int n = 0; n < 50; n++) {
            // A node of a real cluster counts its own receivers.
            Checks.equal(topic.publish("" + n) > 0, true);
            wanted.addAll(List.of("" + n, "by pattern " + n));
        }
        Set<String> found = new HashSet<>();
        while (found.size() < 100) {
            found.add(received.poll(Checks.PATIENCE, TimeUnit.SECONDS));
        }
        Checks.equal(found, wanted);
        topic.removeListener(listener);
    }

    private void blocking() throws Exception {
        RBlockingQueue<String> queue = client.getBlockingQueue(key("queue"));
        Future<String> taken = Checks.start(() -> queue.poll(Checks.PATIENCE, TimeUnit.SECONDS));
        queue.add("x");
        Checks.equal(Checks.inTime(taken), "x");
        Checks.equal(queue.poll(1, TimeUnit.SECONDS), null);
    }

    private void scans() {
        Set<String> wanted = new HashSet<>();
        for (int n = 0; n < 300; n++) {
            client.getBucket(key("scan:" + n)).set("v");
            wanted.add(key("scan:" + n));
        }
        Set<String> found = new HashSet<>();
        client.getKeys().getKeysByPattern(key("scan:*"), 50).forEach(found::add);
        Checks.equal(found, wanted);
        Checks.equal(client.getKeys().deleteByPattern(key("scan:*")), 300L);
    }

    private void errors() {
        client.getBucket(key("text"), StringCodec.INSTANCE).set("text");
        Checks.refused(() -> client.getList(key("text")).add("x"), "WRONGTYPE");
        Checks.refused(() -> client.getAtomicLong(key("text")).incrementAndGet(), "not an integer");
        Checks.equal(client.getBucket(key("text"), StringCodec.INSTANCE).get(), "text");
    }

    private void threads() throws Exception {
        List<Future<?>> workers = new ArrayList<>();
        for (int worker = 0; worker < 20; worker++) {
            String own = "t:" + worker + ":";
            workers.add(Checks.start(() -> {
                for (int n = 0; n < 30; n++) {
                    RBucket<String> bucket = client.getBucket(key(own + n));
                    bucket.set(own + n);
                    Checks.equal(bucket.get(), own + n);
                    client.getAtomicLong(key("t:sum")).incrementAndGet();
                }
                return null;
            }));
        }
        for (Future<?> worker : workers) {
            Checks.inTime(worker);
        }
        Checks.equal(client.getAtomicLong(key("t:sum")).get(), 600L);
    }

    /** All of its connections end, those that subscribe included. */
    private void reconnect() throws Exception {
        BlockingQueue<String> received = new LinkedBlockingQueue<>();
        RTopic topic = client.getTopic(key("again"));
        topic.addListener(String.class, (channel, message) -> received.add(message));
        client.getBucket(key("again")).set("v");
        Checks.equal(killAll() > 1, true);
        Checks.equal(client.getBucket(key("again")).get(), "v");
        Checks.until("a message", () -> {
            topic.publish("m");
            return received.contains("m");
        });
        client.shutdown();
    }

    /** Kills its connections to the given server; with another library, since Redisson has no such call. */
    private int killAll() {
        int killed = 0;
        var config = DefaultJedisClientConfig.builder().password(checks.password).build();
        try (Jedis other = new Jedis(new HostAndPort(checks.host, checks.port), config)) {
            for (String line : other.clientList().split("\n")) {
                if (line.contains(" name=" + key("by-name") + " ")) {
                    String id = line.split(" ")[0].substring("id=".length());
                    killed += other.clientKill(ClientKillParams.clientKillParams().id(id));
                }
            }
        }
        return killed;
    }
}
