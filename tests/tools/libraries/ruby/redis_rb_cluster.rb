# redis-rb's cluster client: HOST PORT [PASSWORD]. Nothing is set up for slotmux.

require "redis"
require_relative "checks"

class Checks
  def client
    Redis.new(cluster: [{ host: HOST, port: PORT, password: PASSWORD }.compact], password: PASSWORD, timeout: PATIENCE)
  end

  def check_discovery
    equal(client.cluster(:info)["cluster_state"], "ok")
    equal(client.cluster(:keyslot, "a{b}"), 3300)
    equal(client.dbsize >= 0, true)
  end

  def check_values
    client = client()
    many("value", 30).each do |name|
      ["v", "", EVERY_BYTE, BIG].each do |value|
        equal(client.set(name, value, ex: 1000), "OK")
        equal(client.get(name).b, value.b)
      end
    end
  end

  def check_pipelines_and_transactions
    client = client()
    names = Array.new(100) { |n| key("{t}:#{n}") }
    equal(client.pipelined { |pipeline| names.each_with_index { |name, n| pipeline.incrby(name, n) } }, (0...100).to_a)
    equal(client.multi { |transaction| names.take(2).each { |name| transaction.incr(name) } }, [1, 2])
  end

  def check_scripts
    client = client()
    many("s", 21).each_with_index { |name, n| equal(client.eval(ADD, keys: [name], argv: [n]), n) }
  end

  def check_blocking
    client = client()
    pusher = Thread.new { client().rpush(key("list"), "x") }
    equal(client.blpop(key("list"), timeout: PATIENCE), [key("list"), "x"])
    pusher.join
  end

  def check_scans
    client = client()
    names = many("scan", 200).each { |name| client.set(name, 1) }
    equal(client.scan_each(match: key("scan:*"), count: 50).to_a.uniq.sort, names.sort)
  end

  def check_errors
    client = client()
    client.set(key("text"), "text")
    refused(Redis::CommandError, "WRONGTYPE") { client.lpush(key("text"), "x") }
  end
end

run("redis-rb-cluster", { "RESP2" => Checks.new })
