<?php
// phpredis, which has RESP2 only: HOST PORT [PASSWORD]. Nothing is set up for slotmux.

require __DIR__ . "/checks.php";

function client(): Redis
{
    $client = new Redis();
    $client->connect(HOST, PORT, PATIENCE, null, 0, PATIENCE);
    if (PASSWORD !== null) {
        equal($client->auth(PASSWORD), true);
    }
    return $client;
}

function handshake(): void
{
    $client = client();
    equal($client->ping(), true);
    equal($client->ping("hello"), "hello");
    equal($client->select(0), true);
    equal($client->client("setname", "by-name"), true);
    equal($client->client("getname"), "by-name");
    equal(isset($client->info("server")["redis_version"]), true);
    if (PASSWORD !== null) {
        $wrong = new Redis();
        $wrong->connect(HOST, PORT);
        refused(fn() => $wrong->get("k"), "NOAUTH");
        refused(fn() => $wrong->auth("certainly wrong"), "WRONGPASS");
    }
}

function values(): void
{
    $client = client();
    foreach ([key_of("k"), key_of(EVERY_BYTE)] as $name) {
        foreach (["v", "", EVERY_BYTE, BIG] as $value) {
            equal($client->set($name, $value, ["ex" => 1000]), true);
            equal($client->get($name), $value);
        }
    }
    equal($client->get(key_of("missing")), false);
    equal($client->set(key_of("k"), "x", ["nx"]), false);
    equal($client->ttl(key_of("missing")), -2);
}

function many_keys(): void
{
    $client = client();
    $names = many("many", 300);
    equal($client->mset(array_combine($names, array_map("strval", array_keys($names)))), true);
    equal($client->mget([...$names, key_of("missing")]), [...array_map("strval", array_keys($names)), false]);
    equal($client->exists(...$names), 300);
    equal($client->del(array_slice($names, 0, 200)), 200);
    equal($client->unlink($names), 100);
}

function types(): void
{
    $client = client();
    equal($client->hMSet(key_of("h"), ["a" => 1, "b" => "two"]), true);
    equal($client->hGetAll(key_of("h")), ["a" => "1", "b" => "two"]);
    equal($client->zAdd(key_of("z"), 1, "a", 2.5, "b"), 2);
    equal($client->zRange(key_of("z"), 0, -1, true), ["a" => 1.0, "b" => 2.5]);
    equal($client->sAdd(key_of("s"), "a"), 1);
    equal($client->sMembers(key_of("s")), ["a"]);
    equal($client->rPush(key_of("l"), "0", "1", "2", "3"), 4);
    equal($client->lRange(key_of("l"), 1, 2), ["1", "2"]);
    equal($client->xAdd(key_of("x"), "5-1", ["f" => "v"]), "5-1");
    equal($client->xRange(key_of("x"), "-", "+"), ["5-1" => ["f" => "v"]]);
    equal($client->type(key_of("h")), Redis::REDIS_HASH);
}

function pipelines(): void
{
    $client = client();
    $pipeline = $client->multi(Redis::PIPELINE);
    $wanted = [];
    foreach (many("p", 2000) as $n => $name) {
        $pipeline->set($name, $n)->incr($name);
        array_push($wanted, true, $n + 1);
    }
    equal($pipeline->exec(), $wanted);
}

function transactions(): void
{
    $client = client();
    $transaction = $client->multi();
    $wanted = [];
    for ($n = 0; $n < 100; $n++) {
        $transaction->incr(key_of("{t}:" . $n % 10));
        $wanted[] = intdiv($n, 10) + 1;
    }
    equal($transaction->exec(), $wanted);
    $client->multi()->incr(key_of("{t}:0"));
    equal($client->discard(), true);
    equal($client->get(key_of("{t}:0")), "10");
}

function watch(): void
{
    [$client, $other] = [client(), client()];
    foreach ([false, true] as $disturbed) {
        equal($client->watch(key_of("watched")), true);
        if ($disturbed) {
            $other->set(key_of("watched"), "other");
        }
        equal($client->multi()->set(key_of("watched"), "mine")->exec(), $disturbed ? false : [true]);
        equal($client->get(key_of("watched")), $disturbed ? "other" : "mine");
    }
}

function scripts(): void
{
    $client = client();
    equal($client->eval(ADD, [key_of("sum"), 5], 1), 5);
    equal($client->evalSha(str_repeat("0", 40), [key_of("sum"), 5], 1), false);
    equal(str_contains($client->getLastError(), "NOSCRIPT"), true);
    $digest = $client->script("load", ADD . " -- " . key_of("script"));
    equal($client->script("exists", $digest), [1]);
    foreach (many("s", 21) as $n => $name) {
        equal($client->evalSha($digest, [$name, $n], 1), $n);
    }
}

function subscriptions(): void
{
    $listener = client();
    $listener->setOption(Redis::OPT_READ_TIMEOUT, PATIENCE);
    meanwhile(function () {
        $publisher = client();
        while ($publisher->publish(key_of("channel"), "first") < 1) {
            usleep(1000);
        }
        for ($n = 0; $n < 50; $n++) {
            $publisher->publish(key_of("channel"), (string) $n);
        }
    });
    $received = [];
    try {
        $listener->subscribe([key_of("channel")], function ($redis, $channel, $message) use (&$received) {
            $received[] = $message;
            if ($message === "49") {
                $redis->close();
            }
        });
    } catch (RedisException) {
        // The only way out of the loop is to close the connection.
    }
    equal($received, ["first", ...array_map("strval", range(0, 49))]);
}

function blocking(): void
{
    $client = client();
    meanwhile(fn() => client()->rPush(key_of("list"), "x"));
    equal($client->blPop([key_of("list")], PATIENCE), [key_of("list"), "x"]);
    equal($client->blPop([key_of("list")], 1), []);
    meanwhile(fn() => client()->xAdd(key_of("stream"), "1-1", ["a" => "b"]));
    equal($client->xRead([key_of("stream") => "0"], 1, PATIENCE * 1000), [key_of("stream") => ["1-1" => ["a" => "b"]]]);
}

function scans(): void
{
    $client = client();
    $client->setOption(Redis::OPT_SCAN, Redis::SCAN_RETRY);
    $names = many("scan", 300);
    foreach ($names as $name) {
        $client->set($name, "1");
    }
    [$found, $cursor] = [[], null];
    while (($page = $client->scan($cursor, key_of("scan:*"), 50)) !== false) {
        array_push($found, ...$page);
    }
    $found = array_unique($found);
    sort($found);
    sort($names);
    equal($found, $names);
}

function errors(): void
{
    $client = client();
    $client->set(key_of("text"), "text");
    equal($client->lPush(key_of("text"), "x"), false);
    equal(str_starts_with($client->getLastError(), "WRONGTYPE"), true);
    $client->clearLastError();
    equal($client->rawCommand("NO-SUCH", "a"), false);
    equal(str_contains($client->getLastError(), "unknown command 'NO-SUCH'"), true);
    equal($client->get(key_of("text")), "text");
}

/** phpredis logs in again by itself. */
function reconnect(): void
{
    [$client, $other] = [client(), client()];
    $victim = $client->client("id") ?: $client->rawCommand("CLIENT", "ID");
    equal($other->rawCommand("CLIENT", "KILL", "ID", (string) $victim), 1);
    equal($client->set(key_of("again"), "1"), true);
    equal($client->rawCommand("CLIENT", "ID") !== $victim, true);
    $kept = new Redis();
    $kept->pconnect(HOST, PORT);
    if (PASSWORD !== null) {
        $kept->auth(PASSWORD);
    }
    equal($kept->get(key_of("again")), "1");
}

run("phpredis", ["handshake", "values", "many_keys", "types", "pipelines", "transactions", "watch", "scripts",
    "subscriptions", "blocking", "scans", "errors", "reconnect"]);
