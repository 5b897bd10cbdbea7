-- wrk's side of `python -m benchmarks.bench`. Arguments: the marker in whose place each body gets a task's id; how the
-- ids of this run begin; whether it is the same id each time; how many responses end the run (0: its time does); files.
local LAG = 256 -- tasks between two callbacks of one task
local threads = {}

function setup(thread)
  thread:set("number", #threads)
  threads[#threads + 1] = thread
end

function init(args)
  marker, started, same, limit = args[1], args[2], args[3] == "same", tonumber(args[4])
  bodies, sent, answered = {}, 0, 0
  for place = 5, #args do
    local file = assert(io.open(args[place], "rb"))
    bodies[#bodies + 1] = file:read("*a")
    file:close()
  end
  wrk.method = "POST"
  wrk.headers["Content-Type"] = "application/json"
  if limit > 0 then
    response = stop_at_limit
  end
end

function request()
  local stage = sent % #bodies
  local task = same and 0 or math.floor(sent / #bodies) + LAG * (#bodies - stage)
  sent = sent + 1
  local task_id = string.format("%s%02x%014x", started, number, task)
  return wrk.format(nil, nil, nil, (bodies[stage + 1]:gsub(marker, task_id, 1)))
end

function stop_at_limit()
  answered = answered + 1
  if answered == limit then -- only a signal ends a run before its time
    local ffi = require("ffi")
    ffi.cdef("int getpid(); int kill(int process, int signal);")
    ffi.C.kill(ffi.C.getpid(), 2)
  end
end

function done(summary, latency)
  local errors, all = summary.errors, 0
  for _, thread in ipairs(threads) do
    all = all + thread:get("sent")
  end
  io.write(string.format('{"a_second": %f, "p50_ms": %f, "p99_ms": %f, "failed": %d, "received": %d, "sent": %d}\n',
    summary.requests * 1e6 / summary.duration, latency:percentile(50) / 1e3, latency:percentile(99) / 1e3,
    errors.connect + errors.read + errors.write + errors.status + errors.timeout,
    summary.requests - errors.status, all))
end
