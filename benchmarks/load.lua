-- wrk's side of `python -m benchmarks.load`: every request a callback of a new task.
local threads = 0

function setup(thread)
  thread:set("number", threads)
  threads = threads + 1
end

function init(args)
  local file = assert(io.open(args[1], "rb"))
  body = file:read("*a")
  file:close()
  marker, started, sent = args[2], args[3], 0
  wrk.method = "POST"
  wrk.headers["Content-Type"] = "application/json"
end

function request()
  sent = sent + 1
  local task_id = string.format("%s%02x%014x", started, number, sent)
  return wrk.format(nil, nil, nil, (body:gsub(marker, task_id, 1)))
end

function done(summary, latency, requests)
  local errors = summary.errors
  io.write(string.format('{"a_second": %f, "p50_ms": %f, "p99_ms": %f, "failed": %d}\n',
    summary.requests * 1e6 / summary.duration, latency:percentile(50) / 1e3, latency:percentile(99) / 1e3,
    errors.connect + errors.read + errors.write + errors.status + errors.timeout))
end
