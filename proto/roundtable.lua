-- Wireshark dissector of the Roundtable signalling protocol, version 1 (SPEC.md beside this file).
--
--   wireshark -X lua_script:proto/roundtable.lua capture.pcapng
--   tshark -X lua_script:proto/roundtable.lua -r capture.pcapng -Y 'roundtable.offer == 3ed9de24-c827-44ed-a825-f1041fb6b1e7'
--
-- It checks a datagram as SPEC 2 says, in that order: the field roundtable.invalid names what is wrong as the
-- vectors do. What a capture has not kept is taken for sent: a capture may cut blobs. Every call (offer id) has a number, and each of its frames links to the first one.

local protocol = Proto("roundtable", "Roundtable signalling")

local PORT, HEADER, DATAGRAM_MAX = 1066, 4, 1180
local FRAGMENT, BLOB_MAX = 1024, 65536

-- SPEC 4. A field is name, size, type; a blob has no size, it is the rest.
local TOKEN, IDENTIFIER, ADDRESS = { 16, "bytes" }, { 32, "identifier" }, { 19, "address" }
local session, transaction, token = { "session", TOKEN }, { "transaction", TOKEN }, { "token", TOKEN }
local offer, observed, blob = { "offer", { 16, "offer" } }, { "observed", ADDRESS }, { "blob", { nil, "blob" } }
local digest, length, index = { "digest", { 8, "bytes" } }, { "length", { 4, "number" } }, { "index", { 1, "number" } }

local function zero(size) return { "zero", { size, "zero" } } end
local function number(name, size) return { name, { size, "number" } } end

local keepalive, unregister = { session, transaction, observed }, { session, transaction, zero(19) }
local ack = { session, offer, { "kind", { 1, "acknowledged" } }, { "bitmap", { 8, "bitmap" } }, zero(10) }
local sent = { session, offer, { "target", IDENTIFIER }, digest, length, index, zero(47), blob }
local relayed = { session, offer, { "source", IDENTIFIER }, observed, digest, length, index, blob }

local KINDS = {
    [0x01] = { "PING", { transaction, zero(19) } },
    [0x02] = { "REGISTER", { session, transaction, { "identifier", IDENTIFIER }, { "cookie", TOKEN },
        { "ticket", TOKEN }, { "server", ADDRESS }, { "signature", { 64, "bytes" } } } },
    [0x04] = { "KEEPALIVE", keepalive },
    [0x05] = { "UNREGISTER", unregister },
    [0x06] = { "OFFER", sent },
    [0x07] = { "ANSWER", sent },
    [0x08] = { "CANDIDATE", sent },
    [0x09] = { "ACK", ack },
    [0x0A] = { "PUNCH", { session, offer, zero(106) } },
    [0x40] = { "PROBE", { offer, { "tag", TOKEN }, transaction, { "nominate", { 1, "flag" } }, zero(18) } },
    [0x41] = { "PROBE_REPLY", { offer, { "tag", TOKEN }, transaction, observed } },
    [0x81] = { "PONG", { transaction, observed } },
    [0x82] = { "REGISTERED", { session, transaction, observed, number("ttl", 4), number("timeout", 4),
        number("maxblob", 4), { "ticket", TOKEN } } },
    [0x83] = { "CHALLENGE", { { "reference", TOKEN }, { "cookie", TOKEN }, observed } },
    [0x84] = { "KEEPALIVE_REPLY", keepalive },
    [0x85] = { "UNREGISTERED", unregister },
    [0x86] = { "RELAYED_OFFER", relayed },
    [0x87] = { "RELAYED_ANSWER", relayed },
    [0x88] = { "RELAYED_CANDIDATE", relayed },
    [0x89] = { "RELAYED_ACK", ack },
    [0x8A] = { "PUNCH_NOW", { session, offer, { "peer", ADDRESS }, token } },
    [0x8F] = { "ERROR", { { "reference", TOKEN }, number("code", 2), number("kind", 1), number("detail", 1),
        number("retry_after", 4) } },
}
local CANDIDATES = { [0x08] = true, [0x88] = true }
-- An answer without a blob declines.
local ANSWERS = { [0x07] = true, [0x87] = true }
local ERROR = 0x8F

-- SPEC 9.
local CODES = {
    [1] = "MALFORMED", [2] = "UNKNOWN_KIND", [3] = "VERSION", [4] = "IDENTIFIER_TAKEN", [5] = "IDENTIFIER_REFUSED",
    [6] = "BAD_SIGNATURE", [7] = "SERVER_FULL", [8] = "PEER_UNKNOWN", [9] = "OFFER_UNKNOWN", [10] = "OFFER_CONFLICT",
    [11] = "NOT_PERMITTED", [12] = "TOO_MANY_OFFERS", [13] = "BLOB_TOO_LARGE", [14] = "TIMEOUT", [15] = "RATE_LIMITED",
    [16] = "OFFER_TO_SELF", [17] = "WRONG_SERVER",
}

local NAMES = {}
for value, kind in pairs(KINDS) do NAMES[value] = kind[1] end

local fields = {
    magic = ProtoField.string("roundtable.magic", "Magic"),
    version = ProtoField.uint8("roundtable.version", "Version"),
    type = ProtoField.uint8("roundtable.type", "Kind of this frame", base.HEX, NAMES),
    offer = ProtoField.guid("roundtable.offer", "Offer id"),
    bitmap = ProtoField.uint64("roundtable.bitmap", "Arrived", base.HEX),
    kind = ProtoField.uint8("roundtable.kind", "Kind referred to", base.HEX, NAMES),
    code = ProtoField.uint16("roundtable.code", "Error code", base.DEC, CODES),
    ttl = ProtoField.uint32("roundtable.ttl", "Time to live (ms)"),
    timeout = ProtoField.uint32("roundtable.timeout", "Timeout of an offer (ms)"),
    maxblob = ProtoField.uint32("roundtable.maxblob", "Largest blob (bytes)"),
    length = ProtoField.uint32("roundtable.length", "Whole blob (bytes)"),
    index = ProtoField.uint8("roundtable.index", "Index"),
    nominate = ProtoField.uint8("roundtable.nominate", "Nominate"),
    detail = ProtoField.uint8("roundtable.detail", "Detail"),
    retry_after = ProtoField.uint32("roundtable.retry_after", "Retry after (ms; 0: never)"),
    call = ProtoField.uint32("roundtable.call", "Call number"),
    first = ProtoField.framenum("roundtable.first", "First frame of this call"),
    invalid = ProtoField.string("roundtable.invalid", "Invalid"),
}
for _, name in ipairs({ "session", "transaction", "reference", "cookie", "ticket", "token", "tag", "identifier", "target",
    "source", "signature", "digest", "zero", "blob" }) do
    fields[name] = ProtoField.bytes("roundtable." .. name, name:sub(1, 1):upper() .. name:sub(2))
end
for _, name in ipairs({ "observed", "server", "peer" }) do
    local path, label = "roundtable." .. name, name:sub(1, 1):upper() .. name:sub(2) .. " address"
    fields[name] = ProtoField.string(path, label)
    fields[name .. "_ipv4"] = ProtoField.ipv4(path .. ".ipv4", "IPv4")
    fields[name .. "_ipv6"] = ProtoField.ipv6(path .. ".ipv6", "IPv6")
    fields[name .. "_port"] = ProtoField.uint16(path .. ".port", "Port")
end
protocol.fields = fields

local refused = ProtoExpert.new("roundtable.refused", "Refusal or notice of the server", expert.group.RESPONSE_CODE,
    expert.severity.WARN)
local invalid = ProtoExpert.new("roundtable.not_valid", "Not a valid frame", expert.group.MALFORMED,
    expert.severity.ERROR)
protocol.experts = { refused, invalid }

-- Calls in the order of their first frame, by offer id.
local calls, count = {}, 0
function protocol.init() calls, count = {}, 0 end

local function all_zero(range) return not range:bytes():tohex():find("[^0]") end

local function address_is_valid(range)
    local family = range(0, 1):uint()
    if family == 4 then return all_zero(range(5, 12)) end
    if family == 6 then return range(1, 12):bytes():tohex():lower() ~= "00000000000000000000ffff" end
    return family == 0 and all_zero(range)
end

-- What SPEC 3 forbids, by type of field.
local VALID = {
    bytes = function() return true end,
    number = function() return true end,
    zero = all_zero,
    flag = function(range) return range:uint() <= 1 end,
    bitmap = function(range) return not all_zero(range) end,
    offer = function(range) return not all_zero(range) end,
    identifier = function(range) return not all_zero(range) end,
    acknowledged = function(range) return range:uint() >= 0x06 and range:uint() <= 0x08 end,
    address = address_is_valid,
}

local function address_text(range)
    local family, port = range(0, 1):uint(), range(17, 2):uint()
    if family == 4 then return ("%s:%d"):format(range(1, 4):ipv4(), port) end
    if family == 6 then return ("[%s]:%d"):format(range(1, 16):ipv6(), port) end
    return "none"
end

local function add_address(tree, name, range)
    local item = tree:add(fields[name], range, address_text(range))
    local family = range(0, 1):uint()
    if family == 4 then item:add(fields[name .. "_ipv4"], range(1, 4)) end
    if family == 6 then item:add(fields[name .. "_ipv6"], range(1, 16)) end
    if family ~= 0 then item:add(fields[name .. "_port"], range(17, 2)) end
end

-- Bytes of the blob in this frame, or the field of the header that forbids it. SPEC 7
local function blob_size(kind, length_value, index_value)
    local largest = CANDIDATES[kind] and FRAGMENT or BLOB_MAX
    if length_value > largest or length_value == 0 and not ANSWERS[kind] then return nil, "length" end
    if CANDIDATES[kind] then
        if index_value >= 64 then return nil, "index" end
        return length_value
    end
    if index_value > 0 and index_value * FRAGMENT >= length_value then return nil, "index" end
    return math.min(FRAGMENT, length_value - index_value * FRAGMENT)
end

-- The error that SPEC 2 names for this header, if any.
local function header_error(buffer)
    local had = buffer:reported_len()
    if had < HEADER then return "truncated: " .. (had < 2 and "magic" or had < 3 and "version" or "kind") end
    if buffer(0, 2):string() ~= "RT" then return "bad_magic" end
    if buffer(2, 1):uint() ~= 1 then return "bad_version" end
    if not KINDS[buffer(3, 1):uint()] then return "unknown_kind" end
    if had > DATAGRAM_MAX then return "oversized" end
end

-- Shows the fields that are whole; returns their ranges by name, the first error, and where the body ends.
local function add_fields(tree, buffer, layout)
    local ranges, at, forbidden = {}, HEADER, nil
    for _, field in ipairs(layout) do
        local name, size, kind = field[1], field[2][1], field[2][2]
        if kind == "blob" then break end
        if at + size > buffer:reported_len() then return ranges, "truncated: " .. name, buffer:len() end
        if at + size > buffer:len() then return ranges, forbidden, buffer:reported_len() end
        local range = buffer(at, size)
        ranges[name], at = range, at + size
        if kind == "address" then add_address(tree, name, range) else tree:add(fields[name], range) end
        if not forbidden and not VALID[kind](range) then forbidden = "bad_field: " .. name end
    end
    return ranges, forbidden, at
end

local function body_error(kind, ranges, forbidden, buffer, at)
    local has_blob = KINDS[kind][2][#KINDS[kind][2]] == blob
    local had = buffer:reported_len()
    if not has_blob and had > at then return "trailing" end
    if forbidden or not has_blob or not ranges.length or not ranges.index then return forbidden end
    local need, field = blob_size(kind, ranges.length:uint(), ranges.index:uint())
    if not need then return "bad_field: " .. field end
    if had - at < need then return "truncated: blob" end
    if had - at > need then return "trailing" end
end

local function add_call(tree, range, pinfo)
    local id = range:bytes():tohex()
    if not calls[id] then
        count = count + 1
        calls[id] = { number = count, first = pinfo.number }
    end
    tree:add(fields.call, calls[id].number):set_generated()
    if calls[id].first ~= pinfo.number then tree:add(fields.first, calls[id].first):set_generated() end
end

local function summary(kind, ranges)
    local text = NAMES[kind]
    if kind == ERROR and ranges.code then
        local code = ranges.code:uint()
        text = ("%s %s"):format(text, CODES[code] or code)
    end
    if ranges.index then
        text = ("%s index %d of %d bytes"):format(text, ranges.index:uint(), ranges.length and ranges.length:uint() or 0)
    end
    return text
end

local function refuse(tree, pinfo, error)
    tree:add(fields.invalid, error):set_generated()
    tree:add_proto_expert_info(invalid, "Not a valid frame: " .. error)
    pinfo.cols.info:append(" [" .. error .. "]")
end

function protocol.dissector(buffer, pinfo, root)
    pinfo.cols.protocol = "RT"
    local tree = root:add(protocol, buffer())
    local error = header_error(buffer)
    if buffer:len() >= 2 then tree:add(fields.magic, buffer(0, 2)) end
    if buffer:len() >= 3 then tree:add(fields.version, buffer(2, 1)) end
    if buffer:len() >= 4 then tree:add(fields.type, buffer(3, 1)) end
    pinfo.cols.info = "Roundtable"
    if error then
        refuse(tree, pinfo, error)
        return buffer:len()
    end
    local kind = buffer(3, 1):uint()
    local ranges, forbidden, at = add_fields(tree, buffer, KINDS[kind][2])
    if at < buffer:len() then tree:add(fields.blob, buffer(at)) end
    pinfo.cols.info = summary(kind, ranges)
    if ranges.offer then add_call(tree, ranges.offer, pinfo) end
    if kind == ERROR and ranges.code then
        tree:add_proto_expert_info(refused, summary(kind, ranges))
    end
    error = body_error(kind, ranges, forbidden, buffer, at)
    if error then refuse(tree, pinfo, error) end
    return buffer:len()
end

DissectorTable.get("udp.port"):add(PORT, protocol)
-- Servers on other ports, and probes between peers.
protocol:register_heuristic("udp", function(buffer, pinfo, root)
    if header_error(buffer) then return false end
    protocol.dissector(buffer, pinfo, root)
    return true
end)
