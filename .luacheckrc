-- Scripts as Redis runs them: scripts/lua.py puts them together from their parts, so that each has more than it uses.
std = "lua51"
read_globals = { "redis", "cjson", "bit", "KEYS", "ARGV" }
-- Unused functions, values and variables of the parts in front.
ignore = { "211", "212", "221", "231", "311" }
max_line_length = false
