<?php
// Predis' cluster client: HOST PORT [PASSWORD]. Nothing is set up for slotmux.

require __DIR__ . "/checks.php";
require "Predis/autoload.php";

use Predis\Client;

function client(): Client
{
    $seed = ["host" => HOST, "port" => PORT, "read_write_timeout" => PATIENCE];
    return new Client([$seed + ["password" => PASSWORD]], ["cluster" => "redis", "parameters" => ["password" => PASSWORD]]);
}

function values(): void
{
    $client = client();
    foreach (many("value", 30) as $name) {
        foreach (["v", "", EVERY_BYTE, BIG] as $value) {
            equal((string) $client->set($name, $value, "EX", 1000), "OK");
            equal($client->get($name), $value);
        }
    }
}

function discovery(): void
{
    $client = client();
    $client->get("k");
    $client->getConnection()->askSlotsMap();
    $map = $client->getConnection()->getSlotsMap();
    equal(count($map), 16384);
}

function numbers(): void
{
    $client = client();
    foreach (many("p", 200) as $n => $name) {
        equal($client->incrby($name, $n), $n);
    }
}

function scripts(): void
{
    $client = client();
    foreach (many("s", 21) as $n => $name) {
        equal($client->eval(ADD, 1, $name, $n), $n);
    }
}

function blocking(): void
{
    meanwhile(fn() => client()->rpush(key_of("list"), ["x"]));
    equal(client()->blpop([key_of("list")], PATIENCE), [key_of("list"), "x"]);
}

function errors(): void
{
    $client = client();
    $client->set(key_of("text"), "text");
    refused(fn() => $client->lpush(key_of("text"), ["x"]), "WRONGTYPE");
}

run("predis-cluster", ["values", "discovery", "numbers", "scripts", "blocking", "errors"]);
