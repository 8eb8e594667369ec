-- HAProxy (2.6 or later) asks Gatepost about each request before it goes on:
--
--     http-request lua.gatepost abns@gatepost
--     http-request deny deny_status 503 unless { var(txn.gatepost_allowed) -m bool }
--
-- The action ends a request that Gatepost refuses. Of one that it allows, it writes the identity
-- headers and sets txn.gatepost_allowed. HAProxy goes on after an error in Lua, which is why the
-- second rule must stand there.

-- Milliseconds without a byte of an answer. HAProxy tries four times; the timeouts of the section
-- that is asked are shorter.
local TIMEOUT = 10000

-- What HAProxy itself may hold of one request (tune.http.maxhdr, 101 unless set): its HTTP client
-- does not count. Some room is left for what is added here.
local MOST_HEADERS = 90

local function set(names)
  local all = {}
  for name in names:gmatch("%S+") do
    all[name] = true
  end
  return all
end

-- Apps behind WSGI or CGI read these spellings of a name as one.
local function fold(name)
  return (name:lower():gsub("[_.]", "-"))
end

-- Who somebody is, and what was asked, is Gatepost's and HAProxy's to say, never the client's.
local OWNED = set([[
  x-user-id x-user-name x-user-email x-user-groups x-user-roles x-user-permissions
  x-request-id x-tenant-id x-client-id x-principal-kind
  forwarded x-real-ip x-rewrite-url
  x-http-method x-http-method-override x-method-override
]])
local OWNED_PREFIXES = { "x-auth-", "x-forwarded-", "x-original-" }
-- An ALB's statement about its user: a credential for Gatepost, unproven for the app.
local ALB = "x-amzn-oidc-"

-- What ends at HAProxy, or describes a body that Gatepost is not sent.
local HOP_BY_HOP = set([[
  connection keep-alive proxy-authenticate proxy-authorization proxy-connection te trailer
  transfer-encoding upgrade http2-settings content-length
]])
local NOT_ASKED = set("host expect accept-encoding")
-- What is in an answer, and not about the principal.
local NOT_IDENTITY = set("cache-control date server vary via")

-- HAProxy numbers the values of a header from 0, and takes them in the order of a list from 1.
local function list(values)
  return table.move(values or {}, 0, values and #values or -1, 1, {})
end

local function begins(name, prefix)
  return name:sub(1, #prefix) == prefix
end

local function owned(folded)
  if OWNED[folded] then
    return true
  end
  for _, prefix in ipairs(OWNED_PREFIXES) do
    if begins(folded, prefix) then
      return true
    end
  end
  return false
end

-- Removes what the client may not say, and returns what Gatepost is to judge.
local function take(txn)
  local question, number = {}, 0
  for name, values in pairs(txn.http:req_get_headers()) do
    local folded = fold(name)
    -- another spelling of a header that frames the message is no header of HTTP
    local disguised = folded ~= name and HOP_BY_HOP[folded]
    if owned(folded) or disguised then
      txn.http:req_del_header(name)
    else
      if begins(folded, ALB) then
        txn.http:req_del_header(name)
      end
      if not HOP_BY_HOP[folded] and not NOT_ASKED[folded] then
        question[name] = list(values)
        number = number + #question[name]
      end
    end
  end
  return question, number
end

-- `Connection` may name headers, which whoever comes next would drop: identity headers, for one.
-- WebSocket is the one protocol to change to: behind another nobody is asked any more.
local function connect(txn)
  local headers = txn.http:req_get_headers()
  local connection = table.concat(list(headers["connection"]), ","):lower():gsub("%s", "")
  local upgrade = table.concat(list(headers["upgrade"]), ","):lower()
  txn.http:req_del_header("connection")
  txn.http:req_del_header("upgrade")
  txn.http:req_del_header("http2-settings")
  if ("," .. connection .. ","):find(",upgrade,", 1, true) and upgrade == "websocket" then
    txn.http:req_set_header("connection", "upgrade")
    txn.http:req_set_header("upgrade", "websocket")
  end
end

local function refuse(txn, status, headers, body)
  local reply = txn:reply({ status = status })
  for name, values in pairs(headers) do
    if not HOP_BY_HOP[name] and name ~= "date" then
      for _, value in ipairs(list(values)) do
        reply:add_header(name, value)
      end
    end
  end
  reply:set_body(body)
  txn:done(reply)
end

-- It could not be told whether the request is allowed.
local function fail(txn)
  refuse(txn, 503, { ["cache-control"] = { [0] = "no-store" }, ["retry-after"] = { [0] = "1" } }, "")
end

-- Writes the identity headers, the empty ones too, in place of every spelling of them. False if
-- one had no room (tune.maxrewrite): HAProxy would go on without it.
local function identify(txn, headers)
  local sent = txn.http:req_get_headers()
  for name, values in pairs(headers) do
    if not HOP_BY_HOP[name] and not NOT_IDENTITY[name] then
      for other in pairs(sent) do
        if fold(other) == fold(name) then
          txn.http:req_del_header(other)
        end
      end
      for _, value in ipairs(list(values)) do
        txn.http:req_add_header(name, value)
      end
    end
  end
  local written = txn.http:req_get_headers()
  for name, values in pairs(headers) do
    if not HOP_BY_HOP[name] and not NOT_IDENTITY[name] and #list(written[name]) ~= #list(values) then
      return false
    end
  end
  return true
end

local function gatepost(txn, address)
  local hosts = txn.http:req_get_headers()["host"] or {}
  local question, number = take(txn)
  connect(txn)
  if number > MOST_HEADERS then
    return refuse(txn, 431, {}, "")
  end
  question["host"] = { "gatepost" }
  question["x-forwarded-for"] = { txn.sf:src() }
  question["x-forwarded-proto"] = { txn.sf:ssl_fc() == "1" and "https" or "http" }
  question["x-forwarded-method"] = { txn.sf:method() }
  question["x-forwarded-host"] = hosts
  question["x-forwarded-uri"] = { txn.sf:pathq() }

  local answer = core.httpclient():get({
    url = "http://gatepost/auth/haproxy",
    dst = address,
    headers = question,
    timeout = TIMEOUT,
  })
  if answer.status == 200 then
    -- of `GET http://user@host/path` only the last was judged
    txn.http:req_set_uri(txn.sf:pathq())
    if not identify(txn, answer.headers) then
      return refuse(txn, 431, {}, "")
    end
    txn:set_var("txn.gatepost_allowed", true)
  elseif
    (answer.status >= 400 and answer.status < 500)
    -- without it, it is HAProxy's own: nobody listens
    or (answer.status == 503 and answer.headers["retry-after"])
  then
    refuse(txn, answer.status, answer.headers, answer.body)
  else
    fail(txn)
  end
end

core.register_action("gatepost", { "http-req" }, gatepost, 1)
