# redis-rb, which has RESP2 only: HOST PORT [PASSWORD]. Nothing is set up for slotmux.

require "redis"
require_relative "checks"

class Checks
  def client(**more)
    Redis.new(host: HOST, port: PORT, password: PASSWORD, timeout: PATIENCE, **more)
  end

  def check_handshake
    client = client(id: "by-name", db: 0)
    equal(client.ping, "PONG")
    equal(client.echo("hello"), "hello")
    equal(client.call(:client, :getname), "by-name")
    equal(client.info("server").key?("redis_version"), true)
    equal(Redis.new(url: URL).ping, "PONG")
    return unless PASSWORD

    refused(Redis::BaseError, "NOAUTH") { client(password: nil).get("k") }
    refused(Redis::BaseError, "WRONGPASS") { client(password: "certainly wrong").ping }
  end

  def check_values
    client = client()
    [key("k"), key(EVERY_BYTE)].each do |name|
      ["v", "", EVERY_BYTE, BIG].each do |value|
        equal(client.set(name, value, ex: 1000), "OK")
        equal(client.get(name).b, value.b)
      end
    end
    equal(client.get(key("missing")), nil)
    equal(client.set(key("k"), "x", nx: true), false)
    equal(client.ttl(key("missing")), -2)
  end

  def check_many_keys
    client = client()
    names = many("many", 300)
    equal(client.mapped_mset(names.each_with_index.to_h), "OK")
    equal(client.mget(*names), (0...300).map(&:to_s))
    equal(client.mapped_mget(*names)[names[7]], "7")
    equal(client.exists(*names), 300)
    equal(client.del(*names.take(200)), 200)
    equal(client.unlink(*names), 100)
  end

  def check_types
    client = client()
    equal(client.hset(key("h"), "a" => 1, "b" => "two"), 2)
    equal(client.hgetall(key("h")), { "a" => "1", "b" => "two" })
    equal(client.zadd(key("z"), [[1, "a"], [2.5, "b"]]), 2)
    equal(client.zrange(key("z"), 0, -1, with_scores: true), [["a", 1.0], ["b", 2.5]])
    equal(client.sadd(key("s"), %w[a b]), 2)
    equal(client.smembers(key("s")).sort, %w[a b])
    equal(client.rpush(key("l"), %w[0 1 2 3]), 4)
    equal(client.lrange(key("l"), 1, 2), %w[1 2])
    equal(client.xadd(key("x"), { "f" => "v" }, id: "5-1"), "5-1")
    equal(client.xrange(key("x")), [["5-1", { "f" => "v" }]])
    equal(client.type(key("h")), "hash")
  end

  def check_pipelines
    client = client()
    names = many("p", 2000)
    replies = client.pipelined { |pipeline| names.each_with_index { |name, n| pipeline.incrby(name, n) } }
    equal(replies, (0...2000).to_a)
    refused(Redis::CommandError, "WRONGTYPE") do
      client.pipelined do |pipeline|
        pipeline.lpush(names[0], "x")
        pipeline.set(key("p"), "set")
      end
    end
    equal(client.get(key("p")), "set")
  end

  def check_transactions
    client = client()
    replies = client.multi { |transaction| 100.times { |n| transaction.incr(key("{t}:#{n % 10}")) } }
    equal(replies, Array.new(100) { |n| n / 10 + 1 })
    # An error of the program discards the transaction.
    refused(RuntimeError, "mine") { client.multi { |transaction| transaction.incr(key("{t}:0")) && raise("mine") } }
    equal(client.get(key("{t}:0")), "10")
  end

  def check_watch
    client = client()
    other = client()
    [false, true].each do |disturbed|
      replies = client.watch(key("watched")) do
        other.set(key("watched"), "other") if disturbed
        client.multi { |transaction| transaction.set(key("watched"), "mine") }
      end
      equal(replies, disturbed ? nil : ["OK"])
      equal(client.get(key("watched")), disturbed ? "other" : "mine")
    end
  end

  def check_scripts
    client = client()
    equal(client.eval(ADD, keys: [key("sum")], argv: [5]), 5)
    refused(Redis::CommandError, "NOSCRIPT") { client.evalsha("0" * 40, keys: [key("sum")], argv: [5]) }
    digest = client.script(:load, "#{ADD} -- #{key("script")}")
    equal(client.script(:exists, digest), true)
    many("s", 21).each_with_index { |name, n| equal(client.evalsha(digest, keys: [name], argv: [n]), n) }
  end

  def check_subscriptions
    ready = Queue.new
    received = { message: [], pmessage: [] }
    listener = client()
    thread = Thread.new do
      listener.subscribe(key("channel")) do |on|
        on.subscribe { ready << true }
        on.message do |_, message|
          received[:message] << message
          listener.unsubscribe if message == "49"
        end
      end
      listener.psubscribe(key("another*")) do |on|
        on.psubscribe { ready << true }
        on.pmessage do |_, _, message|
          received[:pmessage] << message
          listener.punsubscribe if message == "49"
        end
      end
    end
    publisher = client()
    %w[channel another].each do |channel|
      ready.pop
      50.times { |n| equal(publisher.publish(key(channel), n), 1) }
    end
    thread.join(PATIENCE)
    wanted = (0...50).map(&:to_s)
    equal(received, { message: wanted, pmessage: wanted })
    equal(listener.ping, "PONG")
  end

  def check_blocking
    client = client()
    pusher = Thread.new { client().rpush(key("list"), "x") }
    equal(client.blpop(key("list"), timeout: PATIENCE), [key("list"), "x"])
    pusher.join
    equal(client.blpop(key("list"), timeout: 1), nil)
    adder = Thread.new { client().xadd(key("stream"), { "a" => "b" }, id: "1-1") }
    equal(client.xread(key("stream"), "0", block: PATIENCE * 1000), { key("stream") => [["1-1", { "a" => "b" }]] })
    adder.join
  end

  def check_scans
    client = client()
    names = many("scan", 300).each { |name| client.set(name, 1) }
    equal(client.scan_each(match: key("scan:*"), count: 50).to_a.uniq.sort, names.sort)
  end

  def check_errors
    client = client()
    client.set(key("text"), "text")
    refused(Redis::CommandError, "WRONGTYPE") { client.lpush(key("text"), "x") }
    refused(Redis::CommandError, "value is not an integer or out of range") { client.incr(key("text")) }
    refused(Redis::CommandError, "unknown command 'NO-SUCH'") { client.call("NO-SUCH", "a") }
    equal(client.get(key("text")), "text")
  end

  def check_threads
    workers = Array.new(20) do |worker|
      Thread.new do
        own = client()
        50.times do |n|
          own.set(key("t:#{worker}:#{n}"), n)
          equal(own.get(key("t:#{worker}:#{n}")), n.to_s)
          own.incr(key("t:sum"))
        end
      end
    end
    workers.each(&:join)
    equal(client.getdel(key("t:sum")), "1000")
  end

  def check_reconnect
    client = client()
    victim = client.call(:client, :id)
    equal(client().call(:client, :kill, :id, victim), 1)
    equal(client.set(key("again"), 1), "OK")
    equal(client.call(:client, :id) == victim, false)
  end
end

run("redis-rb", { "RESP2" => Checks.new })
