// SPDX-License-Identifier: Apache-2.0
// libarchive: tar in four compressions and zip, written to the host and read from it, with ten libraries below it.
#include "world.h"

extern "C" {
struct archive;
struct archive_entry;
archive *archive_write_new(void);
archive *archive_read_new(void);
int archive_write_set_format_pax_restricted(archive *);
int archive_write_set_format_zip(archive *);
int archive_write_add_filter_by_name(archive *, const char *);
int archive_write_set_bytes_in_last_block(archive *, int);
int archive_write_open(archive *, void *, int (*)(archive *, void *), long (*)(archive *, void *, const void *, size_t),
		       int (*)(archive *, void *));
archive_entry *archive_entry_new(void);
void archive_entry_free(archive_entry *);
void archive_entry_set_pathname(archive_entry *, const char *);
void archive_entry_set_size(archive_entry *, long);
void archive_entry_set_filetype(archive_entry *, unsigned);
void archive_entry_set_perm(archive_entry *, unsigned);
void archive_entry_set_mtime(archive_entry *, long, long);
int archive_write_header(archive *, archive_entry *);
long archive_write_data(archive *, const void *, size_t);
int archive_write_close(archive *);
int archive_write_free(archive *);
int archive_read_support_format_all(archive *);
int archive_read_support_filter_all(archive *);
int archive_read_open(archive *, void *, int (*)(archive *, void *), long (*)(archive *, void *, const void **),
		      int (*)(archive *, void *));
int archive_read_next_header(archive *, archive_entry **);
const char *archive_entry_pathname(archive_entry *);
long archive_entry_size(archive_entry *);
long archive_read_data(archive *, void *, size_t);
const char *archive_error_string(archive *);
int archive_filter_code(archive *, int);
int archive_format(archive *);
int archive_read_free(archive *);
}

namespace
{

std::string file;
size_t at;
char *piece; // what the domain reads

int open_or_close(archive *, void *)
{
	load_callbacks++;
	return 0;
}
long write(archive *, void *, const void *from, size_t n)
{
	load_callbacks++;
	file.append(static_cast<const char *>(from), n);
	return static_cast<long>(n);
}
long read(archive *, void *, const void **to)
{
	size_t n = std::min<size_t>(1000, file.size() - at);
	memcpy(piece, file.data() + at, n);
	at += n;
	*to = piece;
	return static_cast<long>(n);
}
LYCH_CALLBACK(open_or_close, int, (archive *, void *));
LYCH_CALLBACK(write, long, (archive *, void *, const void *, size_t));
LYCH_CALLBACK(read, long, (archive *, void *, const void **));


long read_much(archive *, void *, const void **to)
{
	size_t n = std::min<size_t>(10240, file.size() - at);
	load_callbacks++;
	memcpy(piece, file.data() + at, n);
	at += n;
	*to = piece;
	return static_cast<long>(n);
}
LYCH_CALLBACK(read_much, long, (archive *, void *, const void **));

} // namespace

void work_archive(World &w)
{
	auto opened = CALLBACK(w, open_or_close);
	auto writer = CALLBACK(w, write);
	auto reader = CALLBACK(w, read);
	const std::string contents[] = {"a small file\n", sample_text(30000), ""};
	char *back = w.array<char>(40000);
	archive_entry **entry = w.one<archive_entry *>();
	piece = w.array<char>(1000);

	// The codes are those of archive.h: of the filter, of the format.
	struct Case {
		const char *filter;
		int filter_code, format_code;
	};
	for (const Case &c : {Case{"gzip", 1, 0x30000}, Case{"bzip2", 2, 0x30000}, Case{"xz", 6, 0x30000}, Case{"zstd", 14, 0x30000},
			      Case{nullptr, 0, 0x50000}}) {
		file.clear();
		archive *a = CALL(archive_write_new, w);
		if (c.filter != nullptr) {
			w.check(CALL(archive_write_set_format_pax_restricted, w, a) == 0, "pax");
			w.check(CALL(archive_write_add_filter_by_name, w, a, w.text(c.filter)) == 0, c.filter);
		} else {
			w.check(CALL(archive_write_set_format_zip, w, a) == 0, "zip");
		}
		CALL(archive_write_set_bytes_in_last_block, w, a, 1);
		w.check(CALL(archive_write_open, w, a, nullptr, opened, writer, opened) == 0, "archive_write_open");
		for (int i = 0; i < 3; i++) {
			archive_entry *e = CALL(archive_entry_new, w);
			CALL(archive_entry_set_pathname, w, e, w.text("folder/file" + std::to_string(i)));
			CALL(archive_entry_set_size, w, e, static_cast<long>(contents[i].size()));
			CALL(archive_entry_set_filetype, w, e, 0100000);
			CALL(archive_entry_set_perm, w, e, 0644);
			CALL(archive_entry_set_mtime, w, e, 1000000000, 0);
			w.check(CALL(archive_write_header, w, a, e) == 0, "archive_write_header");
			long n = CALL(archive_write_data, w, a, w.text(contents[i]), contents[i].size());
			w.check(n == static_cast<long>(contents[i].size()), "archive_write_data");
			CALL(archive_entry_free, w, e);
		}
		w.check(CALL(archive_write_close, w, a) == 0, "archive_write_close");
		CALL(archive_write_free, w, a);
		w.note("length", static_cast<long>(file.size())); // not the bytes: the header of gzip has a time

		at = 0;
		a = CALL(archive_read_new, w);
		CALL(archive_read_support_filter_all, w, a);
		CALL(archive_read_support_format_all, w, a);
		w.check(CALL(archive_read_open, w, a, nullptr, opened, reader, opened) == 0, "archive_read_open");
		for (int i = 0; i < 3; i++) {
			w.check(CALL(archive_read_next_header, w, a, entry) == 0, "archive_read_next_header");
			w.note("name", CALL(archive_entry_pathname, w, *entry));
			w.check(CALL(archive_entry_size, w, *entry) == static_cast<long>(contents[i].size()), "its size");
			long n = CALL(archive_read_data, w, a, back, 40000);
			w.check(n >= 0 && std::string(back, static_cast<size_t>(n)) == contents[i], "the same again");
		}
		w.check(CALL(archive_filter_code, w, a, 0) == c.filter_code && (CALL(archive_format, w, a) & 0xff0000) == c.format_code,
			"what it is");
		w.check(CALL(archive_read_next_header, w, a, entry) == 1, "the end");
		w.check(CALL(archive_read_free, w, a) == 0, "archive_read_free");
	}
	file.resize(file.size() / 2); // of a zip: its directory is lost, and so is the end of what is in it
	at = 0;
	archive *a = CALL(archive_read_new, w);
	CALL(archive_read_support_format_all, w, a);
	w.check(CALL(archive_read_open, w, a, nullptr, opened, reader, opened) == 0, "archive_read_open");
	int rc = 0;
	for (int i = 0; i < 3 && rc == 0; i++) {
		rc = CALL(archive_read_next_header, w, a, entry);
		rc = rc != 0 ? rc : static_cast<int>(std::min(CALL(archive_read_data, w, a, back, 40000), 0l));
	}
	w.check(rc < 0, "half of one is refused");
	w.note("error", CALL(archive_error_string, w, a));
	CALL(archive_read_free, w, a);
}

Load load_archive(World &w)
{
	auto opened = CALLBACK(w, open_or_close);
	auto writer = CALLBACK(w, write);
	auto reader = CALLBACK(w, read_much);
	const int files = 20;
	const size_t bytes = 10000;
	char *contents = w.text(sample_text(bytes)), *back = w.array<char>(bytes), *filter = w.text("gzip");
	archive_entry **next = w.one<archive_entry *>();
	long *total = w.one<long>();
	const char *names[files];
	for (int i = 0; i < files; i++) {
		names[i] = w.text("folder/file" + std::to_string(i));
	}
	piece = w.array<char>(10240);
	auto write_new = FUNCTION(w, archive_write_new);
	auto pax = FUNCTION(w, archive_write_set_format_pax_restricted);
	auto add_filter = FUNCTION(w, archive_write_add_filter_by_name);
	auto write_open = FUNCTION(w, archive_write_open);
	auto entry_new = FUNCTION(w, archive_entry_new);
	auto set_name = FUNCTION(w, archive_entry_set_pathname);
	auto set_size = FUNCTION(w, archive_entry_set_size);
	auto set_type = FUNCTION(w, archive_entry_set_filetype);
	auto write_header = FUNCTION(w, archive_write_header);
	auto write_data = FUNCTION(w, archive_write_data);
	auto entry_free = FUNCTION(w, archive_entry_free);
	auto write_free = FUNCTION(w, archive_write_free);
	auto read_new = FUNCTION(w, archive_read_new);
	auto all_filters = FUNCTION(w, archive_read_support_filter_all);
	auto all_formats = FUNCTION(w, archive_read_support_format_all);
	auto read_open = FUNCTION(w, archive_read_open);
	auto next_header = FUNCTION(w, archive_read_next_header);
	auto read_data = FUNCTION(w, archive_read_data);
	auto read_free = FUNCTION(w, archive_read_free);
	return {[=, &w] {
			file.clear();
			archive *a = write_new();
			w.check(pax(a) == 0 && add_filter(a, filter) == 0, "tar in gzip");
			w.check(write_open(a, nullptr, opened, writer, opened) == 0, "archive_write_open");
			for (int i = 0; i < files; i++) {
				archive_entry *e = entry_new();
				set_name(e, names[i]);
				set_size(e, static_cast<long>(bytes));
				set_type(e, 0100000);
				w.check(write_header(a, e) == 0, "archive_write_header");
				w.check(write_data(a, contents, bytes) == static_cast<long>(bytes), "archive_write_data");
				entry_free(e);
			}
			w.check(write_free(a) == 0, "archive_write_free");
			at = 0;
			*total = 0;
			a = read_new();
			all_filters(a);
			all_formats(a);
			w.check(read_open(a, nullptr, opened, reader, opened) == 0, "archive_read_open");
			while (next_header(a, next) == 0) {
				*total += read_data(a, back, bytes);
			}
			w.check(read_free(a) == 0, "archive_read_free");
		},
		[=, &w] {
			w.note("bytes", *total);
			w.check(memcmp(back, contents, bytes) == 0, "the same again");
		}};
}
