import io.lettuce.core.KeyValue;
import io.lettuce.core.KillArgs;
import io.lettuce.core.RedisURI;
import io.lettuce.core.ScanArgs;
import io.lettuce.core.ScanIterator;
import io.lettuce.core.ScriptOutputType;
import io.lettuce.core.cluster.ClusterClientOptions;
import io.lettuce.core.cluster.RedisClusterClient;
import io.lettuce.core.cluster.api.StatefulRedisClusterConnection;
import io.lettuce.core.cluster.api.sync.RedisAdvancedClusterCommands;
import io.lettuce.core.cluster.models.partitions.RedisClusterNode;
import io.lettuce.core.cluster.pubsub.RedisClusterPubSubAdapter;
import io.lettuce.core.protocol.ProtocolVersion;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.Future;
import java.util.concurrent.LinkedBlockingQueue;

/** Lettuce's cluster client, RESP2 and RESP3. Nothing is set up for slotmux. */
final class LettuceClusterChecks {
    private final Checks checks;

    private LettuceClusterChecks(Checks checks) {
        this.checks = checks;
    }

    public static void main(String[] arguments) {
        Checks checks = new Checks("lettuce-cluster", arguments);
        LettuceClusterChecks all = new LettuceClusterChecks(checks);
        for (ProtocolVersion protocol : ProtocolVersion.values()) {
            checks.add("values, scans, scripts, blocking, reconnect " + protocol, () -> all.use(protocol));
            checks.add("publish and subscribe " + protocol, () -> all.subscribe(protocol));
        }
        checks.runAll();
    }

    private RedisClusterClient client(ProtocolVersion protocol) {
        RedisURI.Builder uri = RedisURI.builder().withHost(checks.host).withPort(checks.port);
        if (checks.password != null) {
            uri.withPassword(checks.password.toCharArray());
        }
        RedisClusterClient client = RedisClusterClient.create(uri.build());
        client.setOptions(ClusterClientOptions.builder().protocolVersion(protocol).build());
        return client;
    }

    private void use(ProtocolVersion protocol) throws Exception {
        String prefix = checks.key(protocol.toString(), "");
        RedisClusterClient client = client(protocol);
        try (StatefulRedisClusterConnection<String, String> connection = client.connect()) {
            RedisAdvancedClusterCommands<String, String> sync = connection.sync();
            Checks.equal(client.getPartitions().isEmpty(), false);
            Map<String, String> many = new LinkedHashMap<>();
            for (int n = 0; n < 200; n++) {
                many.put(prefix + "scan:" + n, "" + n);
            }
            Checks.equal(sync.mset(many), "OK");
            List<String> names = List.copyOf(many.keySet());
            List<KeyValue<String, String>> found = sync.mget(names.toArray(String[]::new));
            Checks.equal(found.stream().map(KeyValue::getValue).toList(), List.copyOf(many.values()));
            Set<String> scanned = new HashSet<>();
            ScanIterator.scan(sync, ScanArgs.Builder.limit(50).match(prefix + "scan:*")).forEachRemaining(scanned::add);
            Checks.equal(scanned, many.keySet());
            String digest = sync.scriptLoad(Checks.ADD + " -- " + prefix);
            for (int n = 0; n < 21; n++) {
                Long sum = sync.evalsha(digest, ScriptOutputType.INTEGER, new String[] {prefix + "s" + n}, "" + n);
                Checks.equal(sum, (long) n);
            }
            Future<KeyValue<String, String>> popped = connection.async().blpop(Checks.PATIENCE, prefix + "list");
            try (StatefulRedisClusterConnection<String, String> other = client.connect()) {
                other.sync().rpush(prefix + "list", "x");
            }
            Checks.equal(Checks.inTime(popped), KeyValue.just(prefix + "list", "x"));
            Checks.refused(() -> sync.lpush(names.get(0), "x"), "WRONGTYPE");
            long victim = sync.clientId();
            sync.clientKill(KillArgs.Builder.id(victim));
            Checks.equal(sync.get(names.get(7)), "7");
            Checks.equal(sync.del(names.toArray(String[]::new)), 200L);
        }
    }

    private void subscribe(ProtocolVersion protocol) throws Exception {
        String channel = checks.key(protocol.toString(), "channel");
        RedisClusterClient client = client(protocol);
        try (var listener = client.connectPubSub(); var publisher = client.connect()) {
            var received = new LinkedBlockingQueue<String>();
            listener.addListener(new RedisClusterPubSubAdapter<String, String>() {
                @Override
                public void message(RedisClusterNode node, String from, String message) {
                    received.add(message);
                }
            });
            listener.setNodeMessagePropagation(true);
            listener.sync().subscribe(channel);
            listener.sync().ssubscribe(channel);
            Checks.until("a message", () -> {
                publisher.sync().publish(channel, "m");
                return received.contains("m");
            });
        }
    }
}
