<?php
// Predis, which has RESP2 only: HOST PORT [PASSWORD]. Nothing is set up for slotmux.

require __DIR__ . "/checks.php";
require "Predis/autoload.php";

use Predis\Client;

function client(array $more = [], array $options = []): Client
{
    return new Client($more + ["host" => HOST, "port" => PORT, "password" => PASSWORD, "read_write_timeout" => PATIENCE], $options);
}

function handshake(): void
{
    $client = client(["database" => 0]);
    equal((string) $client->ping(), "PONG");
    equal($client->echo("hello"), "hello");
    equal((string) $client->client("setname", "by-name"), "OK");
    equal($client->client("getname"), "by-name");
    equal(isset($client->info("server")["Server"]["redis_version"]), true);
    if (PASSWORD !== null) {
        refused(fn() => client(["password" => null])->get("k"), "NOAUTH");
        refused(fn() => client(["password" => "certainly wrong"])->ping(), "WRONGPASS");
    }
}

function values(): void
{
    $client = client();
    foreach ([key_of("k"), key_of(EVERY_BYTE)] as $name) {
        foreach (["v", "", EVERY_BYTE, BIG] as $value) {
            equal((string) $client->set($name, $value, "EX", 1000), "OK");
            equal($client->get($name), $value);
        }
    }
    equal($client->get(key_of("missing")), null);
    equal($client->set(key_of("k"), "x", "NX"), null);
    equal($client->ttl(key_of("missing")), -2);
}

function many_keys(): void
{
    $client = client();
    $names = many("many", 300);
    equal((string) $client->mset(array_combine($names, array_keys($names))), "OK");
    equal($client->mget([...$names, key_of("missing")]), [...array_map("strval", array_keys($names)), null]);
    equal($client->del(array_slice($names, 0, 200)), 200);
    // With the prefix of its own that Predis puts before every key.
    $prefixed = client([], ["prefix" => key_of("prefix:")]);
    equal((string) $prefixed->mset(["a" => 1, "b" => 2]), "OK");
    equal($client->mget(key_of("prefix:a"), key_of("prefix:b")), ["1", "2"]);
}

function types(): void
{
    $client = client();
    equal((string) $client->hmset(key_of("h"), ["a" => 1, "b" => "two"]), "OK");
    equal($client->hgetall(key_of("h")), ["a" => "1", "b" => "two"]);
    equal($client->zadd(key_of("z"), ["a" => 1, "b" => 2.5]), 2);
    equal($client->zrange(key_of("z"), 0, -1, "WITHSCORES"), ["a" => "1", "b" => "2.5"]);
    equal($client->sadd(key_of("s"), ["a"]), 1);
    equal($client->smembers(key_of("s")), ["a"]);
    equal($client->rpush(key_of("l"), ["0", "1", "2", "3"]), 4);
    equal($client->lrange(key_of("l"), 1, 2), ["1", "2"]);
    equal($client->executeRaw(["XADD", key_of("x"), "5-1", "f", "v"]), "5-1");
    equal((string) $client->type(key_of("h")), "hash");
}

function pipelines(): void
{
    $client = client();
    $wanted = [];
    $replies = $client->pipeline(function ($pipeline) use (&$wanted) {
        foreach (many("p", 2000) as $n => $name) {
            $pipeline->incrby($name, $n);
            $wanted[] = $n;
        }
    });
    equal($replies, $wanted);
    equal($client->pipeline(["fire-and-forget" => true])->set(key_of("forgotten"), 1)->execute(), []);
    $atomic = $client->pipeline(["atomic" => true])->incr(key_of("{t}a"))->incrby(key_of("{t}b"), 5)->execute();
    equal($atomic, [1, 5]);
}

function transactions(): void
{
    $client = client();
    $wanted = [];
    $replies = $client->transaction(function ($transaction) use (&$wanted) {
        for ($n = 0; $n < 100; $n++) {
            $transaction->incr(key_of("{t}:" . $n % 10));
            $wanted[] = intdiv($n, 10) + 1;
        }
    });
    equal($replies, $wanted);
}

function watch(): void
{
    [$client, $other] = [client(), client()];
    // It watches, sees a conflict, and tries again.
    $tries = 0;
    $options = ["watch" => key_of("watched"), "cas" => true, "retry" => 3];
    $replies = $client->transaction($options, function ($transaction) use ($other, &$tries) {
        $value = (int) $transaction->get(key_of("watched"));
        if ($tries++ === 0) {
            $other->set(key_of("watched"), 10);
        }
        $transaction->multi();
        $transaction->set(key_of("watched"), $value + 1);
    });
    equal([$tries, (string) $replies[0]], [2, "OK"]);
    equal($client->get(key_of("watched")), "11");
}

function scripts(): void
{
    $client = client();
    equal($client->eval(ADD, 1, key_of("sum"), 5), 5);
    refused(fn() => $client->evalsha(str_repeat("0", 40), 1, key_of("sum"), 5), "NOSCRIPT");
    $digest = $client->script("load", ADD . " -- " . key_of("script"));
    equal($client->script("exists", $digest), [1]);
    foreach (many("s", 21) as $n => $name) {
        equal($client->evalsha($digest, 1, $name, $n), $n);
    }
}

function subscriptions(): void
{
    meanwhile(function () {
        $publisher = client();
        while ($publisher->publish(key_of("channel"), "first") < 2) {
            usleep(1000);
        }
        for ($n = 0; $n < 50; $n++) {
            $publisher->publish(key_of("channel"), (string) $n);
        }
    });
    $received = ["message" => [], "pmessage" => []];
    foreach (client()->pubSubLoop(["subscribe" => [key_of("channel")], "psubscribe" => [key_of("chan*")]]) as $message) {
        if (isset($received[$message->kind]) && $message->payload !== "first") {
            $received[$message->kind][] = $message->payload;
            if (end($received["message"]) === "49" && end($received["pmessage"]) === "49") {
                break;
            }
        }
    }
    $wanted = array_map("strval", range(0, 49));
    equal($received, ["message" => $wanted, "pmessage" => $wanted]);
}

function blocking(): void
{
    $client = client();
    meanwhile(fn() => client()->rpush(key_of("list"), ["x"]));
    equal($client->blpop([key_of("list")], PATIENCE), [key_of("list"), "x"]);
    equal($client->blpop([key_of("list")], 1), null);
}

function scans(): void
{
    $client = client();
    $names = many("scan", 300);
    foreach ($names as $name) {
        $client->set($name, "1");
    }
    $found = iterator_to_array(new Predis\Collection\Iterator\Keyspace($client, key_of("scan:*"), 50), false);
    $found = array_values(array_unique($found));
    sort($found);
    sort($names);
    equal($found, $names);
}

function errors(): void
{
    $client = client();
    $client->set(key_of("text"), "text");
    refused(fn() => $client->lpush(key_of("text"), ["x"]), "WRONGTYPE");
    refused(fn() => $client->incr(key_of("text")), "value is not an integer or out of range");
    equal($client->get(key_of("text")), "text");
}

/** A killed connection fails once and connects again, as with one Redis. */
function reconnect(): void
{
    [$client, $other] = [client(), client()];
    $victim = $client->executeRaw(["CLIENT", "ID"]);
    equal($other->executeRaw(["CLIENT", "KILL", "ID", $victim]), 1);
    refused(fn() => $client->ping(), "");
    equal((string) $client->set(key_of("again"), "1"), "OK");
    equal($client->executeRaw(["CLIENT", "ID"]) !== $victim, true);
}

run("predis", ["handshake", "values", "many_keys", "types", "pipelines", "transactions", "watch", "scripts",
    "subscriptions", "blocking", "scans", "errors", "reconnect"]);
