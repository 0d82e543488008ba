<?php
// Shared by the PHP programs: the server from the command line, values, and the run with its last line.

const PATIENCE = 20;
const ADD = "return redis.call('incrby', KEYS[1], ARGV[1])";

define("HOST", $argv[1]);
define("PORT", (int) $argv[2]);
define("PASSWORD", $argv[3] ?? null);
define("EVERY_BYTE", implode("", array_map("chr", range(0, 255))) . "\r\n$3\r\n*1\r\n\0");
define("BIG", str_repeat("0123456789abcdef", 65536));
define("RUN", bin2hex(random_bytes(4)));

function key_of(string $end): string
{
    return basename($GLOBALS["argv"][0], ".php") . ":" . RUN . ":" . $end;
}

/** Keys of many slots. */
function many(string $kind, int $count): array
{
    return array_map(fn($n) => key_of("$kind:$n"), range(0, $count - 1));
}

function equal(mixed $found, mixed $wanted): void
{
    if ($found !== $wanted) {
        $shown = array_map(fn($value) => substr(var_export($value, true), 0, 300), [$found, $wanted]);
        throw new Exception("$shown[0] is not $shown[1]");
    }
}

/** Asserts that a call ends with an error with this text. */
function refused(callable $call, string $text): void
{
    try {
        $call();
    } catch (Exception $error) {
        if (!str_contains($error->getMessage(), $text)) {
            throw new Exception("no $text", 0, $error);
        }
        return;
    }
    throw new Exception("no error");
}

/** Runs a call in another process, which ends with it. */
function meanwhile(callable $call): void
{
    if (pcntl_fork() === 0) {
        $call();
        // Without the destructors of the parent's connections.
        posix_kill(getmypid(), SIGKILL);
    }
}

/** Counts the checks that end without an exception. */
function run(string $name, array $checks): never
{
    $passed = $failed = 0;
    foreach ($checks as $check) {
        try {
            $check();
            $passed++;
        } catch (Throwable $error) {
            $failed++;
            echo "FAILED $name $check\n$error\n";
        }
    }
    echo "$name: $passed passed, $failed failed\n";
    exit(min($failed, 1));
}
