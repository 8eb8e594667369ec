-- wrk's script. TOKENS names a file with a token on each line: one is sent always; of many, each is
-- sent once, and the run ends with the last.
local requests, count, sent = {}, 0, 0

function init(_)
  for token in io.lines(os.getenv("TOKENS")) do
    count = count + 1
    requests[count] = wrk.format("GET", nil, {
      ["Authorization"] = "Bearer " .. token,
      ["Accept"] = "*/*",
      ["User-Agent"] = "bench",
      ["X-Tenant-ID"] = "t-1",
    })
  end
end

-- Ends the whole run: stopping the thread alone would leave wrk to sleep its duration out.
local function finish()
  local ffi = require("ffi")
  ffi.cdef("int kill(int pid, int signal); int getpid(void);")
  ffi.C.kill(ffi.C.getpid(), 2)
end

function request()
  if count == 1 then
    return requests[1]
  end
  sent = sent + 1
  if sent == count then
    finish()
  end
  return requests[math.min(sent, count)]
end

function done(summary, latency, _)
  local errors = summary.errors
  io.write(string.format(
    "\nresult %d %d %d %d %d %d\n",
    summary.requests,
    summary.duration,
    errors.status,
    errors.connect + errors.read + errors.write + errors.timeout,
    latency:percentile(50),
    latency:percentile(99)
  ))
end
