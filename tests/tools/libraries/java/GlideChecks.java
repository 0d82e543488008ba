import glide.api.BaseClient;
import glide.api.GlideClient;
import glide.api.GlideClusterClient;
import glide.api.logging.Logger;
import glide.api.models.Batch;
import glide.api.models.ClusterBatch;
import glide.api.models.GlideString;
import glide.api.models.Script;
import glide.api.models.commands.ScriptOptions;
import glide.api.models.commands.SetOptions;
import glide.api.models.commands.scan.ClusterScanCursor;
import glide.api.models.commands.scan.ScanOptions;
import glide.api.models.configuration.GlideClientConfiguration;
import glide.api.models.configuration.GlideClusterClientConfiguration;
import glide.api.models.configuration.NodeAddress;
import glide.api.models.configuration.ProtocolVersion;
import glide.api.models.configuration.ServerCredentials;
import glide.api.models.configuration.StandaloneSubscriptionConfiguration;
import glide.api.models.configuration.StandaloneSubscriptionConfiguration.PubSubChannelMode;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.Future;

/** valkey-glide, RESP2 and RESP3. Nothing is set up for slotmux. */
final class GlideChecks {
    private final Checks checks;
    private final ProtocolVersion protocol;

    private GlideChecks(Checks checks, ProtocolVersion protocol) {
        // Its warnings of replies that are errors would come between the lines of the checks.
        Logger.setLoggerConfig(Logger.Level.OFF);
        this.checks = checks;
        this.protocol = protocol;
    }

    public static void main(String[] arguments) {
        Checks checks = new Checks("glide-java", arguments);
        for (ProtocolVersion protocol : ProtocolVersion.values()) {
            GlideChecks kind = new GlideChecks(checks, protocol);
            checks.add("handshake " + protocol, kind::handshake);
            checks.add("a wrong password " + protocol, kind::wrongPassword);
            checks.add("values " + protocol, () -> kind.values(kind.client()));
            checks.add("many keys " + protocol, () -> kind.manyKeys(kind.client()));
            checks.add("batches " + protocol, kind::batches);
            checks.add("WATCH " + protocol, kind::watch);
            checks.add("scripts " + protocol, () -> kind.scripts(kind.client()));
            checks.add("publish and subscribe " + protocol, kind::subscribe);
            checks.add("blocking " + protocol, () -> kind.blocking(kind.client(), kind.client()));
            checks.add("scans " + protocol, kind::scans);
            checks.add("errors " + protocol, () -> kind.errors(kind.client()));
            checks.add("reconnect " + protocol, kind::reconnect);
        }
        checks.runAll();
    }

    /** The checks of its cluster client. */
    static void cluster(String[] arguments) {
        Checks checks = new Checks("glide-java-cluster", arguments);
        for (ProtocolVersion protocol : ProtocolVersion.values()) {
            GlideChecks kind = new GlideChecks(checks, protocol);
            checks.add("values " + protocol, () -> kind.values(kind.clusterClient()));
            checks.add("many keys " + protocol, () -> kind.manyKeys(kind.clusterClient()));
            checks.add("batches " + protocol, kind::clusterBatches);
            checks.add("scripts " + protocol, () -> kind.scripts(kind.clusterClient()));
            checks.add("blocking " + protocol, () -> kind.blocking(kind.clusterClient(), kind.clusterClient()));
            checks.add("scans " + protocol, kind::clusterScans);
            checks.add("errors " + protocol, () -> kind.errors(kind.clusterClient()));
        }
        checks.runAll();
    }

    private String key(Object end) {
        return checks.key(protocol.toString(), end.toString());
    }

    private GlideClientConfiguration.GlideClientConfigurationBuilder<?, ?> config() {
        var config = GlideClientConfiguration.builder().address(address()).protocol(protocol)
                .clientName("by-name").requestTimeout(Checks.PATIENCE * 1000);
        return checks.password == null ? config : config.credentials(credentials(checks.password));
    }

    private NodeAddress address() {
        return NodeAddress.builder().host(checks.host).port(checks.port).build();
    }

    private static ServerCredentials credentials(String password) {
        return ServerCredentials.builder().password(password).build();
    }

    private GlideClient client() throws Exception {
        return Checks.inTime(GlideClient.createClient(config().build()));
    }

    private GlideClusterClient clusterClient() throws Exception {
        var config = GlideClusterClientConfiguration.builder().address(address()).protocol(protocol)
                .requestTimeout(Checks.PATIENCE * 1000);
        if (checks.password != null) {
            config.credentials(credentials(checks.password));
        }
        return Checks.inTime(GlideClusterClient.createClient(config.build()));
    }

    private void handshake() throws Exception {
        try (GlideClient client = client()) {
            Checks.equal(Checks.inTime(client.ping()), "PONG");
            Checks.equal(Checks.inTime(client.clientGetName()), "by-name");
            Checks.equal(Checks.inTime(client.info()).contains("redis_version:"), true);
            Checks.equal(Checks.inTime(client.select(0)), "OK");
        }
    }

    private void wrongPassword() {
        if (checks.password == null) {
            return;
        }
        Checks.refused(() -> Checks.inTime(GlideClient.createClient(config().credentials(credentials("wrong")).build())), "Failed to create client");
    }

    private void values(BaseClient client) throws Exception {
        try (client) {
            GlideString name = GlideString.of(key("k"));
            SetOptions options = SetOptions.builder().expiry(SetOptions.Expiry.Seconds(1000L)).build();
            for (byte[] value : List.of(new byte[] {1}, new byte[0], Checks.everyByte(), Checks.BIG.getBytes())) {
                Checks.equal(Checks.inTime(client.set(name, GlideString.of(value), options)), "OK");
                Checks.equal(Checks.inTime(client.get(name)).getBytes(), value);
            }
            Checks.equal(Checks.inTime(client.get(key("missing"))), null);
            Checks.equal(Checks.inTime(client.hset(key("h"), Map.of("a", "1", "b", "2"))), 2L);
            Checks.equal(Checks.inTime(client.hgetall(key("h"))), Map.of("a", "1", "b", "2"));
            Checks.equal(Checks.inTime(client.zadd(key("z"), Map.of("a", 1.5))), 1L);
            Checks.equal(Checks.inTime(client.zscore(key("z"), "a")), 1.5);
        }
    }

    private void manyKeys(BaseClient client) throws Exception {
        try (client) {
            Map<String, String> many = new LinkedHashMap<>();
            for (int n = 0; n < 200; n++) {
                many.put(key("many:" + n), "" + n);
            }
            String[] names = many.keySet().toArray(String[]::new);
            Checks.equal(Checks.inTime(client.mset(many)), "OK");
            Checks.equal(Checks.inTime(client.mget(names)), many.values().toArray());
            Checks.equal(Checks.inTime(client.del(names)), 200L);
            List<Future<Long>> counts = new ArrayList<>();
            for (int n = 0; n < 500; n++) {
                counts.add(client.incrBy(key("n:" + n), n));
            }
            for (int n = 0; n < 500; n++) {
                Checks.equal(Checks.inTime(counts.get(n)), (long) n);
            }
        }
    }

    private void batches() throws Exception {
        try (GlideClient client = client()) {
            Batch pipeline = new Batch(false);
            List<Object> wanted = new ArrayList<>();
            for (int n = 0; n < 300; n++) {
                pipeline.set(key("b:" + n), "" + n).get(key("b:" + n));
                wanted.addAll(List.of("OK", "" + n));
            }
            Checks.equal(Checks.inTime(client.exec(pipeline, true)), wanted.toArray());
            Batch transaction = new Batch(true).set(key("{t}a"), "1").incr(key("{t}a")).lpush(key("{t}a"), new String[] {"x"});
            Object[] replies = Checks.inTime(client.exec(transaction, false));
            Checks.equal(List.of(replies).subList(0, 2), List.of("OK", 2L));
            Checks.equal(replies[2].toString().contains("WRONGTYPE") || replies[2].toString().contains("wrong kind"), true);
        }
    }

    private void clusterBatches() throws Exception {
        try (GlideClusterClient client = clusterClient()) {
            ClusterBatch pipeline = new ClusterBatch(false);
            List<Object> wanted = new ArrayList<>();
            for (int n = 0; n < 300; n++) {
                pipeline.set(key("b:" + n), "" + n).get(key("b:" + n));
                wanted.addAll(List.of("OK", "" + n));
            }
            Checks.equal(Checks.inTime(client.exec(pipeline, true)), wanted.toArray());
            ClusterBatch transaction = new ClusterBatch(true).set(key("{t}a"), "1").incr(key("{t}a"));
            Checks.equal(Checks.inTime(client.exec(transaction, true)), new Object[] {"OK", 2L});
        }
    }

    private void watch() throws Exception {
        try (GlideClient client = client(); GlideClient other = client()) {
            for (boolean disturbed : List.of(false, true)) {
                Checks.equal(Checks.inTime(client.watch(new String[] {key("watched")})), "OK");
                if (disturbed) {
                    Checks.inTime(other.set(key("watched"), "other"));
                }
                Object[] replies = Checks.inTime(client.exec(new Batch(true).set(key("watched"), "mine"), true));
                Checks.equal(replies, disturbed ? null : new Object[] {"OK"});
            }
        }
    }

    private void scripts(BaseClient client) throws Exception {
        try (client; Script script = new Script(Checks.ADD + " -- " + key("script"), false)) {
            for (int n = 0; n < 21; n++) {
                ScriptOptions options = ScriptOptions.builder().key(key("s:" + n)).arg("" + n).build();
                Checks.equal(Checks.inTime(client.invokeScript(script, options)), (long) n);
            }
        }
    }

    /** The library has it in RESP3 only. */
    private void subscribe() throws Exception {
        if (protocol == ProtocolVersion.RESP2) {
            return;
        }
        var subscriptions = StandaloneSubscriptionConfiguration.builder()
                .subscription(PubSubChannelMode.EXACT, GlideString.of(key("channel")))
                .subscription(PubSubChannelMode.PATTERN, GlideString.of(key("pattern*"))).build();
        try (GlideClient listener = Checks.inTime(GlideClient.createClient(config().subscriptionConfiguration(subscriptions).build()));
                GlideClient publisher = client()) {
            for (int n = 0; n < 20; n++) {
                Checks.inTime(publisher.publish("exact " + n, key("channel")));
                Checks.inTime(publisher.publish("pattern " + n, key("pattern:" + n)));
                Checks.equal(Checks.inTime(listener.getPubSubMessage()).getMessage().toString(), "exact " + n);
                Checks.equal(Checks.inTime(listener.getPubSubMessage()).getMessage().toString(), "pattern " + n);
            }
        }
    }

    private void blocking(BaseClient client, BaseClient other) throws Exception {
        try (client; other) {
            Future<String[]> popped = client.blpop(new String[] {key("list")}, 10);
            Checks.inTime(other.rpush(key("list"), new String[] {"x"}));
            Checks.equal(Checks.inTime(popped), new String[] {key("list"), "x"});
            Checks.equal(Checks.inTime(client.blpop(new String[] {key("list")}, 0.1)), null);
        }
    }

    private Set<String> scanned(BaseClient client) throws Exception {
        Set<String> wanted = new HashSet<>();
        for (int n = 0; n < 200; n++) {
            wanted.add(key("scan:" + n));
            Checks.inTime(client.set(key("scan:" + n), "1"));
        }
        return wanted;
    }

    private void scans() throws Exception {
        try (GlideClient client = client()) {
            Set<String> wanted = scanned(client);
            Set<String> found = new HashSet<>();
            String cursor = "0";
            do {
                Object[] page = Checks.inTime(client.scan(cursor, ScanOptions.builder().matchPattern(key("scan:*")).count(50L).build()));
                cursor = page[0].toString();
                for (Object name : (Object[]) page[1]) {
                    found.add(name.toString());
                }
            } while (!cursor.equals("0"));
            Checks.equal(found, wanted);
        }
    }

    private void clusterScans() throws Exception {
        try (GlideClusterClient client = clusterClient()) {
            Set<String> wanted = scanned(client);
            Set<String> found = new HashSet<>();
            ClusterScanCursor cursor = ClusterScanCursor.initalCursor();
            while (!cursor.isFinished()) {
                Object[] page = Checks.inTime(client.scan(cursor, ScanOptions.builder().matchPattern(key("scan:*")).count(50L).build()));
                cursor.releaseCursorHandle();
                cursor = (ClusterScanCursor) page[0];
                for (Object name : (Object[]) page[1]) {
                    found.add(name.toString());
                }
            }
            Checks.equal(found, wanted);
        }
    }

    private void errors(BaseClient client) throws Exception {
        try (client) {
            Checks.inTime(client.set(key("text"), "text"));
            Checks.refused(() -> Checks.inTime(client.lpush(key("text"), new String[] {"x"})), "wrong kind");
            Checks.refused(() -> Checks.inTime(client.incr(key("text"))), "not an integer");
            Checks.equal(Checks.inTime(client.get(key("text"))), "text");
        }
    }

    private void reconnect() throws Exception {
        try (GlideClient client = client(); GlideClient other = client()) {
            long victim = Checks.inTime(client.clientId());
            Checks.equal(Checks.inTime(other.customCommand(new String[] {"CLIENT", "KILL", "ID", "" + victim})), 1L);
            Checks.until("another connection", () -> {
                try {
                    return Checks.inTime(client.clientId()) != victim;
                } catch (java.util.concurrent.ExecutionException lost) {
                    return false;
                }
            });
            Checks.equal(Checks.inTime(client.clientGetName()), "by-name");
        }
    }
}
