// SPDX-License-Identifier: Apache-2.0
// libqt5core5a, C++: QDateTime::timeZoneAbbreviation. Where the time is UTC it loads the address of that word: that
// instruction holds it.
#include "program.h"

#include <string>

namespace
{

// Both are one pointer, and not trivial to copy: they are handed over and returned by address.
struct DateTime {
	void *d;
	~DateTime() {}
};

struct String {
	void *d;
	~String() {}
};

std::string text_of(const String &string)
{
	// QArrayData: reference count, size, capacity, offset of the data
	auto *header = static_cast<const uint8_t *>(string.d);
	int size;
	int64_t offset;
	std::string out;
	memcpy(&size, header + 4, sizeof(size));
	memcpy(&offset, header + 16, sizeof(offset));
	for (int i = 0; i < size; i++) {
		uint16_t c;
		memcpy(&c, header + offset + 2 * i, sizeof(c));
		out += static_cast<char>(c);
	}
	return out;
}

void calls(void *library)
{
	// static QDateTime fromMSecsSinceEpoch(qint64 msecs, Qt::TimeSpec spec, int offsetFromUtc)
	auto *make = function<DateTime(int64_t, int, int)>(library, "_ZN9QDateTime19fromMSecsSinceEpochExN2Qt8TimeSpecEi");
	auto *abbreviation = function<String(const DateTime *)>(library, "_ZNK9QDateTime20timeZoneAbbreviationEv");
	auto *to_string = function<String(const DateTime *, int)>(library, "_ZNK9QDateTime8toStringEN2Qt10DateFormatE");
	enum { UTC = 1, OFFSET_FROM_UTC = 2, ISO_DATE = 1 };

	DateTime epoch = make(0, UTC, 0);
	known_answer("the zone of the epoch", text_of(abbreviation(&epoch)).data(), 3, "555443"); // UTC
	std::string text = text_of(to_string(&epoch, ISO_DATE));
	known_answer("the epoch", text.data(), text.size(), "313937302d30312d30315430303a30303a30305a");
	for (int i = 0; i < 200; i++) {
		auto ms = static_cast<int64_t>(random_number() % UINT64_C(4000000000000));
		int offset = 60 * (1 + static_cast<int>(random_number() % 700));
		DateTime utc = make(ms, UTC, 0), shifted = make(ms, OFFSET_FROM_UTC, offset);
		text = text_of(abbreviation(&utc)) + text_of(to_string(&utc, ISO_DATE)) + text_of(abbreviation(&shifted)) +
		       text_of(to_string(&shifted, ISO_DATE));
		known_number("the zone is UTC", text.compare(0, 3, "UTC") == 0, 1);
		answer(text.data(), text.size());
	}
}

} // namespace

extern "C" const struct program program = {calls, nullptr, nullptr};
