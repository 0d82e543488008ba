# Sidekiq with a worker process and jobs of two queues: HOST PORT [PASSWORD].
#
# The names of the queues have a hash tag, because the worker waits for both of them in one BRPOP; its transactions have keys
# of several slots, and need `multi = "split"`.

require "sidekiq"
require "sidekiq/api"

# This version of Sidekiq calls this version of redis-rb in ways that it warns of.
Redis.silence_deprecations = true
Redis.sadd_returns_boolean = false

if ENV["JOBS_URL"]
  # The worker process, which loads this file.
  JOBS = ENV["JOBS"]
  url = ENV["JOBS_URL"]
  Sidekiq.options[:poll_interval_average] = 0.2
else
  require_relative "checks"
  JOBS = key("jobs")
  url = URL
end
Sidekiq.configure_server { |config| config.redis = { url: url } }
Sidekiq.configure_client { |config| config.redis = { url: url } }
URGENT = "{#{JOBS}}urgent"
LATER = "{#{JOBS}}later"

# Records its argument.
class Record
  include Sidekiq::Worker
  sidekiq_options queue: LATER

  def perform(value)
    Sidekiq.redis { |redis| redis.rpush("#{JOBS}:records", value) }
  end
end

# Fails at first.
class Flaky
  include Sidekiq::Worker
  sidekiq_options queue: LATER, retry: 3
  sidekiq_retry_in { 1 }

  def perform(name)
    tries = Sidekiq.redis { |redis| redis.incr("#{JOBS}:tries:#{name}") }
    raise "not yet" if tries < 2
    Record.new.perform("#{name} after #{tries}")
  end
end

# Always fails.
class Hopeless
  include Sidekiq::Worker
  sidekiq_options queue: LATER, retry: 0

  def perform(name)
    raise "hopeless #{name}"
  end
end

class Checks
  def recorded(wanted)
    until_true(wanted) { Sidekiq.redis { |redis| redis.lrange("#{JOBS}:records", 0, -1) }.include?(wanted) }
  end

  def check_jobs_of_both_queues
    equal(Record.perform_async("plain").size, 24)
    Record.set(queue: URGENT).perform_async("urgent")
    recorded("plain")
    recorded("urgent")
  end

  def check_many_at_once
    Record.perform_bulk(Array.new(200) { |n| ["bulk #{n}"] })
    200.times { |n| recorded("bulk #{n}") }
  end

  def check_delay
    Record.perform_in(1, "delayed")
    equal(Sidekiq::ScheduledSet.new.map { |job| job.args }.include?(["delayed"]), true)
    recorded("delayed")
  end

  def check_retry
    Flaky.perform_async("flaky")
    recorded("flaky after 2")
  end

  def check_dead_jobs
    Hopeless.perform_async(JOBS)
    dead = until_true("a dead job") { Sidekiq::DeadSet.new.find { |job| job.args == [JOBS] } }
    equal(dead.item["error_message"], "hopeless #{JOBS}")
    dead.delete
    equal(Sidekiq::DeadSet.new.any? { |job| job.args == [JOBS] }, false)
  end

  def check_queues_are_inspected
    unread = "#{LATER}-unread"
    5.times { |n| Record.set(queue: unread).perform_async(n) }
    queue = Sidekiq::Queue.new(unread)
    equal(queue.size, 5)
    equal(queue.map { |job| job.args[0] }, [4, 3, 2, 1, 0])
    equal(queue.first.delete, true)
    queue.clear
    equal(Sidekiq::Queue.all.map(&:name).include?(unread), false)
  end

  def check_processes_are_seen
    until_true("the worker") { Sidekiq::ProcessSet.new.any? { |process| process["queues"].include?(URGENT) } }
    until_true("its figures") { Sidekiq::Stats.new.processed.positive? }
  end
end

unless ENV["JOBS_URL"]
  worker = spawn({ "JOBS_URL" => URL, "JOBS" => JOBS }, "sidekiq", "--require", File.expand_path(__FILE__), "--concurrency", "4",
                 "--timeout", "3", "--queue", URGENT, "--queue", LATER, %i[out err] => "/dev/null")
  run("sidekiq", { "worker" => Checks.new }) { Process.kill("TERM", worker) && Process.wait(worker) }
end
