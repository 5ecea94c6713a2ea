-- The counters of shared.py: reports and asks of one worker in one round trip. Instants are
-- microseconds of this server's clock. The rules are those of gcra.py, measures.py and shares.py.
-- ARGV[1]: a msgpack map: w this worker's name, p the prefix of keys, n an instant for tests or 0,
-- b batches of reports, t asks. Returns msgpack: live workers, replies to reports, verdicts.
-- A counter is told as {1 or 2, key, step, burst, quota} for a rate of requests or tokens, {3, key,
-- most} for places, {4, key, cap, stops, needs a price, expires at ms, period's end in s}.

local job = cmsgpack.unpack(ARGV[1])
local clock = redis.call('TIME')
local now = job.n
if now == 0 then now = tonumber(clock[1]) * 1000000 + tonumber(clock[2]) end
local WORKERS = job.p .. 'workers'
local WORKER_LIFE = 15 * 1000000
local SHARE_KEPT_MS = 60000
local CALL_MS = 1800000
local HEARD_S = 3600
local FOREVER = 1e18
-- Of what is free, all workers together get one part in so many, and none gets less than so many
-- calls' worth: near the limit each call asks.
local PARTS, LEAST = 32, 4

local function whole(number) return string.format('%.0f', number) end

redis.call('ZADD', WORKERS, whole(now), job.w)
redis.call('ZREMRANGEBYSCORE', WORKERS, '-inf', whole(now - WORKER_LIFE))
local workers = redis.call('ZCARD', WORKERS)
local MINE = 'l:' .. job.w

-- What a worker holds is in `l:WORKER`. Sets this worker's, and adds the difference to a total.
local function hold(key, total, held)
  local before = tonumber(redis.call('HGET', key, MINE)) or 0
  if held == before then return end
  if held == 0 then redis.call('HDEL', key, MINE) else redis.call('HSET', key, MINE, whole(held)) end
  redis.call('HINCRBY', key, total, whole(held - before))
end

local function hold_more(key, total, amount)
  if amount == 0 then return end
  redis.call('HINCRBY', key, MINE, whole(amount))
  redis.call('HINCRBY', key, total, whole(amount))
end

-- What workers hold that are no more, by worker; they do not hold it any longer.
local function left_behind(key, total)
  local found, sum, all = {}, 0, redis.call('HGETALL', key)
  for i = 1, #all, 2 do
    local worker = string.match(all[i], '^l:(.*)$')
    if worker and not redis.call('ZSCORE', WORKERS, worker) then
      local amount = tonumber(all[i + 1])
      found[worker] = amount
      sum = sum + amount
      redis.call('HDEL', key, all[i])
    end
  end
  if sum ~= 0 then redis.call('HINCRBY', key, total, whole(-sum)) end
  return found, sum
end

-- A rate: what is owed is units, whatever the rate is since a reload.
local function rate_of(key, step)
  local kept = redis.call('HMGET', key, 'a', 'r', 's', 'l')
  local arrival, returned, before = tonumber(kept[1]) or 0, tonumber(kept[2]) or 0, tonumber(kept[3])
  if before and before ~= step and arrival > now then
    arrival = now + (arrival - now) * (step / before)
  end
  return arrival, returned, tonumber(kept[4]) or 0
end

local function keep_rate(key, arrival, returned, step)
  redis.call('HSET', key, 'a', whole(arrival), 'r', whole(returned), 's', string.format('%.17g', step))
  redis.call('PEXPIRE', key, whole(math.max(0, arrival - now) / 1000 + SHARE_KEPT_MS))
end

local function refunded(refund, arrival, returned, step)
  local surplus = refund[4] - refund[5]
  if surplus < 0 then return math.max(arrival, now) - surplus * step, returned end
  local given = math.max(0, returned - refund[2])
  local ends = math.max(refund[1] - given, refund[3] + refund[4] * step)
  local back = math.max(0, math.min(surplus * step, ends - now))
  return arrival - back, returned + back
end

local hear = {}

hear[1] = function(report)
  local spec, used, held = report[1], report[2], report[3]
  local key, step = spec[2], spec[3]
  local arrival, returned = rate_of(key, step)
  if used > 0 then arrival = math.max(arrival, now) + used * step end
  local stands, had = arrival, returned
  for _, refund in ipairs(report[4]) do
    arrival, returned = refunded(refund, arrival, returned, step)
  end
  hold(key, 'l', held)
  keep_rate(key, arrival, returned, step)
  -- calls of this report stand before these refunds, which later refunds of theirs must heed
  return {stands, had, now}
end
hear[2] = hear[1]

hear[3] = function(report)
  local key = report[1][2]
  hold(key, 'l', report[3])
  redis.call('PEXPIRE', key, CALL_MS)
  return {}
end

hear[4] = function(report)
  local spec, used, held = report[1], report[2], report[3]
  local key = spec[2]
  local thought_dead = tonumber(redis.call('HGET', key, 'd:' .. job.w))
  if thought_dead then
    redis.call('HDEL', key, 'd:' .. job.w)
    used = used - thought_dead
  end
  hold(key, 'r', held)
  local spent = redis.call('HINCRBY', key, 's', whole(used))
  redis.call('PEXPIREAT', key, whole(spec[6]))
  return {spent}
end

local shared_out = {}

-- How many calls of an amount a share may be for, of what is free.
local function room_for(key, free, amount)
  if amount <= 0 then return 0 end
  local already = shared_out[key] or 0
  local room = math.floor(((free + already) / (PARTS * workers) - already) / amount)
  if room < LEAST then return 0 end
  return room
end

local function share_out(key, total, amount, want, room)
  local extra = math.min(want, room) * amount
  shared_out[key] = (shared_out[key] or 0) + extra
  hold_more(key, total, extra)
end

local function short_of(spec, spent, reserved, amount, priced, bounded)
  local cap, stops, needs_price = spec[3], spec[4] == 1, spec[5] == 1
  if not stops then return nil end
  if needs_price and not priced then return 'unpriced' end
  if spent + reserved + amount <= cap then return nil end
  if spent < cap and not bounded then
    if reserved == 0 then return nil end
    return 'reserved'
  end
  if spent + amount <= cap then return 'reserved' end
  if amount > cap and spent < cap then return 'too_large' end
  return 'spent'
end

-- What is found of a counter, and what refuses: kind, wait, spent.
local look, give = {}, {}

look[1] = function(spec, amount)
  local key, step, burst = spec[2], spec[3], spec[4]
  local arrival, returned, out = rate_of(key, step)
  local cost = amount * step
  local owed = math.max(0, arrival - now) + out * step
  if out > 0 and owed + cost - burst > 0.5 then
    local _, gone = left_behind(key, 'l')
    if gone > 0 then
      arrival = math.max(arrival, now) + gone * step
      keep_rate(key, arrival, returned, step)
    end
  end
  local found = {arrival, returned, cost, burst - owed - cost}
  if spec[1] == 2 and amount > spec[5] then return found, 'too_large', FOREVER end
  if owed > 0 and owed + cost - burst > 0.5 then
    return found, 'rate', math.min(owed + cost - burst, owed)
  end
  return found
end
look[2] = look[1]

look[3] = function(spec, amount)
  local key, most = spec[2], spec[3]
  local running = tonumber(redis.call('HGET', key, 'l')) or 0
  if running + amount > most then
    local _, gone = left_behind(key, 'l')
    running = running - gone
  end
  if running + amount > most then return {running}, 'at_once', 1000000 end
  return {running}
end

look[4] = function(spec, amount, priced, bounded)
  local key = spec[2]
  local kept = redis.call('HMGET', key, 's', 'r')
  local spent, reserved = tonumber(kept[1]) or 0, tonumber(kept[2]) or 0
  local kind = short_of(spec, spent, reserved, amount, priced, bounded)
  if kind and reserved > 0 then
    -- what they held they may have spent; should they live after all, they get it back
    local behind, gone = left_behind(key, 'r')
    for worker, held in pairs(behind) do redis.call('HINCRBY', key, 'd:' .. worker, whole(held)) end
    if gone > 0 then
      spent, reserved = redis.call('HINCRBY', key, 's', whole(gone)), reserved - gone
      kind = short_of(spec, spent, reserved, amount, priced, bounded)
    end
  end
  local found = {spent, reserved}
  if kind == 'reserved' then return found, kind, 2000000, spent end
  if kind == 'spent' then return found, kind, spec[7] * 1000000 - now, spent end
  return found, kind, FOREVER, spent
end

give[1] = function(spec, amount, want, found)
  local key, step = spec[2], spec[3]
  local arrival = math.max(found[1], now) + found[3]
  local room = room_for(key, found[4] / step, amount)
  keep_rate(key, arrival, found[2], step)
  share_out(key, 'l', amount, want, room)
  return {arrival, found[2], now, room}
end
give[2] = give[1]

give[3] = function(spec, amount, want, found)
  local key = spec[2]
  local room = room_for(key, spec[3] - found[1] - amount, amount)
  hold_more(key, 'l', amount)
  share_out(key, 'l', amount, want, room)
  redis.call('PEXPIRE', key, CALL_MS)
  return {room}
end

give[4] = function(spec, amount, want, found)
  local key = spec[2]
  local room = room_for(key, spec[3] - found[1] - found[2] - amount, amount)
  hold_more(key, 'r', amount)
  share_out(key, 'r', amount, want, room)
  redis.call('PEXPIREAT', key, whole(spec[6]))
  return {found[1], room}
end

local function take(ask)
  local priced, bounded = ask[2], ask[3]
  local worst, why, at, seen = -1, nil, nil, 0
  local found = {}
  for i, one in ipairs(ask[1]) do
    local spec = one[1]
    local kind, wait, spent
    found[i], kind, wait, spent = look[spec[1]](spec, one[2], priced, bounded)
    if kind and wait > worst then worst, why, at, seen = wait, kind, i, spent or 0 end
  end
  if why then return {false, at - 1, why, worst, seen} end
  local given = {}
  for i, one in ipairs(ask[1]) do
    given[i] = give[one[1][1]](one[1], one[2], one[3], found[i])
  end
  return {true, given}
end

-- A batch that was heard already is sent again if its answer was lost.
local heard = {}
for i, batch in ipairs(job.b) do
  local key = job.p .. 'heard:' .. job.w
  if batch[1] > (tonumber(redis.call('GET', key)) or 0) then
    redis.call('SET', key, whole(batch[1]), 'EX', HEARD_S)
    heard[i] = {}
    for j, report in ipairs(batch[2]) do heard[i][j] = hear[report[1][1]](report) end
  else
    heard[i] = false
  end
end
local verdicts = {}
for i, one in ipairs(job.t) do verdicts[i] = take(one) end
return cmsgpack.pack({workers, heard, verdicts})
