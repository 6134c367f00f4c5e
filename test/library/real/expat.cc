// SPDX-License-Identifier: Apache-2.0
// expat: events to handlers of the host's, in pieces; an error with its place.
#include "world.h"

extern "C" {
struct XML_ParserStruct;
XML_ParserStruct *XML_ParserCreate(const char *);
void XML_SetElementHandler(XML_ParserStruct *, void (*)(void *, const char *, const char **), void (*)(void *, const char *));
void XML_SetCharacterDataHandler(XML_ParserStruct *, void (*)(void *, const char *, int));
void XML_SetUserData(XML_ParserStruct *, void *);
int XML_Parse(XML_ParserStruct *, const char *, int, int);
int XML_GetErrorCode(XML_ParserStruct *);
const char *XML_ErrorString(int);
unsigned long XML_GetCurrentLineNumber(XML_ParserStruct *);
void XML_ParserFree(XML_ParserStruct *);
}

namespace
{

std::string seen;

void begin(void *, const char *name, const char **attributes)
{
	seen += "<" + std::string(name);
	for (; *attributes != nullptr; attributes += 2) {
		seen += " " + std::string(attributes[0]) + "=" + attributes[1];
	}
	seen += ">";
}
void end(void *, const char *name) { seen += "</" + std::string(name) + ">"; }
void text(void *, const char *at, int n) { seen.append(at, static_cast<size_t>(n)); }

LYCH_CALLBACK(begin, void, (void *, const char *, const char **));
LYCH_CALLBACK(end, void, (void *, const char *));
LYCH_CALLBACK(text, void, (void *, const char *, int));


unsigned long counted;
void count_begin(void *, const char *, const char **attributes)
{
	load_callbacks++;
	counted += attributes[0] != nullptr;
}
void count_end(void *, const char *) { load_callbacks++; }
void count_text(void *, const char *, int n)
{
	load_callbacks++;
	counted += static_cast<unsigned long>(n);
}
LYCH_CALLBACK(count_begin, void, (void *, const char *, const char **));
LYCH_CALLBACK(count_end, void, (void *, const char *));
LYCH_CALLBACK(count_text, void, (void *, const char *, int));

} // namespace

void work_expat(World &w)
{
	const std::string document = "<?xml version='1.0' encoding='ISO-8859-1'?><!DOCTYPE a [<!ENTITY e 'an &#38;#60;entity>'>]>\n"
				     "<a x='1' y='&lt;'>t\xe4xt &e;<b/><![CDATA[<raw>]]></a>";
	XML_ParserStruct *p = CALL(XML_ParserCreate, w, nullptr);
	w.check(p != nullptr, "XML_ParserCreate");
	auto begin_pointer = CALLBACK(w, begin);
	auto end_pointer = CALLBACK(w, end);
	auto text_pointer = CALLBACK(w, text);
	CALL(XML_SetElementHandler, w, p, begin_pointer, end_pointer);
	CALL(XML_SetCharacterDataHandler, w, p, text_pointer);
	char *in = w.text(document);
	seen.clear();
	for (size_t at = 0; at < document.size(); at += 7) {
		int n = static_cast<int>(std::min<size_t>(7, document.size() - at));
		w.check(CALL(XML_Parse, w, p, in + at, n, at + 7 >= document.size()) == 1, "XML_Parse");
	}
	CALL(XML_ParserFree, w, p);
	w.note("events", seen);
	w.check(seen == "<a x=1 y=<>t\xc3\xa4xt an <entity><b></b><raw></a>", "the events");

	std::string many = "<list>";
	for (int i = 0; i < 2000; i++) {
		many += "<item n='" + std::to_string(i) + "'>value</item>\n";
	}
	many += "</list>";
	p = CALL(XML_ParserCreate, w, w.text("UTF-8"));
	CALL(XML_SetElementHandler, w, p, begin_pointer, end_pointer);
	seen.clear();
	w.check(CALL(XML_Parse, w, p, w.text(many), static_cast<int>(many.size()), 1) == 1, "a longer one");
	w.note("many events", seen);
	CALL(XML_ParserFree, w, p);

	p = CALL(XML_ParserCreate, w, nullptr);
	w.check(CALL(XML_Parse, w, p, w.text("<a>\n\n<b></a>"), 12, 1) == 0, "what does not nest is refused");
	w.check(CALL(XML_GetErrorCode, w, p) == 7 && CALL(XML_GetCurrentLineNumber, w, p) == 3, "where");
	w.note("error", CALL(XML_ErrorString, w, 7));
	CALL(XML_ParserFree, w, p);
}

Load load_expat(World &w)
{
	std::string document = "<list>";
	for (int i = 0; document.size() < 200 << 10; i++) {
		document += "<item n='" + std::to_string(i) + "' kind='ordinary'>some text, as long as a line of a table is</item>\n";
	}
	document += "</list>";
	char *in = w.text(document), *encoding = w.text("UTF-8");
	int bytes = static_cast<int>(document.size());
	auto create = FUNCTION(w, XML_ParserCreate);
	auto elements = FUNCTION(w, XML_SetElementHandler);
	auto characters = FUNCTION(w, XML_SetCharacterDataHandler);
	auto parse = FUNCTION(w, XML_Parse);
	auto free = FUNCTION(w, XML_ParserFree);
	auto on_begin = CALLBACK(w, count_begin);
	auto on_end = CALLBACK(w, count_end);
	auto on_text = CALLBACK(w, count_text);
	return {[=, &w] {
			XML_ParserStruct *p = create(encoding);
			elements(p, on_begin, on_end);
			characters(p, on_text);
			counted = 0;
			w.check(parse(p, in, bytes, 1) == 1, "XML_Parse");
			free(p);
		},
		[&w] { w.note("counted", static_cast<long>(counted)); }};
}
