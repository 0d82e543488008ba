<?php
// phpredis' cluster client: HOST PORT [PASSWORD]. Nothing is set up for slotmux.

require __DIR__ . "/checks.php";

function client(): RedisCluster
{
    return new RedisCluster(null, [HOST . ":" . PORT], PATIENCE, PATIENCE, false, PASSWORD);
}

function discovery(): void
{
    $client = client();
    equal(count($client->_masters()) >= 1, true);
    equal($client->ping(key_of("k")), true);
    equal(str_contains($client->rawCommand([HOST, PORT], "CLUSTER", "INFO"), "cluster_state:ok"), true);
}

function values(): void
{
    $client = client();
    foreach (many("value", 30) as $name) {
        foreach (["v", "", EVERY_BYTE, BIG] as $value) {
            equal($client->set($name, $value, ["ex" => 1000]), true);
            equal($client->get($name), $value);
        }
    }
}

function many_keys(): void
{
    $client = client();
    $names = many("many", 200);
    equal($client->mset(array_combine($names, array_keys($names))), true);
    equal($client->mget($names), array_map("strval", array_keys($names)));
    equal($client->del($names), 200);
}

function transactions(): void
{
    $client = client();
    equal($client->multi()->incr(key_of("{t}a"))->incrby(key_of("{t}b"), 5)->exec(), [1, 5]);
    $client->watch(key_of("{t}a"));
    client()->incr(key_of("{t}a"));
    equal($client->multi()->set(key_of("{t}a"), "lost")->exec(), [false]);
    equal($client->get(key_of("{t}a")), "2");
}

function scripts(): void
{
    $client = client();
    foreach (many("s", 21) as $n => $name) {
        equal($client->eval(ADD, [$name, $n], 1), $n);
    }
}

function blocking(): void
{
    meanwhile(fn() => client()->rPush(key_of("list"), "x"));
    equal(client()->blPop([key_of("list")], PATIENCE), [key_of("list"), "x"]);
}

function scans(): void
{
    $client = client();
    $client->setOption(RedisCluster::OPT_SCAN, RedisCluster::SCAN_RETRY);
    $names = many("scan", 200);
    foreach ($names as $name) {
        $client->set($name, "1");
    }
    $found = [];
    foreach ($client->_masters() as $master) {
        $cursor = null;
        while (($page = $client->scan($cursor, $master, key_of("scan:*"), 50)) !== false) {
            array_push($found, ...$page);
        }
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
}

run("phpredis-cluster", ["discovery", "values", "many_keys", "transactions", "scripts", "blocking", "scans", "errors"]);
