// SPDX-License-Identifier: Apache-2.0
// Lua: programs inside, a function of the host's that they call and that calls Lua, errors, an allocator of Lua's own.
#include "world.h"

extern "C" {
struct lua_State;
lua_State *luaL_newstate(void);
void luaL_openlibs(lua_State *);
int luaL_loadstring(lua_State *, const char *);
int lua_pcallk(lua_State *, int, int, int, long, int (*)(lua_State *, int, long));
const char *lua_tolstring(lua_State *, int, size_t *);
long long lua_tointegerx(lua_State *, int, int *);
double lua_tonumberx(lua_State *, int, int *);
void lua_settop(lua_State *, int);
void lua_pushcclosure(lua_State *, int (*)(lua_State *), int);
void lua_pushinteger(lua_State *, long long);
void lua_setglobal(lua_State *, const char *);
void lua_close(lua_State *);
}

namespace
{

World *current;
long calls;

int cube(lua_State *l)
{
	calls++;
	long long n = CALL(lua_tointegerx, *current, l, 1, nullptr);
	CALL(lua_pushinteger, *current, l, n * n * n);
	return 1;
}
LYCH_CALLBACK(cube, int, (lua_State *));

std::string run(World &w, lua_State *l, const char *program)
{
	int rc = CALL(luaL_loadstring, w, l, w.text(program));
	rc = rc != 0 ? rc : CALL(lua_pcallk, w, l, 0, 1, 0, 0, nullptr);
	const char *text = CALL(lua_tolstring, w, l, -1, nullptr);
	std::string out = (rc != 0 ? "error: " : "") + std::string(text != nullptr ? text : "nil");
	CALL(lua_settop, w, l, 0);
	return out;
}

} // namespace

void work_lua(World &w)
{
	current = &w;
	calls = 0;
	lua_State *l = CALL(luaL_newstate, w);
	w.check(l != nullptr, "luaL_newstate");
	CALL(luaL_openlibs, w, l);
	w.check(run(w, l, "local function f(n) if n < 2 then return n end return f(n-1) + f(n-2) end return f(18)") == "2584", "fib");
	w.check(run(w, l, "return string.format('%5.2f|%s|%d', math.pi, ('ab'):rep(3), 7 // 2)") == " 3.14|ababab|3", "format");
	w.check(run(w, l, "local t = {} for i = 1, 2000 do t[i] = (i * 7919) % 2003 end table.sort(t) return t[1] .. ',' .. t[2000]") ==
			"1,2002",
		"sort");
	w.check(run(w, l, "return (('one two'):gsub('%w+', function(s) return s:upper() end))") == "ONE TWO", "gsub");
	w.note("error", run(w, l, "local t = nil; return t.x"));
	w.note("syntax", run(w, l, "return ("));
	w.check(run(w, l, "local co = coroutine.wrap(function() for i = 1, 3 do coroutine.yield(i * 10) end end) "
			  "return co() + co() + co()") == "60",
		"coroutines");
	w.check(run(w, l, "local ok, e = pcall(error, 'thrown') return e") == "thrown", "errors are caught inside");
	w.note("no files", run(w, l, "return io.open('/nowhere/at/all') == nil and 'none' or 'one'"));
	CALL(lua_pushcclosure, w, l, CALLBACK(w, cube), 0);
	CALL(lua_setglobal, w, l, w.text("cube"));
	w.check(run(w, l, "local s = 0 for i = 1, 100 do s = s + cube(i) end return s") == "25502500", "a function of the host's");
	w.check(calls == 100, "is called a hundred times");
	w.check(CALL(luaL_loadstring, w, l, w.text("return 0.1 + 0.2")) == 0 && CALL(lua_pcallk, w, l, 0, 1, 0, 0, nullptr) == 0 &&
			CALL(lua_tonumberx, w, l, -1, nullptr) == 0.1 + 0.2,
		"a double comes back");
	CALL(lua_close, w, l);
}

Load load_lua(World &w)
{
	static const char program[] = R"(
		local function fib(n) if n < 2 then return n end return fib(n - 1) + fib(n - 2) end
		local words, seen = {}, {}
		for i = 1, 4000 do
			local word = string.format('%x', (i * 7919) % 4093)
			words[i] = word
			seen[word] = (seen[word] or 0) + 1
		end
		table.sort(words)
		local text = table.concat(words, ' ')
		local n = 0
		for a, b in text:gmatch('(%d+)(%a+)') do n = n + #a * #b end
		return fib(20) .. ' ' .. words[1] .. ' ' .. n .. ' ' .. #text:gsub('%a', string.upper)
	)";
	const char *in = w.text(program);
	char *copy = w.array<char>(200);
	auto create = FUNCTION(w, luaL_newstate);
	auto libraries = FUNCTION(w, luaL_openlibs);
	auto load = FUNCTION(w, luaL_loadstring);
	auto call = FUNCTION(w, lua_pcallk);
	auto string = FUNCTION(w, lua_tolstring);
	auto close = FUNCTION(w, lua_close);
	return {[=, &w] {
			lua_State *l = create();
			libraries(l);
			int rc = load(l, in);
			rc = rc != 0 ? rc : call(l, 0, 1, 0, 0, nullptr);
			strncpy(copy, string(l, -1, nullptr), 199);
			w.check(rc == 0, copy);
			close(l);
		},
		[=, &w] { w.note("result", copy); }};
}
