// SPDX-License-Identifier: Apache-2.0
// libxml2: trees, XPath, errors to a function of the host's, written by way of another; entities that would blow up.
#include "world.h"

extern "C" {
struct xmlDoc;
struct xmlXPathContext;
struct xmlXPathObject;
struct xmlOutputBuffer;
struct xmlError { // the beginning
	int domain, code;
	char *message;
	int level;
	char *file;
	int line;
};
void xmlInitParser(void);
void xmlCleanupParser(void);
xmlDoc *xmlReadMemory(const char *, int, const char *, const char *, int);
void xmlFreeDoc(xmlDoc *);
xmlXPathContext *xmlXPathNewContext(xmlDoc *);
xmlXPathObject *xmlXPathEvalExpression(const uint8_t *, xmlXPathContext *);
double xmlXPathCastToNumber(xmlXPathObject *);
uint8_t *xmlXPathCastToString(xmlXPathObject *);
void xmlXPathFreeObject(xmlXPathObject *);
void xmlXPathFreeContext(xmlXPathContext *);
void *xmlFindCharEncodingHandler(const char *);
xmlOutputBuffer *xmlOutputBufferCreateIO(int (*)(void *, const char *, int), int (*)(void *), void *, void *);
int xmlSaveFormatFileTo(xmlOutputBuffer *, xmlDoc *, const char *, int);
void xmlSetStructuredErrorFunc(void *, void (*)(void *, xmlError *));
void xmlDocDumpMemory(xmlDoc *, uint8_t **, int *);
}

namespace
{

std::string written, said;

int write(void *, const char *at, int n)
{
	written.append(at, static_cast<size_t>(n));
	return n;
}
int close(void *) { return 0; }
void tell(void *, xmlError *e) { said += std::to_string(e->code) + " in line " + std::to_string(e->line) + ": " + e->message; }
LYCH_CALLBACK(write, int, (void *, const char *, int));
LYCH_CALLBACK(close, int, (void *));
LYCH_CALLBACK(tell, void, (void *, xmlError *));

} // namespace

void work_xml2(World &w)
{
	const int no_entities_limit = 0, substitute = 2, no_network = 2048;
	const std::string text = "<?xml version=\"1.0\"?>\n<!DOCTYPE shop [<!ENTITY c \"&#169; us\">]>\n<shop xmlns:p='urn:p'>"
				 "<item n='1' price='2.5'>tea</item><item n='2' price='4'>caf\xc3\xa9 &c;</item><p:x/></shop>\n";
	CALL(xmlInitParser, w);
	said.clear();
	CALL(xmlSetStructuredErrorFunc, w, nullptr, CALLBACK(w, tell));
	auto read = [&](const std::string &document, int options) {
		return CALL(xmlReadMemory, w, w.text(document), static_cast<int>(document.size()), w.text("it.xml"), nullptr, options);
	};
	xmlDoc *doc = read(text, substitute | no_network | no_entities_limit);
	w.check(doc != nullptr, "xmlReadMemory");
	xmlXPathContext *context = CALL(xmlXPathNewContext, w, doc);
	auto value = [&](const char *expression) {
		return CALL(xmlXPathEvalExpression, w, reinterpret_cast<uint8_t *>(w.text(expression)), context);
	};
	w.check(CALL(xmlXPathCastToNumber, w, value("sum(//item/@price)")) == 6.5, "a sum");
	w.check(CALL(xmlXPathCastToNumber, w, value("count(/shop/*)")) == 3, "a count");
	uint8_t *name = CALL(xmlXPathCastToString, w, value("//item[@n = 2]"));
	w.check(strcmp(reinterpret_cast<char *>(name), "caf\xc3\xa9 \xc2\xa9 us") == 0, "text with an entity");
	CALL(xmlXPathFreeContext, w, context);
	written.clear();
	void *latin = CALL(xmlFindCharEncodingHandler, w, w.text("ISO-8859-1"));
	xmlOutputBuffer *out = CALL(xmlOutputBufferCreateIO, w, CALLBACK(w, write), CALLBACK(w, close), nullptr, latin);
	w.check(CALL(xmlSaveFormatFileTo, w, out, doc, w.text("ISO-8859-1"), 1) > 0, "xmlSaveFormatFileTo");
	w.note("written", written);
	w.check(written.find("caf\xe9") != std::string::npos, "in Latin 1");
	CALL(xmlFreeDoc, w, doc);
	w.check(said.empty(), said.c_str());

	w.check(read("<a>\n<b></a>", 0) == nullptr, "what does not nest is refused");
	w.note("said", said);
	w.check(said.find("76 in line 2") == 0, "where");
	std::string bomb = "<!DOCTYPE l [<!ENTITY a \"aaaaaaaaaa\">";
	for (char c = 'b'; c <= 'k'; c++) {
		bomb += std::string("<!ENTITY ") + c + " \"";
		for (int i = 0; i < 10; i++) {
			bomb += std::string("&") + static_cast<char>(c - 1) + ";";
		}
		bomb += "\">";
	}
	said.clear();
	w.check(read(bomb + "]><l>&k;</l>", substitute) == nullptr, "a bomb is refused");
	w.note("said", said);
	// A file that it must not have: there is none, or the domain does not get it.
	said.clear();
	doc = read("<!DOCTYPE l [<!ENTITY f SYSTEM \"file:///nowhere/at/all\">]><l>&f;</l>", substitute | no_network);
	w.check(!said.empty(), "an entity outside");
	std::string many = "<list>";
	for (int i = 0; i < 3000; i++) {
		many += "<i v='" + std::to_string(i) + "'>" + std::to_string(i * i) + "</i>";
	}
	doc = read(many + "</list>", 0);
	context = CALL(xmlXPathNewContext, w, doc);
	w.check(CALL(xmlXPathCastToNumber, w, value("sum(//i/@v)")) == 4498500, "three thousand");
	CALL(xmlXPathFreeContext, w, context);
	CALL(xmlFreeDoc, w, doc);
	CALL(xmlCleanupParser, w);
}

Load load_xml2(World &w)
{
	std::string document = "<list>";
	for (int i = 0; document.size() < 200 << 10; i++) {
		document += "<item n='" + std::to_string(i) + "' kind='ordinary'>some text, as long as a line of a table is</item>\n";
	}
	document += "</list>";
	char *in = w.text(document), *name = w.text("it.xml");
	const int bytes = static_cast<int>(document.size());
	const uint8_t *expression = reinterpret_cast<uint8_t *>(w.text("sum(//item[@n mod 2 = 1]/@n)"));
	double *sum = w.one<double>();
	int *n = w.one<int>();
	uint8_t **out = w.one<uint8_t *>();
	CALL(xmlInitParser, w);
	auto read = FUNCTION(w, xmlReadMemory);
	auto context_of = FUNCTION(w, xmlXPathNewContext);
	auto evaluate = FUNCTION(w, xmlXPathEvalExpression);
	auto number = FUNCTION(w, xmlXPathCastToNumber);
	auto free_object = FUNCTION(w, xmlXPathFreeObject);
	auto free_context = FUNCTION(w, xmlXPathFreeContext);
	auto dump = FUNCTION(w, xmlDocDumpMemory);
	auto free_doc = FUNCTION(w, xmlFreeDoc);
	auto release = FUNCTION(w, free);
	return {[=, &w] {
			xmlDoc *doc = read(in, bytes, name, nullptr, 0);
			w.check(doc != nullptr, "xmlReadMemory");
			xmlXPathContext *context = context_of(doc);
			xmlXPathObject *object = evaluate(expression, context);
			*sum = number(object);
			free_object(object);
			free_context(context);
			dump(doc, out, n);
			release(*out);
			free_doc(doc);
		},
		[=, &w] {
			w.note("sum", static_cast<long>(*sum));
			w.note("written", static_cast<long>(*n));
		}};
}
