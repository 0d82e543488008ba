// StackExchange.Redis, multiplexed, RESP2: HOST PORT [PASSWORD]. Nothing is set up for slotmux.

using System;
using System.Collections.Generic;
using System.Linq;
using System.Text;
using System.Threading;
using System.Threading.Tasks;
using StackExchange.Redis;

static class StackExchangeChecks
{
    const int Patience = 20_000;
    const string Add = "return redis.call('incrby', KEYS[1], ARGV[1])";
    static readonly string Run = Guid.NewGuid().ToString("N").Substring(0, 8);
    static string host, password;
    static int port;

    static int Main(string[] arguments)
    {
        host = arguments[0];
        port = int.Parse(arguments[1]);
        password = arguments.Length > 2 ? arguments[2] : null;
        var checks = new Dictionary<string, Action>
        {
            ["defaults"] = Defaults, ["values"] = Values, ["many keys"] = ManyKeys, ["types"] = Types,
            ["pipelines"] = Pipelines, ["transactions"] = Transactions, ["batches"] = Batches, ["scripts"] = Scripts,
            ["publish and subscribe"] = Subscribe, ["scans"] = Scans, ["locks"] = Locks, ["errors"] = Errors,
            ["many threads"] = Threads, ["reconnect"] = Reconnect,
        };
        int failed = 0;
        foreach (var check in checks)
        {
            try
            {
                if (!Task.Run(check.Value).Wait(3 * Patience)) throw new Exception("it did not end");
            }
            catch (Exception error)
            {
                failed++;
                Console.WriteLine($"FAILED stack-exchange {check.Key}\n{error}");
            }
        }
        Console.WriteLine($"stack-exchange: {checks.Count - failed} passed, {failed} failed");
        Environment.Exit(failed == 0 ? 0 : 1);
        return 0;
    }

    static string Key(object end) => $"stack-exchange:{Run}:{end}";

    static ConfigurationOptions Options(string name)
    {
        var options = new ConfigurationOptions { Password = password, ClientName = name, SyncTimeout = Patience };
        options.EndPoints.Add(host, port);
        return options;
    }

    static ConnectionMultiplexer Connect(string name = "by-name") => ConnectionMultiplexer.Connect(Options(name));

    static void Equal<T>(T found, T wanted)
    {
        if (!EqualityComparer<T>.Default.Equals(found, wanted)) throw new Exception($"{found} is not {wanted}");
    }

    static void Same<T>(IEnumerable<T> found, IEnumerable<T> wanted)
    {
        if (!found.SequenceEqual(wanted)) throw new Exception($"{string.Join(",", found.Take(20))} is not {string.Join(",", wanted.Take(20))}");
    }

    static void Refused(Action call, string text)
    {
        try
        {
            call();
        }
        catch (Exception error)
        {
            if (!error.ToString().Contains(text)) throw new Exception("no " + text, error);
            return;
        }
        throw new Exception("no error");
    }

    static void Until(string what, Func<bool> condition)
    {
        if (!SpinWait.SpinUntil(condition, Patience)) throw new Exception(what + " did not come");
    }

    static void Defaults()
    {
        using (var connection = ConnectionMultiplexer.Connect($"{host}:{port},password={password}"))
        {
            var database = connection.GetDatabase();
            Equal(database.StringSet(Key("default"), "grün"), true);
            Equal<string>(database.StringGet(Key("default")), "grün");
            Equal(connection.IsConnected, true);
            Equal(connection.GetServer(host, port).ServerType, ServerType.Standalone);
        }
    }

    static void Values()
    {
        using (var connection = Connect())
        {
            var database = connection.GetDatabase();
            var bytes = Enumerable.Range(0, 256).Select(n => (byte)n).Concat(Encoding.ASCII.GetBytes("\r\n$3\r\n*1\r\n\0")).ToArray();
            foreach (var value in new[] { new byte[] { 1 }, new byte[0], bytes, new byte[1 << 20] })
            {
                Equal(database.StringSet(Key("k"), value, TimeSpan.FromSeconds(1000)), true);
                Same((byte[])database.StringGet(Key("k")), value);
            }
            Equal(database.StringGet(Key("missing")).IsNull, true);
            Equal(database.StringSet(Key("k"), "x", when: When.NotExists), false);
            Equal(database.KeyTimeToLive(Key("k")) > TimeSpan.FromSeconds(900), true);
        }
    }

    static void ManyKeys()
    {
        using (var connection = Connect())
        {
            var database = connection.GetDatabase();
            var names = Enumerable.Range(0, 300).Select(n => (RedisKey)Key("many:" + n)).ToArray();
            var pairs = names.Select((name, n) => new KeyValuePair<RedisKey, RedisValue>(name, n)).ToArray();
            Equal(database.StringSet(pairs), true);
            Same(database.StringGet(names).Select(value => (int)value), Enumerable.Range(0, 300));
            Equal(database.KeyDelete(names), 300L);
        }
    }

    static void Types()
    {
        using (var connection = Connect())
        {
            var database = connection.GetDatabase();
            database.HashSet(Key("h"), new[] { new HashEntry("a", 1), new HashEntry("b", "two") });
            Same(database.HashGetAll(Key("h")).Select(entry => (string)entry.Value).OrderBy(value => value), new[] { "1", "two" });
            Equal(database.SortedSetAdd(Key("z"), "a", 1.5), true);
            Equal(database.SortedSetScore(Key("z"), "a"), (double?)1.5);
            Equal(database.SetAdd(Key("s"), "a"), true);
            Same(database.SetMembers(Key("s")).Select(value => (string)value), new[] { "a" });
            Equal(database.ListRightPush(Key("l"), new RedisValue[] { 0, 1, 2, 3 }), 4L);
            Same(database.ListRange(Key("l"), 1, 2).Select(value => (int)value), new[] { 1, 2 });
            Equal(database.KeyType(Key("h")), RedisType.Hash);
        }
    }

    /// All on one connection: a reply that reached another request would show.
    static void Pipelines()
    {
        using (var connection = Connect())
        {
            var database = connection.GetDatabase();
            var counts = Enumerable.Range(0, 5000).Select(n => database.StringIncrementAsync(Key("p:" + n), n)).ToArray();
            Same(counts.Select(count => count.Result), Enumerable.Range(0, 5000).Select(n => (long)n));
            database.StringSet(Key("forgotten"), "v", flags: CommandFlags.FireAndForget);
            Until("a value", () => database.StringGet(Key("forgotten")) == "v");
        }
    }

    static void Batches()
    {
        using (var connection = Connect())
        {
            var batch = connection.GetDatabase().CreateBatch();
            var counts = Enumerable.Range(0, 200).Select(n => batch.StringIncrementAsync(Key("b:" + n), n)).ToArray();
            batch.Execute();
            Same(counts.Select(count => count.Result), Enumerable.Range(0, 200).Select(n => (long)n));
        }
    }

    /// Its conditions are WATCH and a question before MULTI.
    static void Transactions()
    {
        using (var connection = Connect())
        {
            var database = connection.GetDatabase();
            foreach (var holds in new[] { true, false })
            {
                var transaction = database.CreateTransaction();
                transaction.AddCondition(Condition.KeyNotExists(Key("{t}a")));
                var first = transaction.StringIncrementAsync(Key("{t}a"));
                var second = transaction.StringIncrementAsync(Key("{t}b"), 5);
                Equal(transaction.Execute(), holds);
                if (holds) Same(new[] { first.Result, second.Result }, new[] { 1L, 5L });
            }
        }
    }

    static void Scripts()
    {
        using (var connection = Connect())
        {
            var database = connection.GetDatabase();
            for (int n = 0; n < 21; n++)
            {
                var found = database.ScriptEvaluate(Add + " -- " + Key("s"), new RedisKey[] { Key("s:" + n) }, new RedisValue[] { n });
                Equal((int)found, n);
            }
            var prepared = LuaScript.Prepare("return redis.call('incrby', @key, @by)").Load(connection.GetServer(host, port));
            Equal((int)prepared.Evaluate(database, new { key = (RedisKey)Key("prepared"), by = 7 }), 7);
        }
    }

    static void Subscribe()
    {
        using (var connection = Connect())
        {
            var subscriber = connection.GetSubscriber();
            var received = new System.Collections.Concurrent.ConcurrentQueue<string>();
            subscriber.Subscribe(Key("channel"), (channel, message) => received.Enqueue(message));
            subscriber.Subscribe(new RedisChannel(Key("chan*"), RedisChannel.PatternMode.Pattern), (channel, message) => received.Enqueue("by pattern " + message));
            for (int n = 0; n < 50; n++) Equal(subscriber.Publish(Key("channel"), n), 2L);
            Until("100 messages", () => received.Count == 100);
            Equal(received.Distinct().Count(), 100);
            subscriber.UnsubscribeAll();
        }
    }

    static void Scans()
    {
        using (var connection = Connect())
        {
            var database = connection.GetDatabase();
            var names = Enumerable.Range(0, 300).Select(n => Key("scan:" + n)).OrderBy(name => name).ToArray();
            foreach (var name in names) database.StringSet(name, 1);
            var found = connection.GetServer(host, port).Keys(pattern: Key("scan:*"), pageSize: 50);
            Same(found.Select(name => (string)name).Distinct().OrderBy(name => name), names);
        }
    }

    static void Locks()
    {
        using (var connection = Connect())
        {
            var database = connection.GetDatabase();
            Equal(database.LockTake(Key("lock"), "me", TimeSpan.FromSeconds(60)), true);
            Equal(database.LockTake(Key("lock"), "other", TimeSpan.FromSeconds(60)), false);
            Equal(database.LockRelease(Key("lock"), "other"), false);
            Equal(database.LockExtend(Key("lock"), "me", TimeSpan.FromSeconds(60)), true);
            Equal(database.LockRelease(Key("lock"), "me"), true);
        }
    }

    static void Errors()
    {
        using (var connection = Connect())
        {
            var database = connection.GetDatabase();
            database.StringSet(Key("text"), "text");
            Refused(() => database.ListLeftPush(Key("text"), "x"), "WRONGTYPE");
            Refused(() => database.StringIncrement(Key("text")), "value is not an integer or out of range");
            Equal<string>(database.StringGet(Key("text")), "text");
        }
    }

    static void Threads()
    {
        using (var connection = Connect())
        {
            var database = connection.GetDatabase();
            var workers = Enumerable.Range(0, 20).Select(worker => Task.Run(() =>
            {
                for (int n = 0; n < 50; n++)
                {
                    database.StringSet(Key($"t:{worker}:{n}"), n);
                    Equal((int)database.StringGet(Key($"t:{worker}:{n}")), n);
                    database.StringIncrement(Key("t:sum"));
                }
            })).ToArray();
            Task.WaitAll(workers);
            Equal((int)database.StringGet(Key("t:sum")), 1000);
        }
    }

    /// Both of its connections, the one for subscriptions included.
    static void Reconnect()
    {
        var admin = Options("other");
        admin.AllowAdmin = true;
        using (var victim = Connect(Key("victim").Replace(':', '-')))
        using (var other = ConnectionMultiplexer.Connect(admin))
        {
            var received = 0;
            victim.GetSubscriber().Subscribe(Key("again"), (channel, message) => Interlocked.Increment(ref received));
            var server = other.GetServer(host, port);
            var killed = server.ClientList().Where(client => client.Name == victim.ClientName).ToArray();
            Equal(killed.Length, 2);
            foreach (var client in killed) server.ClientKill(client.Address);
            Until("a reply", () =>
            {
                try
                {
                    return victim.GetDatabase().StringSet(Key("again"), 1);
                }
                catch (RedisException)
                {
                    return false;
                }
            });
            Until("a message", () =>
            {
                other.GetSubscriber().Publish(Key("again"), "m");
                return received > 0;
            });
        }
    }
}
