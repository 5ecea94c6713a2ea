-- wrk script: POSTs the file named by the first argument and prints a JSON summary at the end. With a
-- second argument, each time with another of the keys that stand in that file, by chance.

function init(args)
  local file = assert(io.open(args[1], "rb"))
  wrk.method = "POST"
  wrk.body = file:read("*a")
  file:close()
  wrk.headers["Content-Type"] = "application/json"
  if not args[2] then
    text = wrk.format()
    return
  end
  wrk.headers["Authorization"] = "Bearer THE-KEY"
  head, tail = wrk.format():match("^(.-)THE%-KEY(.*)$")
  keys = {}
  for line in assert(io.lines(args[2])) do keys[#keys + 1] = line end
  math.randomseed(17)
end

function request()
  return text or head .. keys[math.random(#keys)] .. tail
end

function done(summary, latency, requests)
  local e = summary.errors
  io.write(string.format(
    '{"calls": %d, "wall_s": %.6f, "status_errors": %d, "socket_errors": %d}\n',
    summary.requests, summary.duration / 1e6, e.status,
    e.connect + e.read + e.write + e.timeout))
end
