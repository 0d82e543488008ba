import io.lettuce.core.ClientOptions;
import io.lettuce.core.codec.ByteArrayCodec;
import io.lettuce.core.output.IntegerOutput;
import io.lettuce.core.protocol.ProtocolVersion;
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
import org.springframework.data.redis.cache.RedisCache;
import org.springframework.data.redis.cache.RedisCacheConfiguration;
import org.springframework.data.redis.cache.RedisCacheManager;
import org.springframework.data.redis.cache.RedisCacheWriter;
import org.springframework.data.redis.connection.RedisStandaloneConfiguration;
import org.springframework.data.redis.connection.lettuce.LettuceClientConfiguration;
import org.springframework.data.redis.connection.lettuce.LettuceConnection;
import org.springframework.data.redis.connection.lettuce.LettuceConnectionFactory;
import org.springframework.data.redis.connection.stream.StreamOffset;
import org.springframework.data.redis.connection.stream.StreamRecords;
import org.springframework.data.redis.core.Cursor;
import org.springframework.data.redis.core.RedisOperations;
import org.springframework.data.redis.core.ScanOptions;
import org.springframework.data.redis.core.SessionCallback;
import org.springframework.data.redis.core.StringRedisTemplate;
import org.springframework.data.redis.core.script.DefaultRedisScript;
import org.springframework.data.redis.listener.ChannelTopic;
import org.springframework.data.redis.listener.PatternTopic;
import org.springframework.data.redis.listener.RedisMessageListenerContainer;

/** Spring Data Redis over Lettuce, its templates and its cache, RESP2 and RESP3. Nothing is set up for slotmux. */
final class SpringChecks {
    private final Checks checks;
    private final ProtocolVersion protocol;
    private final LettuceConnectionFactory factory;
    private final StringRedisTemplate template;

    private SpringChecks(Checks checks, ProtocolVersion protocol) {
        this.checks = checks;
        this.protocol = protocol;
        factory = factory(checks, protocol);
        template = new StringRedisTemplate(factory);
    }

    static LettuceConnectionFactory factory(Checks checks, ProtocolVersion protocol) {
        RedisStandaloneConfiguration server = new RedisStandaloneConfiguration(checks.host, checks.port);
        server.setPassword(checks.password);
        LettuceConnectionFactory factory = new LettuceConnectionFactory(server, LettuceClientConfiguration.builder()
                .clientOptions(ClientOptions.builder().protocolVersion(protocol).build()).build());
        factory.afterPropertiesSet();
        factory.start();
        return factory;
    }

    public static void main(String[] arguments) {
        Checks checks = new Checks("spring-data-redis", arguments);
        for (ProtocolVersion protocol : ProtocolVersion.values()) {
            SpringChecks kind = new SpringChecks(checks, protocol);
            checks.add("values " + protocol, kind::values);
            checks.add("types " + protocol, kind::types);
            checks.add("pipelines " + protocol, kind::pipelines);
            checks.add("transactions and WATCH " + protocol, kind::transactions);
            checks.add("scripts " + protocol, kind::scripts);
            checks.add("publish and subscribe " + protocol, kind::subscribe);
            checks.add("blocking " + protocol, kind::blocking);
            checks.add("scans " + protocol, kind::scans);
            checks.add("cache " + protocol, kind::cache);
            checks.add("locking cache " + protocol, kind::lockingCache);
            checks.add("reconnect " + protocol, kind::reconnect);
        }
        checks.runAll();
    }

    private String key(Object end) {
        return checks.key(protocol.toString(), end.toString());
    }

    private void values() {
        template.opsForValue().set(key("k"), "grün", Duration.ofSeconds(1000));
        Checks.equal(template.opsForValue().get(key("k")), "grün");
        Checks.equal(template.getExpire(key("k")) > 900, true);
        Checks.equal(template.opsForValue().setIfAbsent(key("k"), "x"), false);
        Map<String, String> many = new HashMap<>();
        for (int n = 0; n < 300; n++) {
            many.put(key("many:" + n), "" + n);
        }
        template.opsForValue().multiSet(many);
        List<String> names = List.copyOf(many.keySet());
        Checks.equal(template.opsForValue().multiGet(names), names.stream().map(many::get).toList());
        Checks.equal(template.countExistingKeys(names), 300L);
        Checks.equal(template.delete(names), 300L);
    }

    private void types() {
        template.opsForHash().putAll(key("h"), Map.of("a", "1", "b", "2"));
        Checks.equal(template.opsForHash().entries(key("h")), Map.of("a", "1", "b", "2"));
        Checks.equal(template.opsForZSet().add(key("z"), "a", 1.5), true);
        Checks.equal(template.opsForZSet().score(key("z"), "a"), 1.5);
        Checks.equal(template.opsForSet().add(key("s"), "a", "b"), 2L);
        Checks.equal(template.opsForSet().members(key("s")), Set.of("a", "b"));
        var added = template.opsForStream().add(StreamRecords.string(Map.of("f", "v")).withStreamKey(key("x")));
        Checks.equal(template.opsForStream().read(StreamOffset.fromStart(key("x"))).get(0).getId(), added);
        Checks.equal(template.opsForHyperLogLog().add(key("hll"), "a", "b"), 1L);
    }

    private void pipelines() {
        List<Object> replies = template.executePipelined(new SessionCallback<Object>() {
            @Override
            @SuppressWarnings("unchecked")
            public <K, V> Object execute(RedisOperations<K, V> operations) {
                for (int n = 0; n < 500; n++) {
                    operations.opsForValue().increment((K) key("p:" + n), n);
                }
                return null;
            }
        });
        List<Long> wanted = new ArrayList<>();
        for (long n = 0; n < 500; n++) {
            wanted.add(n);
        }
        Checks.equal(replies, wanted);
    }

    private void transactions() {
        for (boolean disturbed : List.of(false, true)) {
            List<Object> replies = template.execute(new SessionCallback<List<Object>>() {
                @Override
                @SuppressWarnings("unchecked")
                public <K, V> List<Object> execute(RedisOperations<K, V> operations) {
                    operations.watch((K) key("{t}a"));
                    if (disturbed) {
                        template.opsForValue().set(key("{t}a"), "100");
                    }
                    operations.multi();
                    operations.opsForValue().increment((K) key("{t}a"));
                    operations.opsForValue().increment((K) key("{t}b"), 5);
                    return operations.exec();
                }
            });
            Checks.equal(replies, disturbed ? List.of() : List.of(1L, 5L));
        }
        Checks.equal(template.opsForValue().get(key("{t}a")), "100");
    }

    private void scripts() {
        var script = new DefaultRedisScript<>(Checks.ADD + " -- " + key("script"), Long.class);
        for (int n = 0; n < 21; n++) {
            Checks.equal(template.execute(script, List.of(key("s:" + n)), "" + n), (long) n);
        }
    }

    private void subscribe() throws Exception {
        BlockingQueue<String> received = new LinkedBlockingQueue<>();
        RedisMessageListenerContainer container = new RedisMessageListenerContainer();
        container.setConnectionFactory(factory);
        container.addMessageListener((message, pattern) -> received.add(message.toString()), List.of(
                new ChannelTopic(key("channel")), new PatternTopic(key("pattern*"))));
        container.afterPropertiesSet();
        container.start();
        Set<String> found = new HashSet<>();
        for (int n = 0; n < 20; n++) {
            template.convertAndSend(key("channel"), "exact " + n);
            template.convertAndSend(key("pattern:" + n), "pattern " + n);
            found.add(received.poll(Checks.PATIENCE, TimeUnit.SECONDS));
            found.add(received.poll(Checks.PATIENCE, TimeUnit.SECONDS));
        }
        Checks.equal(found.size(), 40);
        Checks.equal(found.contains(null), false);
        container.destroy();
    }

    private void blocking() throws Exception {
        Future<String> popped = Checks.start(() -> template.opsForList().leftPop(key("list"), Duration.ofSeconds(Checks.PATIENCE)));
        template.opsForList().rightPush(key("list"), "x");
        Checks.equal(Checks.inTime(popped), "x");
        Checks.equal(template.opsForList().leftPop(key("list"), Duration.ofSeconds(1)), null);
    }

    private void scans() {
        Set<String> wanted = new HashSet<>();
        for (int n = 0; n < 300; n++) {
            template.opsForValue().set(key("scan:" + n), "v");
            wanted.add(key("scan:" + n));
        }
        Set<String> found = new HashSet<>();
        try (Cursor<String> pages = template.scan(ScanOptions.scanOptions().match(key("scan:*")).count(50).build())) {
            pages.forEachRemaining(found::add);
        }
        Checks.equal(found, wanted);
        Checks.equal(template.keys(key("scan:*")), wanted);
    }

    private void cache() throws Exception {
        RedisCacheManager manager = RedisCacheManager.builder(factory)
                .cacheDefaults(RedisCacheConfiguration.defaultCacheConfig().entryTtl(Duration.ofMinutes(10))).build();
        use((RedisCache) manager.getCache(key("cache")));
    }

    private void lockingCache() throws Exception {
        RedisCacheWriter writer = RedisCacheWriter.create(factory, config -> config.enableLocking().immediateWrites());
        use((RedisCache) RedisCacheManager.builder(writer).build().getCache(key("locking")));
    }

    /** Its writes need not have ended when the call returns. `clear` deletes its keys by their pattern, over all slots. */
    private void use(RedisCache cache) throws Exception {
        for (int n = 0; n < 50; n++) {
            cache.put(n, "value " + n);
        }
        Checks.until("the entries", () -> template.keys(cache.getName() + "::*").size() == 50);
        for (int n = 0; n < 50; n++) {
            Checks.equal(cache.get(n).get(), "value " + n);
        }
        Checks.equal(cache.get("computed", () -> "once"), "once");
        Checks.until("a computed value", () -> cache.get("computed", () -> "twice").equals("once"));
        Checks.equal(cache.putIfAbsent(7, "other").get(), "value 7");
        Checks.equal(cache.evictIfPresent(7), true);
        Checks.equal(cache.get(7), null);
        cache.clear();
        Checks.until("the end of all entries", () -> template.keys(cache.getName() + "::*").isEmpty());
    }

    private void reconnect() {
        template.opsForValue().set(key("again"), "v");
        long victim = clientId(factory);
        LettuceConnectionFactory other = factory(checks, protocol);
        try (LettuceConnection connection = (LettuceConnection) other.getConnection()) {
            byte[][] kill = {"KILL".getBytes(), "ID".getBytes(), Long.toString(victim).getBytes()};
            Checks.equal(connection.execute("CLIENT", new IntegerOutput<>(ByteArrayCodec.INSTANCE), kill), 1L);
        }
        Checks.equal(template.opsForValue().get(key("again")), "v");
        Checks.equal(clientId(factory) != victim, true);
        other.destroy();
    }

    private static long clientId(LettuceConnectionFactory factory) {
        try (LettuceConnection connection = (LettuceConnection) factory.getConnection()) {
            return (Long) connection.execute("CLIENT", new IntegerOutput<>(ByteArrayCodec.INSTANCE), "ID".getBytes());
        }
    }
}
