// SPDX-License-Identifier: Apache-2.0
// jansson: text to values and back, a variadic function, an allocator and a writer of the host's.
#include "world.h"

extern "C" {
struct json_t;
struct json_error_t {
	int line, column, position;
	char source[80], text[160];
};
json_t *json_loads(const char *, size_t, json_error_t *);
char *json_dumps(const json_t *, size_t);
int json_dump_callback(const json_t *, int (*)(const char *, size_t, void *), void *, size_t);
json_t *json_object_get(const json_t *, const char *);
double json_real_value(const json_t *);
long long json_integer_value(const json_t *);
json_t *json_real(double);
int json_object_set_new(json_t *, const char *, json_t *);
void json_delete(json_t *);
void json_set_alloc_funcs(void *(*)(size_t), void (*)(void *));
json_t *json_array_get(const json_t *, size_t);
}

namespace
{

World *current;
int live;
std::string written;

void *allocate(size_t size)
{
	live++;
	return current->bytes(size);
}
void release(void *at) { live -= at != nullptr; }
int write(const char *at, size_t n, void *)
{
	written.append(at, n);
	return 0;
}
LYCH_CALLBACK(allocate, void *, (size_t));
LYCH_CALLBACK(release, void, (void *));
LYCH_CALLBACK(write, int, (const char *, size_t, void *));

} // namespace

void work_jansson(World &w)
{
	const size_t sorted = 0x80, compact = 0x20;
	json_error_t *error = w.one<json_error_t>();

	current = &w;
	CALL(json_set_alloc_funcs, w, CALLBACK(w, allocate), CALLBACK(w, release));
	json_t *value = CALL(json_loads, w, w.text("{\"b\": [1, 2.5, \"\\u00fc\", null], \"a\": {\"deep\": -7}}"), 0, error);
	w.check(value != nullptr, error->text);
	w.check(CALL(json_integer_value, w, CALL(json_object_get, w, CALL(json_object_get, w, value, w.text("a")), w.text("deep"))) == -7,
		"an integer");
	json_t *array = CALL(json_object_get, w, value, w.text("b"));
	w.check(CALL(json_real_value, w, CALL(json_array_get, w, array, 1)) == 2.5, "a real");
	w.check(CALL(json_object_set_new, w, value, w.text("pi"), CALL(json_real, w, 3.140625)) == 0, "set");
	char *text = CALL(json_dumps, w, value, sorted | compact);
	w.note("text", text);
	w.check(strcmp(text, "{\"a\":{\"deep\":-7},\"b\":[1,2.5,\"\xc3\xbc\",null],\"pi\":3.140625}") == 0, "what is known");
	written.clear();
	w.check(CALL(json_dump_callback, w, value, CALLBACK(w, write), nullptr, sorted | compact) == 0 && written == text,
		"the writer hears the same");
	CALL(json_delete, w, value);
	w.check(CALL(json_loads, w, w.text("{\"a\": [1, 2\n  oops"), 0, error) == nullptr, "what is none is refused");
	w.note("error", std::to_string(error->line) + ": " + error->text);

	json_t *packed = w.variadic<json_t *>("json_pack", static_cast<const char *>(w.text("{s:i, s:f, s:[s,b]}")),
					      static_cast<const char *>(w.text("n")), 42, static_cast<const char *>(w.text("f")), 0.25,
					      static_cast<const char *>(w.text("l")), static_cast<const char *>(w.text("x")), 1);
	w.check(packed != nullptr, "json_pack");
	text = CALL(json_dumps, w, packed, sorted | compact);
	w.check(strcmp(text, "{\"f\":0.25,\"l\":[\"x\",true],\"n\":42}") == 0, text);
	CALL(json_delete, w, packed);

	std::string many = "[";
	for (int i = 0; i < 500; i++) {
		many += "{\"id\": " + std::to_string(i) + ", \"x\": " + std::to_string(i) + ".5},";
	}
	many.back() = ']';
	value = CALL(json_loads, w, w.text(many), 0, error);
	w.check(value != nullptr, error->text);
	w.note("many", CALL(json_dumps, w, value, sorted));
	CALL(json_delete, w, value);
	w.check(live > 0, "its allocator is called");
}

Load load_jansson(World &w)
{
	std::string text = "[";
	for (int i = 0; text.size() < 200 << 10; i++) {
		text += "{\"id\": " + std::to_string(i) + ", \"name\": \"entry " + std::to_string(i) +
			"\", \"tags\": [\"one\", \"\\u00fc\", null], \"weight\": " + std::to_string(i) + ".25},";
	}
	text.back() = ']';
	json_error_t *error = w.one<json_error_t>();
	char *in = w.text(text), *copy = w.array<char>(text.size() * 2);
	size_t *n = w.one<size_t>();
	auto loads = FUNCTION(w, json_loads);
	auto dumps = FUNCTION(w, json_dumps);
	auto remove = FUNCTION(w, json_delete);
	auto release = FUNCTION(w, free);
	return {[=, &w] {
			json_t *value = loads(in, 0, error);
			w.check(value != nullptr, "json_loads");
			char *out = dumps(value, 0x20);
			w.check(out != nullptr, "json_dumps");
			*n = strlen(out);
			memcpy(copy, out, *n);
			release(out);
			remove(value);
		},
		[=, &w] { w.note("text", copy, *n); }};
}
