/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libspatialite7: the table of the EPSG's coordinate systems, which is built when one of them is inserted. Two
 * instructions that load the address of a text hold it.
 */
#include "program.h"

struct sqlite3;

static char row[8192];

static int on_row(void *ctx, int n, char **values, char **names)
{
	(void)ctx;
	(void)names;
	row[0] = '\0';
	for (int i = 0; i < n; i++) {
		snprintf(row + strlen(row), sizeof(row) - strlen(row), "%s|", values[i] != NULL ? values[i] : "");
	}
	return 0;
}

static void calls(void *library)
{
	int (*open)(const char *, struct sqlite3 **) = symbol(library, "sqlite3_open");
	int (*exec)(struct sqlite3 *, const char *, int (*)(void *, int, char **, char **), void *, char **) =
		symbol(library, "sqlite3_exec");
	int (*close)(struct sqlite3 *) = symbol(library, "sqlite3_close");
	void *(*alloc)(void) = symbol(library, "spatialite_alloc_connection");
	void (*init)(struct sqlite3 *, void *, int) = symbol(library, "spatialite_init_ex");
	void (*cleanup)(const void *) = symbol(library, "spatialite_cleanup_ex");
	int (*insert)(struct sqlite3 *, int) = symbol(library, "insert_epsg_srid");
	/* of the EPSG's registry */
	static const struct {
		int srid;
		const char *name;
	} systems[] = {{4326, "WGS 84"}, {3857, "WGS 84 / Pseudo-Mercator"}, {27700, "OSGB 1936 / British National Grid"},
		       {2154, "RGF93 / Lambert-93"}, {25832, "ETRS89 / UTM zone 32N"}, {32633, "WGS 84 / UTM zone 33N"}};
	struct sqlite3 *db = NULL;
	void *connection = alloc();
	char query[128];

	if (open(":memory:", &db) != 0) {
		unexpected("no database");
	}
	init(db, connection, 0);
	if (exec(db, "SELECT InitSpatialMetaData(1, 'NONE')", on_row, NULL, NULL) != 0) {
		unexpected("no metadata");
	}
	known_answer("metadata", row, strlen(row), "317c");
	for (size_t i = 0; i < sizeof(systems) / sizeof(systems[0]); i++) {
		known_number("inserted", (uint64_t)insert(db, systems[i].srid), 1);
		snprintf(query, sizeof(query), "SELECT ref_sys_name, proj4text, srtext FROM spatial_ref_sys WHERE srid = %d",
			 systems[i].srid);
		row[0] = '\0';
		exec(db, query, on_row, NULL, NULL);
		known_number("its name", strncmp(row, systems[i].name, strlen(systems[i].name)) == 0 &&
						 row[strlen(systems[i].name)] == '|', 1);
		answer(row, strlen(row));
	}
	for (int i = 0; i < 10; i++) {
		int srid = 2000 + (int)(random_number() % 1000);
		int rc = insert(db, srid);

		snprintf(query, sizeof(query), "SELECT * FROM spatial_ref_sys WHERE srid = %d", srid);
		row[0] = '\0';
		exec(db, query, on_row, NULL, NULL);
		answer(&rc, sizeof(rc));
		answer(row, strlen(row));
	}
	close(db);
	cleanup(connection);
}

const struct program program = {.calls = calls};
