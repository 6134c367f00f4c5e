// SPDX-License-Identifier: Apache-2.0
// libyaml: events of a document that a handler of the host's reads.
#include "world.h"

extern "C" {
struct yaml_event { // the beginning; 104 bytes
	int type;
	void *pad[2];
	const char *value; // of a scalar
	size_t length;
	void *rest[12];
};
const char *yaml_get_version_string(void);
int yaml_parser_initialize(void *);
void yaml_parser_set_input(void *, int (*)(void *, unsigned char *, size_t, size_t *), void *);
int yaml_parser_parse(void *, yaml_event *);
void yaml_event_delete(yaml_event *);
void yaml_parser_delete(void *);
}

namespace
{

struct Source {
	std::string text;
	size_t at;
};

int read(void *source, unsigned char *to, size_t room, size_t *got)
{
	Source *s = static_cast<Source *>(source);
	*got = std::min(std::min<size_t>(room, 5), s->text.size() - s->at);
	memcpy(to, s->text.data() + s->at, *got);
	s->at += *got;
	return 1;
}
LYCH_CALLBACK(read, int, (void *, unsigned char *, size_t, size_t *));

// Types of events and values of scalars; "error" at the end of one that is none.
std::string events_of(World &w, int (*reader)(void *, unsigned char *, size_t, size_t *), const std::string &text)
{
	Source source = {text, 0};
	void *parser = w.bytes(480);
	yaml_event *event = w.one<yaml_event>();
	std::string out;
	w.check(CALL(yaml_parser_initialize, w, parser) == 1, "yaml_parser_initialize");
	CALL(yaml_parser_set_input, w, parser, reader, &source);
	for (bool last = false; !last;) {
		if (CALL(yaml_parser_parse, w, parser, event) != 1) {
			out += "error";
			break;
		}
		out += std::to_string(event->type);
		if (event->type == 6) {
			out += "(" + std::string(event->value, event->length) + ")";
		}
		out += " ";
		last = event->type == 2;
		CALL(yaml_event_delete, w, event);
	}
	CALL(yaml_parser_delete, w, parser);
	return out;
}


int read_much(void *source, unsigned char *to, size_t room, size_t *got)
{
	Source *s = static_cast<Source *>(source);
	load_callbacks++;
	*got = std::min(room, s->text.size() - s->at);
	memcpy(to, s->text.data() + s->at, *got);
	s->at += *got;
	return 1;
}
LYCH_CALLBACK(read_much, int, (void *, unsigned char *, size_t, size_t *));

} // namespace

void work_yaml(World &w)
{
	auto reader = CALLBACK(w, read);
	w.note("version", CALL(yaml_get_version_string, w));
	std::string events = events_of(w, reader, "name: [a, 'b c']\ntext: |\n  two\n  lines\n");
	w.note("events", events);
	w.check(events == "1 3 9 6(name) 7 6(a) 6(b c) 8 6(text) 6(two\nlines\n) 10 4 2 ", "the events");
	const std::string broken = events_of(w, reader, "a: [1, 2\nb: 3");
	w.note("broken", broken);
	w.check(broken.substr(broken.size() - 5) == "error", "what is none is refused");
	std::string many;
	for (int i = 0; i < 300; i++) {
		many += "- key" + std::to_string(i) + ": {x: " + std::to_string(i * i) + ", y: \"\\u00e9\"}\n";
	}
	w.note("many", events_of(w, reader, many));
}

Load load_yaml(World &w)
{
	static Source source;
	source = {};
	for (int i = 0; source.text.size() < 100 << 10; i++) {
		source.text += "- name: entry " + std::to_string(i) + "\n  place: [" + std::to_string(i * 7 % 1000) +
			       ", 5]\n  text: \"a line of words, and one more\"\n";
	}
	void *parser = w.bytes(480);
	yaml_event *event = w.one<yaml_event>();
	long *counts = w.array<long>(2);
	auto initialize = FUNCTION(w, yaml_parser_initialize);
	auto set_input = FUNCTION(w, yaml_parser_set_input);
	auto parse = FUNCTION(w, yaml_parser_parse);
	auto remove = FUNCTION(w, yaml_event_delete);
	auto free = FUNCTION(w, yaml_parser_delete);
	auto reader = CALLBACK(w, read_much);
	return {[=, &w] {
			source.at = 0;
			counts[0] = counts[1] = 0;
			w.check(initialize(parser) == 1, "yaml_parser_initialize");
			set_input(parser, reader, &source);
			for (bool last = false; !last; counts[0]++) {
				w.check(parse(parser, event) == 1, "yaml_parser_parse");
				last = event->type == 2;
				counts[1] += event->type == 6 ? static_cast<long>(event->length) : 0;
				remove(event);
			}
			free(parser);
		},
		[=, &w] {
			w.note("events", counts[0]);
			w.note("text", counts[1]);
		}};
}
