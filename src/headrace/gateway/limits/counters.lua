-- The counters of shared.py: takes and settlements of many calls in one round trip. Instants are
-- microseconds of this server's clock. The rules are those of gcra.py and measures.py.
-- ARGV[1]: a msgpack map: w this worker's id, p the prefix of keys, l seconds of a lease, n an
-- instant for tests or 0, s settlements, t takes. Returns msgpack: live workers, and the verdicts.

local job = cmsgpack.unpack(ARGV[1])
local clock = redis.call('TIME')
local now = job.n
if now == 0 then now = tonumber(clock[1]) * 1000000 + tonumber(clock[2]) end
local lease = job.l * 1000000
local WORKERS = job.p .. 'workers'
local WORKER_LIFE = 15 * 1000000
local SEEN_AT_ONCE = 200
local FOREVER = 1e18

local function whole(number) return string.format('%.0f', number) end

redis.call('ZADD', WORKERS, whole(now), job.w)
redis.call('ZREMRANGEBYSCORE', WORKERS, '-inf', whole(now - WORKER_LIFE))

-- A rate: what is owed is units, whatever the rate is since a reload.
local function rate_of(key, step)
  local kept = redis.call('HMGET', key, 'a', 'r', 's')
  local arrival, returned, before = tonumber(kept[1]) or 0, tonumber(kept[2]) or 0, tonumber(kept[3])
  if before and before ~= step and arrival > now then
    arrival = now + (arrival - now) * (step / before)
  end
  return arrival, returned
end

local function keep_rate(key, arrival, returned, step)
  redis.call('HSET', key, 'a', whole(arrival), 'r', whole(returned), 's', string.format('%.17g', step))
  redis.call('PEXPIRE', key, whole(math.max(0, arrival - now) / 1000 + 1000))
end

-- Calls of workers that are no more give their places back, and so do those past their lease.
local function places(key, most)
  redis.call('ZREMRANGEBYSCORE', key, '-inf', whole(now))
  local running = redis.call('ZCARD', key)
  if running < most then return running end
  for _, member in ipairs(redis.call('ZRANGE', key, 0, SEEN_AT_ONCE)) do
    if not redis.call('ZSCORE', WORKERS, string.match(member, '^[^:]*')) then
      running = running - redis.call('ZREM', key, member)
    end
  end
  return running
end

-- What calls past their lease hold of a budget counts as spent: they may have cost it.
local function budget_of(key)
  local kept = redis.call('HMGET', key, 's', 'r')
  local spent, reserved = tonumber(kept[1]) or 0, tonumber(kept[2]) or 0
  if reserved > 0 then
    local late = redis.call('ZRANGEBYSCORE', key .. ':held', '-inf', whole(now), 'LIMIT', 0, SEEN_AT_ONCE)
    for _, member in ipairs(late) do
      local amount = tonumber(string.match(member, '^%d+'))
      redis.call('ZREM', key .. ':held', member)
      spent = redis.call('HINCRBY', key, 's', whole(amount))
      reserved = redis.call('HINCRBY', key, 'r', whole(-amount))
    end
  end
  return spent, reserved
end

local function short_of(budget, spent, reserved, amount, priced, bounded)
  local cap, in_usd, stops, refuses = budget[2], budget[3] == 1, budget[4] == 1, budget[5] == 1
  if not stops then return nil end
  if in_usd and not priced and refuses then return 'unpriced' end
  if spent + reserved + amount <= cap then return nil end
  if spent < cap and not bounded then
    if reserved == 0 then return nil end
    return 'reserved'
  end
  if spent + amount <= cap then return 'reserved' end
  if amount > cap and spent < cap then return 'too_large' end
  return 'spent'
end

local function settle(one)
  local spec, id, undone = one[1], one[2], one[9]
  for _, place in ipairs(spec[3]) do redis.call('ZREM', place[1], id) end
  if not undone then
    local surplus = one[3] - one[4]
    for i, rate in ipairs(spec[2]) do
      local stake, key, step = one[5][i], rate[1], rate[2]
      local arrival, returned = rate_of(key, step)
      if surplus > 0 then
        local given = math.max(0, returned - stake[2])
        local ends = math.max(stake[1] - given, stake[3] + one[3] * step)
        local back = math.max(0, math.min(surplus * step, ends - now))
        if back > 0 then keep_rate(key, arrival - back, returned + back, step) end
      elseif surplus < 0 then
        keep_rate(key, math.max(arrival, now) - surplus * step, returned, step)
      end
    end
  end
  for _, budget in ipairs(spec[4]) do
    local key = budget[1]
    local held, used = one[6], one[4]
    if budget[3] == 1 then held, used = one[7], one[8] end
    local member = whole(held) .. ':' .. id
    if redis.call('ZREM', key .. ':held', member) == 1 then
      redis.call('HINCRBY', key, 'r', whole(-held))
      if used ~= 0 then redis.call('HINCRBY', key, 's', whole(used)) end
    elseif not undone then
      redis.call('HINCRBY', key, 's', whole(used - held))
    end
    redis.call('PEXPIREAT', key, whole(budget[6]))
  end
end

local function take(one)
  local spec, id, tokens, in_tokens, in_usd, bounded = one[1], one[2], one[3], one[4], one[5], one[6]
  local priced = in_usd >= 0
  local worst, why, at, seen = -1, nil, nil, 0
  local function refuse(kind, index, wait, spent)
    if wait > worst then worst, why, at, seen = wait, kind, index, spent or 0 end
  end
  local found, index = {}, 0
  for group = 1, 2 do
    for _, rate in ipairs(spec[group]) do
      index = index + 1
      local cost = rate[2]
      if group == 2 then cost = tokens * rate[2] end
      local arrival, returned = rate_of(rate[1], rate[2])
      found[index] = {arrival, returned, cost}
      local owed = arrival - now
      if group == 2 and tokens > rate[4] then
        refuse('too_large', index, FOREVER)
      elseif owed > 0 and owed + cost - rate[3] > 0.5 then
        refuse('rate', index, math.min(owed + cost - rate[3], owed))
      end
    end
  end
  for _, place in ipairs(spec[3]) do
    index = index + 1
    if places(place[1], place[2]) >= place[2] then refuse('at_once', index, 1000000) end
  end
  local spendings = {}
  for i, budget in ipairs(spec[4]) do
    index = index + 1
    local amount = in_tokens
    if budget[3] == 1 then amount = math.max(0, in_usd) end
    local spent, reserved = budget_of(budget[1])
    spendings[i] = spent
    local kind = short_of(budget, spent, reserved, amount, priced, bounded)
    if kind == 'reserved' then refuse(kind, index, 2000000, spent)
    elseif kind == 'spent' then refuse(kind, index, budget[7] * 1000000 - now, spent)
    elseif kind then refuse(kind, index, FOREVER, spent) end
  end
  if why then return {false, at - 1, why, worst, seen} end

  local stakes = {}
  index = 0
  for group = 1, 2 do
    for _, rate in ipairs(spec[group]) do
      index = index + 1
      local kept = found[index]
      local arrival = math.max(kept[1], now) + kept[3]
      keep_rate(rate[1], arrival, kept[2], rate[2])
      stakes[index] = {arrival, kept[2], now}
    end
  end
  for _, place in ipairs(spec[3]) do
    redis.call('ZADD', place[1], whole(now + lease), id)
    redis.call('PEXPIRE', place[1], whole(lease / 1000))
  end
  for _, budget in ipairs(spec[4]) do
    local key, amount = budget[1], in_tokens
    if budget[3] == 1 then amount = math.max(0, in_usd) end
    redis.call('HINCRBY', key, 'r', whole(amount))
    redis.call('ZADD', key .. ':held', whole(now + lease), whole(amount) .. ':' .. id)
    redis.call('PEXPIREAT', key, whole(budget[6]))
    redis.call('PEXPIREAT', key .. ':held', whole(budget[6]))
  end
  return {true, stakes, spendings}
end

for _, one in ipairs(job.s) do settle(one) end
for _, one in ipairs(job.x) do
  redis.call('HINCRBY', one[1], 's', whole(one[2]))
  redis.call('PEXPIREAT', one[1], whole(one[3]))
end
local verdicts = {}
for i, one in ipairs(job.t) do verdicts[i] = take(one) end
return cmsgpack.pack({redis.call('ZCARD', WORKERS), verdicts})
