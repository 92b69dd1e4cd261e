-- wrk's script: POST one body again and again, and print what came of it as JSON.
-- Arguments after `--`: the file with the body, its Content-Type, then the value of a Prefer
-- header, if any.

function init(args)
   local file = assert(io.open(args[1], "rb"))
   wrk.method = "POST"
   wrk.body = file:read("*a")
   wrk.headers["Content-Type"] = args[2]
   if args[3] then
      wrk.headers["Prefer"] = args[3]
   end
   file:close()
end

function done(summary, latency, requests)
   local errors = summary.errors
   local ms = function(percentile) return latency:percentile(percentile) / 1000 end
   io.write(string.format(
      '{"requests": %d, "seconds": %.6f, "p50": %.4f, "p90": %.4f, "p99": %.4f, "max": %.4f, '
         .. '"refused": %d, "connect": %d, "read": %d, "write": %d, "timeout": %d}\n',
      summary.requests, summary.duration / 1e6, ms(50), ms(90), ms(99), latency.max / 1000,
      errors.status, errors.connect, errors.read, errors.write, errors.timeout))
end
