// SPDX-License-Identifier: Apache-2.0
// SQLite: a database in memory, rows to a function of the host's, and one that SQL calls.
#include "world.h"

extern "C" {
struct sqlite3;
struct sqlite3_context;
struct sqlite3_value;
int sqlite3_open(const char *, sqlite3 **);
int sqlite3_exec(sqlite3 *, const char *, int (*)(void *, int, char **, char **), void *, char **);
int sqlite3_create_function_v2(sqlite3 *, const char *, int, int, void *, void (*)(sqlite3_context *, int, sqlite3_value **),
			       void (*)(sqlite3_context *, int, sqlite3_value **), void (*)(sqlite3_context *), void (*)(void *));
double sqlite3_value_double(sqlite3_value *);
void sqlite3_result_double(sqlite3_context *, double);
unsigned char *sqlite3_serialize(sqlite3 *, const char *, long long *, unsigned);
const char *sqlite3_libversion(void);
int sqlite3_close(sqlite3 *);
}

namespace
{

World *current;
std::string rows;

int row(void *, int n, char **values, char **)
{
	for (int i = 0; i < n; i++) {
		rows += std::string(i > 0 ? "|" : "") + (values[i] != nullptr ? values[i] : "NULL");
	}
	rows += ";";
	return 0;
}
void half(sqlite3_context *context, int, sqlite3_value **values)
{
	CALL(sqlite3_result_double, *current, context, CALL(sqlite3_value_double, *current, values[0]) / 2);
}
LYCH_CALLBACK(row, int, (void *, int, char **, char **));
LYCH_CALLBACK(half, void, (sqlite3_context *, int, sqlite3_value **));


long counted_rows, counted_bytes;
int count_row(void *, int n, char **values, char **)
{
	load_callbacks++;
	counted_rows++;
	for (int i = 0; i < n; i++) {
		counted_bytes += static_cast<long>(strlen(values[i]));
	}
	return 0;
}
LYCH_CALLBACK(count_row, int, (void *, int, char **, char **));

} // namespace

void work_sqlite(World &w)
{
	sqlite3 **db = w.one<sqlite3 *>();
	char **error = w.one<char *>();
	auto on_row = CALLBACK(w, row);
	auto sql = [&](const char *text) {
		rows.clear();
		int rc = CALL(sqlite3_exec, w, *db, w.text(text), on_row, nullptr, error);
		return rc == 0 ? rows : std::string("error ") + *error;
	};

	current = &w;
	w.note("version", CALL(sqlite3_libversion, w));
	w.check(CALL(sqlite3_open, w, w.text(":memory:"), db) == 0, "sqlite3_open");
	w.check(CALL(sqlite3_create_function_v2, w, *db, w.text("half"), 1, 1, nullptr, CALLBACK(w, half), nullptr, nullptr, nullptr) == 0,
		"a function of the host's");
	w.check(sql("CREATE TABLE t(id INTEGER PRIMARY KEY, name TEXT, x REAL); CREATE INDEX i ON t(name)") == "", "a table");
	w.check(sql("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i < 1000) "
		    "INSERT INTO t SELECT i, 'name' || (i % 17), i * 0.5 FROM n") == "",
		"a thousand rows");
	w.check(sql("SELECT count(*), sum(id), sum(x), min(name), max(name) FROM t") == "1000|500500|250250.0|name0|name9;", rows.c_str());
	w.check(sql("SELECT half(id) FROM t WHERE id IN (3, 10)") == "1.5;5.0;", rows.c_str());
	w.note("groups", sql("SELECT name, count(*), sum(id) FROM t GROUP BY name ORDER BY name"));
	w.check(sql("BEGIN; DELETE FROM t WHERE id > 500; ROLLBACK; SELECT count(*) FROM t") == "1000;", "rolled back");
	w.check(sql("PRAGMA integrity_check") == "ok;", rows.c_str());
	w.check(sql("SELECT hex(zeroblob(4)), printf('%.3f', 2.0/3), json_extract('{\"a\":[1,2]}', '$.a[1]')") == "00000000|0.667|2;",
		rows.c_str());
	w.note("error", sql("SELECT nothing FROM nowhere"));
	long long *n = w.one<long long>();
	unsigned char *image = CALL(sqlite3_serialize, w, *db, w.text("main"), n, 0);
	w.check(image != nullptr && memcmp(image, "SQLite format 3", 16) == 0, "a database file");
	w.note("database", image, static_cast<size_t>(*n));
	w.check(CALL(sqlite3_close, w, *db) == 0, "sqlite3_close");
}

Load load_sqlite(World &w)
{
	std::string text = "CREATE TABLE t(id INTEGER PRIMARY KEY, name TEXT, x REAL); CREATE INDEX i ON t(name); BEGIN;";
	for (int i = 1; i <= 1500; i++) {
		text += "INSERT INTO t VALUES(" + std::to_string(i) + ", 'name" + std::to_string(i * 7919 % 501) + "', " + std::to_string(i) +
			".5);";
	}
	text += "COMMIT;";
	for (int i = 1; i <= 300; i++) {
		text += "SELECT id, x FROM t WHERE name = 'name" + std::to_string(i) + "' ORDER BY x;";
	}
	for (int i = 1; i <= 199; i++) {
		text += "UPDATE t SET x = x * 2 WHERE id = " + std::to_string(i * 5) + ";";
	}
	text += "SELECT sum(x), count(DISTINCT name) FROM t";
	sqlite3 **db = w.one<sqlite3 *>();
	char *in = w.text(text), *name = w.text(":memory:");
	auto open = FUNCTION(w, sqlite3_open);
	auto run = FUNCTION(w, sqlite3_exec);
	auto close = FUNCTION(w, sqlite3_close);
	auto on_row = CALLBACK(w, count_row);
	return {[=, &w] {
			counted_rows = counted_bytes = 0;
			w.check(open(name, db) == 0, "sqlite3_open");
			w.check(run(*db, in, on_row, nullptr, nullptr) == 0, "sqlite3_exec");
			w.check(close(*db) == 0, "sqlite3_close");
		},
		[&w] {
			w.note("rows", counted_rows);
			w.note("bytes", counted_bytes);
		}};
}
