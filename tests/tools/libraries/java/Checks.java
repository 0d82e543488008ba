import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Objects;
import java.util.UUID;
import java.util.concurrent.Callable;
import java.util.concurrent.Executors;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;

/** Shared by the Java programs: the server from the command line, values, and the run with its last line. */
final class Checks {
    static final int PATIENCE = 20;
    static final String ADD = "return redis.call('incrby', KEYS[1], ARGV[1])";
    static final String BIG = "0123456789abcdef".repeat(65_536);
    private static final ExecutorService THREADS = Executors.newCachedThreadPool(task -> {
        Thread thread = new Thread(task);
        thread.setDaemon(true);
        return thread;
    });

    final String host;
    final int port;
    /** Null without one. */
    final String password;
    private final String name;
    private final String run = UUID.randomUUID().toString().substring(0, 8);
    private final Map<String, Check> checks = new LinkedHashMap<>();

    interface Check {
        void run() throws Exception;
    }

    Checks(String name, String[] arguments) {
        this.name = name;
        host = arguments[0];
        port = Integer.parseInt(arguments[1]);
        password = arguments.length > 2 ? arguments[2] : null;
    }

    /** A key of this run. */
    String key(String kind, String end) {
        return name + ":" + run + ":" + kind + ":" + end;
    }

    void add(String title, Check check) {
        checks.put(title, check);
    }

    /** Counts the checks that end without an exception, and ends the process. */
    void runAll() {
        int failed = 0;
        for (Map.Entry<String, Check> check : checks.entrySet()) {
            Future<?> outcome = start(() -> {
                check.getValue().run();
                return null;
            });
            try {
                outcome.get(3 * PATIENCE, TimeUnit.SECONDS);
            } catch (Exception error) {
                failed++;
                System.out.println("FAILED " + name + " " + check.getKey());
                error.printStackTrace(System.out);
            }
        }
        System.out.printf("%s: %d passed, %d failed%n", name, checks.size() - failed, failed);
        System.out.flush();
        Runtime.getRuntime().halt(failed == 0 ? 0 : 1);
    }

    /** Runs a call in a thread of its own. */
    static <T> Future<T> start(Callable<T> call) {
        return THREADS.submit(call);
    }

    static <T> T inTime(Future<T> outcome) throws Exception {
        return outcome.get(PATIENCE, TimeUnit.SECONDS);
    }

    static void equal(Object found, Object wanted) {
        if (!Objects.deepEquals(found, wanted)) {
            throw new AssertionError(shortened(found) + " is not " + shortened(wanted));
        }
    }

    private static String shortened(Object value) {
        String text = String.valueOf(value);
        return text.substring(0, Math.min(text.length(), 300));
    }

    /** Asserts that a call ends with an error with this text, in any of its causes. */
    static void refused(Check call, String text) {
        try {
            call.run();
        } catch (Throwable error) {
            for (Throwable cause = error; cause != null; cause = cause.getCause()) {
                if (String.valueOf(cause.getMessage()).contains(text)) {
                    return;
                }
            }
            throw new AssertionError("no " + text, error);
        }
        throw new AssertionError("no error");
    }

    /** Waits until a call returns true. */
    static void until(String what, Callable<Boolean> condition) throws Exception {
        long deadline = System.nanoTime() + TimeUnit.SECONDS.toNanos(PATIENCE);
        while (!condition.call()) {
            if (System.nanoTime() > deadline) {
                throw new AssertionError(what + " did not come");
            }
            Thread.sleep(10);
        }
    }

    static byte[] everyByte() {
        byte[] bytes = new byte[256 + 11];
        for (int n = 0; n < 256; n++) {
            bytes[n] = (byte) n;
        }
        System.arraycopy("\r\n$3\r\n*1\r\n\0".getBytes(), 0, bytes, 256, 11);
        return bytes;
    }
}
