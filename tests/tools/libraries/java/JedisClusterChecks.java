import static redis.clients.jedis.Protocol.Command.CLIENT;

import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import java.util.concurrent.Future;
import redis.clients.jedis.AbstractTransaction;
import redis.clients.jedis.ClusterPipeline;
import redis.clients.jedis.Connection;
import redis.clients.jedis.DefaultJedisClientConfig;
import redis.clients.jedis.HostAndPort;
import redis.clients.jedis.Jedis;
import redis.clients.jedis.RedisClusterClient;
import redis.clients.jedis.RedisProtocol;
import redis.clients.jedis.Response;
import redis.clients.jedis.Transaction;
import redis.clients.jedis.params.ClientKillParams;
import redis.clients.jedis.util.JedisClusterCRC16;

/** Jedis' cluster client, RESP2 and RESP3. Nothing is set up for slotmux. */
final class JedisClusterChecks {
    private final Checks checks;

    private JedisClusterChecks(Checks checks) {
        this.checks = checks;
    }

    public static void main(String[] arguments) {
        Checks checks = new Checks("jedis-cluster", arguments);
        JedisClusterChecks all = new JedisClusterChecks(checks);
        for (RedisProtocol protocol : List.of(RedisProtocol.RESP2, RedisProtocol.RESP3)) {
            checks.add("values, pipelines, scripts, transactions, blocking " + protocol, () -> all.use(protocol));
            checks.add("reconnect " + protocol, () -> all.reconnect(protocol));
        }
        checks.runAll();
    }

    private DefaultJedisClientConfig config(RedisProtocol protocol) {
        return DefaultJedisClientConfig.builder().protocol(protocol).password(checks.password)
                .socketTimeoutMillis(Checks.PATIENCE * 1000).build();
    }

    private RedisClusterClient client(RedisProtocol protocol) {
        return RedisClusterClient.builder().nodes(Set.of(new HostAndPort(checks.host, checks.port)))
                .clientConfig(config(protocol)).build();
    }

    private void use(RedisProtocol protocol) throws Exception {
        String prefix = checks.key(protocol.toString(), "");
        try (RedisClusterClient client = client(protocol)) {
            Checks.equal(client.getClusterNodes().isEmpty(), false);
            for (int n = 0; n < 200; n++) {
                Checks.equal(client.set(prefix + n, "" + n), "OK");
                Checks.equal(client.get(prefix + n), "" + n);
            }
            List<Response<Long>> counts = new ArrayList<>();
            try (ClusterPipeline pipeline = client.pipelined()) {
                for (int n = 0; n < 200; n++) {
                    counts.add(pipeline.incr(prefix + n));
                }
            }
            for (int n = 0; n < 200; n++) {
                Checks.equal(counts.get(n).get(), n + 1L);
            }
            for (int n = 0; n < 21; n++) {
                Checks.equal(client.eval(Checks.ADD, List.of(prefix + "s" + n), List.of("" + n)), (long) n);
            }
            // This client has no transactions of its own.
            Connection connection = client.getConnectionFromSlot(JedisClusterCRC16.getSlot(prefix + "{t}"));
            try (connection; AbstractTransaction transaction = new Transaction(connection)) {
                transaction.incr(prefix + "{t}a");
                transaction.incrBy(prefix + "{t}b", 5);
                Checks.equal(transaction.exec(), List.of(1L, 5L));
            }
            Future<List<String>> popped = Checks.start(() -> client.blpop(Checks.PATIENCE, prefix + "list"));
            client.rpush(prefix + "list", "x");
            Checks.equal(Checks.inTime(popped), List.of(prefix + "list", "x"));
            Checks.refused(() -> client.lpush(prefix + 0, "x"), "WRONGTYPE");
            Checks.equal(client.spublish(prefix + "channel", "m"), 0L);
        }
    }

    private void reconnect(RedisProtocol protocol) {
        String name = checks.key(protocol.toString(), "again");
        try (RedisClusterClient client = client(protocol)) {
            client.set(name, "1");
            HostAndPort address;
            String victim;
            try (Connection pooled = client.getConnectionFromSlot(JedisClusterCRC16.getSlot(name))) {
                address = pooled.getHostAndPort();
                pooled.sendCommand(CLIENT, "ID");
                victim = pooled.getOne().toString();
            }
            try (Jedis other = new Jedis(address, config(protocol))) {
                Checks.equal(other.clientKill(ClientKillParams.clientKillParams().id(victim)), 1L);
            }
            Checks.equal(client.get(name), "1");
        }
    }
}
