# Shared by the Ruby programs: the server from the command line, values, and the run with its last line.

require "cgi"
require "securerandom"
require "timeout"

HOST, PORT, PASSWORD = ARGV
URL = "redis://#{":#{CGI.escape(PASSWORD).gsub("+", "%20")}@" if PASSWORD}#{HOST}:#{PORT}/0"
PATIENCE = 20
ADD = "return redis.call('incrby', KEYS[1], ARGV[1])"
EVERY_BYTE = ((0..255).to_a.pack("C*") + "\r\n$3\r\n*1\r\n\0").b
BIG = "0123456789abcdef" * 65_536
RUN = SecureRandom.hex(4)

def key(name)
  "#{File.basename($PROGRAM_NAME, ".rb")}:#{RUN}:#{name}"
end

# Keys of many slots.
def many(kind, count)
  Array.new(count) { |n| key("#{kind}:#{n}") }
end

def equal(found, wanted)
  raise "#{found.inspect[0, 300]} is not #{wanted.inspect[0, 300]}" unless found == wanted
end

# Asserts that a block ends with an error of a class with this text.
def refused(kind, text)
  yield
rescue kind => error
  raise "#{error.message} has no #{text}" unless error.message.include?(text)
else
  raise "no error"
end

def until_true(what)
  deadline = Process.clock_gettime(Process::CLOCK_MONOTONIC) + PATIENCE
  until (found = yield)
    raise "#{what} did not come" if Process.clock_gettime(Process::CLOCK_MONOTONIC) > deadline
    sleep 0.02
  end
  found
end

# Every method check_* of an object is one check; for each of the objects by their titles. The block ends what was started.
def run(name, kinds)
  passed = failed = 0
  kinds.each do |title, checks|
    checks.public_methods.grep(/\Acheck_/).sort.each do |check|
      Timeout.timeout(4 * PATIENCE) { checks.public_send(check) }
      passed += 1
    rescue Exception => error
      failed += 1
      puts "FAILED #{name} #{title} #{check}", error.full_message(highlight: false)
    end
  end
  yield if block_given?
  puts "#{name}: #{passed} passed, #{failed} failed"
  $stdout.flush
  exit!([failed, 1].min)
end
