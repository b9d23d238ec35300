-- One request's demand, checked as a whole and taken as a whole. See `Take` in gemini_core/model/accounts/limits.py.
-- KEYS: own rules, shared rules, three per budget (unproven, proven, noted), spreads, three for the session, in this order.
-- ARGV[1]: the demand as JSON; times in milliseconds.
-- Answers {revoked, doubt, index of the own rule that is full the longest, ms until it has room, name withheld, name noted}.
local demand = cjson.decode(ARGV[1])
local now, token = demand.now, demand.token
local used = 0

local function key()
    used = used + 1
    return KEYS[used]
end

local function keyed(rules)
    for _, rule in ipairs(rules) do rule.key = key() end
end

keyed(demand.own)
keyed(demand.shared)
for _, budget in ipairs(demand.budgets) do budget.key, budget.proven, budget.noted = key(), key(), key() end
keyed(demand.spreads)

-- The name of the life that keys have here, while it is too short to hold every end that matters; else ''. It is over
-- when keys were lost: by a flush, by a restart (which may bring back what is older) or by eviction. INFO takes its time,
-- so that the latter two are looked for once a second.
local function doubted(life)
    local began, name, server, seen = unpack(redis.call('HMGET', life, 'began', 'name', 'server', 'seen'))
    if not seen or math.abs(now - seen) >= 1000 then
        local run = string.match(redis.call('INFO', 'server'), 'run_id:(%x+)')
        local present = run .. ' ' .. string.match(redis.call('INFO', 'stats'), 'evicted_keys:(%d+)')
        if server ~= present then
            began, name = now, table.concat(redis.call('TIME'), '.')
            redis.call('HSET', life, 'began', began, 'name', name, 'server', present)
        end
        redis.call('HSET', life, 'seen', now)
        redis.call('PEXPIRE', life, demand.day)
    end
    return now - began < demand.session.remembered and name or ''
end

local doubt = ''
if demand.session ~= cjson.null then
    local ended, minimum = redis.call('EXISTS', key()), redis.call('GET', key())
    if ended == 1 then return {1, '', 0, 0, '', ''} end
    if minimum then
        local version, kept = string.match(minimum, '^(%d+) (.*)$')
        if demand.session.version < tonumber(version) and demand.session.id ~= kept then return {1, '', 0, 0, '', ''} end
    end
    doubt = doubted(key())
end

-- How long until the rule has room; nil if it has.
local function wait(rule)
    if rule.limit < 1 then return rule.window end
    if rule.exact then
        redis.call('ZREMRANGEBYSCORE', rule.key, '-inf', now - rule.window)
        if redis.call('ZCARD', rule.key) < rule.limit then return nil end
        local entry = redis.call('ZRANGE', rule.key, -rule.limit, -rule.limit, 'WITHSCORES')
        return tonumber(entry[2]) + rule.window - now
    end
    rule.due = math.max(tonumber(redis.call('GET', rule.key) or 0), now) + rule.window / rule.limit
    local early = rule.due - rule.window - now
    if early > 0 then return early end
    return nil
end

local function take(rule)
    if rule.exact then
        redis.call('ZADD', rule.key, now, token)
        redis.call('PEXPIRE', rule.key, rule.window)
    else
        redis.call('SET', rule.key, string.format('%.3f', rule.due), 'PX', math.max(1, math.ceil(rule.due - now)))
    end
end

local full_longest, longest
for index, rule in ipairs(demand.own) do
    local rest = wait(rule)
    if rest and rest > (longest or 0) then full_longest, longest = index, rest end
end
if longest then return {0, doubt, full_longest, math.max(1, math.ceil(longest)), '', ''} end

local function full()
    for _, rule in ipairs(demand.shared) do
        if wait(rule) then return rule.name end
    end
end

local function over_budget()
    for _, budget in ipairs(demand.budgets) do
        local since = '(' .. string.format('%.0f', now - budget.window)
        local unproven = redis.call('ZCOUNT', budget.key, since, '+inf')
        local proven = redis.call('ZCOUNT', budget.proven, since, '+inf')
        if unproven >= math.max(budget.floor, math.floor(budget.share * proven)) then return budget.name end
    end
    for _, spread in ipairs(demand.spreads) do
        redis.call('ZREMRANGEBYSCORE', spread.key, '-inf', now - spread.window)
        local values, different = {}, 0
        for _, entry in ipairs(redis.call('ZRANGE', spread.key, 0, -1)) do
            local value = string.match(entry, '^%S+')
            if not values[value] then values[value], different = true, different + 1 end
        end
        if not values[spread.value] and different >= spread.limit then return spread.name end
    end
end

for _, rule in ipairs(demand.own) do take(rule) end

local withheld, noted = full() or '', ''
if withheld == '' then
    noted = over_budget() or ''
    if noted ~= '' and not demand.record_only then withheld, noted = noted, '' end
end
if withheld ~= '' then return {0, doubt, 0, 0, withheld, ''} end

for _, rule in ipairs(demand.shared) do take(rule) end
for _, budget in ipairs(demand.budgets) do
    if noted ~= '' then
        redis.call('ZADD', budget.noted, now, token)
        redis.call('PEXPIRE', budget.noted, demand.day)
    end
    redis.call('ZREMRANGEBYSCORE', budget.key, '-inf', now - demand.day)
    redis.call('ZADD', budget.key, now, token)
    redis.call('PEXPIRE', budget.key, demand.day)
end
for _, spread in ipairs(demand.spreads) do
    redis.call('ZADD', spread.key, now, spread.value .. ' ' .. token)
    redis.call('PEXPIRE', spread.key, spread.window)
end
return {0, doubt, 0, 0, '', noted}
