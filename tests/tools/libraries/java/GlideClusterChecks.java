/** valkey-glide's cluster client, RESP2 and RESP3. Nothing is set up for slotmux. */
final class GlideClusterChecks {
    private GlideClusterChecks() {}

    public static void main(String[] arguments) {
        GlideChecks.cluster(arguments);
    }
}
