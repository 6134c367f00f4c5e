/* SPDX-License-Identifier: Apache-2.0 */
/* Two libraries that throw to each other. None of their functions has been called before. */
#ifndef LYCH_TEST_THROWS_H
#define LYCH_TEST_THROWS_H

#define SHOWN __attribute__((visibility("default")))

struct SHOWN Thrown {
	int value;
	double weight;
	virtual ~Thrown();
};

struct SHOWN ThrownMore : Thrown {
	~ThrownMore() override;
};

// Counts how many are alive.
struct SHOWN Counted {
	Counted();
	Counted(const Counted &) = delete;
	~Counted();
	static int alive;
};

// Throws on being made when told so, its first member being whole by then.
struct SHOWN MadeInParts {
	Counted first;
	struct SHOWN Part {
		explicit Part(int value);
		Counted inner;
	} second;
	Counted third;
	explicit MadeInParts(int value);
};

// In libuserspace_throws.so.
SHOWN void throws_thrown(int value, double weight);
SHOWN void throws_more(int value);
SHOWN int throws_nothing(int value);
SHOWN void throws_standard(const char *what);
// In libuserspace_through.so, each by way of a call into the other library.
SHOWN void through_plain(int value, double weight);
SHOWN int through_catching(int value);
SHOWN void through_again(int value);
SHOWN void through_nested(const char *inner, const char *outer);
SHOWN void through_noexcept(int value) noexcept;

#endif
