/** Redisson's cluster client, RESP2 and RESP3. Nothing is set up for slotmux. */
final class RedissonClusterChecks {
    private RedissonClusterChecks() {}

    public static void main(String[] arguments) {
        RedissonChecks.run("redisson-cluster", arguments, (config, checks) ->
                config.useClusterServers().addNodeAddress("redis://" + checks.host + ":" + checks.port));
    }
}
