// SPDX-License-Identifier: Apache-2.0
// One piece of work, in two worlds: with a library that dlopen has loaded, and with the same library in a library domain. The
// work is written once; what it notes in one world must be what it notes in the other.
#ifndef LYCH_REAL_WORLD_H
#define LYCH_REAL_WORLD_H

#include <lychgate/library.h>
#include <lychgate/lychgate.h>
#include <string.h>

#include <algorithm>
#include <functional>
#include <map>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

// What a gate has to know of a function of type R(A...), as LYCH_BIND makes it of a list.
template <class R, class... A> lych_binding binding_of(const char *name, void *fn, bool variadic)
{
	using namespace lych_detail;
	int state = 0, widths = 0, result = 0;
	[[maybe_unused]] auto step = [&](int c) {
		widths = LYCH_I_STEP_WIDTHS(widths, state, c);
		state = LYCH_I_STEP(state, c);
	};
	if constexpr (!std::is_void<R>::value) {
		static_assert(spec<R>() > 0 && !LYCH_I_RESULT_IN_MEMORY(spec<R>()), "such a result is not fetched here");
		result = spec<R>();
	}
	static_assert(((spec<wire<A>>() > 0) && ...), "such an argument is not passed here");
	(step(spec<wire<A>>()), ...);
	lych_binding b = {};
	b.fn = reinterpret_cast<void (*)()>(fn);
	b.extra = static_cast<uint32_t>((state >> 13 & 2047 ? 1 : 0) | (state >> 3 & 15 ? 2 : 0) | (state >> 7 & 63 ? 4 : 0) |
					(LYCH_I_RESULT(result) != 0 ? 8 : 0) | (variadic ? 16 : 0));
	b.skip = static_cast<uint8_t>(0x100d0a07040200 >> 8 * (state & 7) & 255);
	b.ngpr = static_cast<uint8_t>(state & 7);
	b.nvec = static_cast<uint8_t>(state >> 3 & 15);
	b.result = static_cast<uint8_t>(LYCH_I_RESULT(result));
	b.words = static_cast<uint16_t>(state >> 13 & 2047);
	b.narrow = static_cast<uint8_t>(state >> 7 & 63);
	b.align = 4;
	b.widths = static_cast<uint32_t>(widths);
	b.name = name;
	b.result_spec = static_cast<uint32_t>(result);
	b.width = static_cast<uint8_t>(result >> 6 & 15);
	return b;
}

class World
{
      public:
	virtual ~World() = default;
	// NULL: the host's own.
	virtual lych_domain *domain() const = 0;
	virtual void load(const char *soname) = 0;
	// Throws where there is none.
	virtual void *symbol(const char *name) = 0;
	// Zeroed, aligned to 16, until the end of the world.
	virtual void *bytes(size_t n) = 0;
	// What a call that did not succeed leaves to be said.
	virtual std::string complaint(const char *name, int status) = 0;

	template <class T> T *array(size_t n) { return static_cast<T *>(bytes(n * sizeof(T))); }
	template <class T> T *one() { return array<T>(1); }
	char *text(const std::string &s) { return static_cast<char *>(memcpy(bytes(s.size() + 1), s.c_str(), s.size() + 1)); }
	uint8_t *copy(const std::vector<uint8_t> &v)
	{
		return static_cast<uint8_t *>(memcpy(bytes(v.size() + 1), v.data(), v.size()));
	}
	template <class T> T *copy(const std::vector<T> &v)
	{
		return static_cast<T *>(memcpy(bytes((v.size() + 1) * sizeof(T)), v.data(), v.size() * sizeof(T)));
	}

	// Part of what is compared: long ones as their length and a hash.
	void note(const std::string &what, const std::string &value);
	void note(const std::string &what, long value) { note(what, std::to_string(value)); }
	void note(const std::string &what, const void *at, size_t n) { note(what, std::string(static_cast<const char *>(at), n)); }
	// Throws.
	void check(bool ok, const char *what)
	{
		if (!ok) {
			throw std::runtime_error(what);
		}
	}
	// How long a call inside may take; 0: for ever.
	uint64_t patience_ms = 0;
	const std::string &notes() const { return notes_; }

	// How often the host has called the library.
	unsigned long calls = 0;

	// F is the type of the function called, R(A...).
	template <class F> struct Caller;
	template <class F> struct Function;
	// One use of a variadic function: the types are those of the arguments.
	template <class R, class... A> R variadic(const char *name, A... args)
	{
		return call_as<R, A...>(name, true, args...);
	}
	template <class R, class... A> R call_as(const char *name, bool is_variadic, A... args);

      private:
	void ended(const char *name, int status, uint64_t before)
	{
		if (patience_ms != 0) {
			lych_deadline_over(before);
		}
		if (status != 0) {
			throw std::runtime_error(complaint(name, status));
		}
	}
	struct Bound {
		void *fn = nullptr;
		lych_binding binding = {};
	};
	template <class R, class... A> Bound *bind(const std::string &key, const char *name, bool is_variadic);
	template <class R, class... A> R call_bound(Bound *bound, bool is_variadic, A... args);
	std::map<std::string, std::unique_ptr<Bound>> bound_;
	std::string notes_;
};

template <class R, class... A> struct World::Caller<R(A...)> {
	static R call_named(const char *name, World &w, A... args) { return w.call_as<R, A...>(name, false, args...); }
};
template <class R, class... A> struct World::Caller<R(A...) noexcept> : World::Caller<R(A...)> {
};

// A function that is looked up once: what it costs to find it is not counted with what it does.
template <class R, class... A> struct World::Function<R(A...)> {
	Function(World &w, const char *name) : world_(w), bound_(w.bind<R, A...>(name, name, false)) {}
	R operator()(A... args) const { return world_.call_bound<R, A...>(bound_, false, args...); }

      private:
	World &world_;
	Bound *bound_;
};
template <class R, class... A> struct World::Function<R(A...) noexcept> : World::Function<R(A...)> {
	using World::Function<R(A...)>::Function;
};

template <class R, class... A> R World::call_as(const char *name, bool is_variadic, A... args)
{
	return call_bound<R, A...>(bind<R, A...>(is_variadic ? std::string(name) + __PRETTY_FUNCTION__ : name, name, is_variadic),
				   is_variadic, args...);
}

template <class R, class... A> World::Bound *World::bind(const std::string &key, const char *name, bool is_variadic)
{
	std::unique_ptr<Bound> &bound = bound_[key];
	if (!bound) {
		bound = std::make_unique<Bound>();
		bound->fn = symbol(name);
		bound->binding = binding_of<R, A...>(name, bound->fn, is_variadic);
	}
	return bound.get();
}

template <class R, class... A> R World::call_bound(Bound *bound, bool is_variadic, A... args)
{
	const char *name = bound->binding.name;
	calls++;
	if (domain() == nullptr) {
		// A call through a type without parameters that ends in ... sets al, and passes arguments as any other does.
		return is_variadic ? reinterpret_cast<R (*)(...)>(bound->fn)(args...)
				   : reinterpret_cast<R (*)(A...)>(bound->fn)(args...);
	}
	int status = 0;
	uint64_t before = 0;
	lych_hidden h = LYCH_I_HIDDEN(domain(), &bound->binding, &status, patience_ms != 0 ? lych_deadline_in(patience_ms, &before) : 0);
	void (*gate)() = lych_gate;
	if constexpr (std::is_void<R>::value) {
		reinterpret_cast<void (*)(lych_hidden, lych_detail::wire<A>...)>(gate)(h, LYCH_I_UP(A, args)...);
		ended(name, status, before);
	} else {
		lych_detail::low<R> r =
			reinterpret_cast<lych_detail::wire<R> (*)(lych_hidden, lych_detail::wire<A>...)>(gate)(h, LYCH_I_UP(A, args)...);
		ended(name, status, before);
		return LYCH_I_DOWN(R, r);
	}
}

// CALL(fn, w, arguments...) calls fn in w. It has to be declared, and is never linked.
#define CALL(fn, ...) World::Caller<decltype(fn)>::call_named(#fn, __VA_ARGS__)

// FUNCTION(w, fn): one that can be called as fn could, in w, and is looked up now. w must outlive it.
#define FUNCTION(w, fn) World::Function<decltype(fn)>(w, #fn)

// CALLBACK(w, fn): a pointer that code of the library can call; LYCH_CALLBACK(fn, ...) stands before it.
#define CALLBACK(w, fn) \
	([&]() -> decltype(&fn) { \
		decltype(&fn) pointer = fn; \
		if ((w).domain() != nullptr) { \
			(w).check(lych_callback(&pointer, (w).domain(), fn, nullptr) == 0, "lych_callback"); \
		} \
		return pointer; \
	}())

// Opens soname in one of the worlds. opts may be NULL.
std::unique_ptr<World> direct_world(const char *soname);
std::unique_ptr<World> inside_world(const char *soname, const lych_library_opts *opts);

// A member of a struct that is too long to be declared, by its offset in the ABI.
template <class T> T &member(void *of, size_t offset) { return *reinterpret_cast<T *>(static_cast<char *>(of) + offset); }

// Bytes that look like something, and are always the same.
std::vector<uint8_t> sample_bytes(size_t n, unsigned seed);
// A picture: RGBA, opaque, smooth with some edges.
std::vector<uint8_t> sample_picture(int width, int height);
std::vector<uint8_t> from_hex(const std::string &hex);
std::string to_hex(const void *at, size_t n);
// 440 Hz, of amplitude 1/2.
std::vector<float> sample_tone(size_t n, int rate);
// Ogg Vorbis, mono at 22050 Hz, made by libvorbisenc, which w has loaded, as libvorbis and libogg.
std::string encode_vorbis(World &w, const std::vector<float> &samples);
// Text of words, which can be compressed.
std::string sample_text(size_t n);
uint64_t hash_of(const void *at, size_t n);

#define LYCH_REAL_WORK(name) void work_##name(World &w)
LYCH_REAL_WORK(zlib);
LYCH_REAL_WORK(bzip2);
LYCH_REAL_WORK(zstd);
LYCH_REAL_WORK(brotli);
LYCH_REAL_WORK(expat);
LYCH_REAL_WORK(yaml);
LYCH_REAL_WORK(jansson);
LYCH_REAL_WORK(lua);
LYCH_REAL_WORK(sqlite);
LYCH_REAL_WORK(pcre2);
LYCH_REAL_WORK(png);
LYCH_REAL_WORK(jpeg);
LYCH_REAL_WORK(webp);
LYCH_REAL_WORK(gif);
LYCH_REAL_WORK(tiff);
LYCH_REAL_WORK(freetype);
LYCH_REAL_WORK(xml2);
LYCH_REAL_WORK(archive);
LYCH_REAL_WORK(sodium);
LYCH_REAL_WORK(crypto);
LYCH_REAL_WORK(vorbis);
LYCH_REAL_WORK(opus);
LYCH_REAL_WORK(stb);
LYCH_REAL_WORK(re2);
LYCH_REAL_WORK(icu);
LYCH_REAL_WORK(openblas);

// What a program would have such a library do, as much of it as can be counted: made once in a world, which outlives it, and
// then done again and again. A round leaves nothing behind, so that one is like another.
struct Load {
	std::function<void()> round;
	std::function<void()> result; // notes what the last round has come to
};
// How often the library has called the host.
extern unsigned long load_callbacks;
// As sample_picture, with some noise, as cameras have it.
std::vector<uint8_t> load_picture(int width, int height);

#define LYCH_REAL_LOAD(name) Load load_##name(World &w)
LYCH_REAL_LOAD(zlib);
LYCH_REAL_LOAD(bzip2);
LYCH_REAL_LOAD(zstd);
LYCH_REAL_LOAD(brotli);
LYCH_REAL_LOAD(expat);
LYCH_REAL_LOAD(yaml);
LYCH_REAL_LOAD(jansson);
LYCH_REAL_LOAD(lua);
LYCH_REAL_LOAD(sqlite);
LYCH_REAL_LOAD(pcre2);
LYCH_REAL_LOAD(png);
LYCH_REAL_LOAD(jpeg);
LYCH_REAL_LOAD(webp);
LYCH_REAL_LOAD(gif);
LYCH_REAL_LOAD(tiff);
LYCH_REAL_LOAD(freetype);
LYCH_REAL_LOAD(xml2);
LYCH_REAL_LOAD(archive);
LYCH_REAL_LOAD(sodium);
LYCH_REAL_LOAD(crypto);
LYCH_REAL_LOAD(vorbis);
LYCH_REAL_LOAD(opus);
LYCH_REAL_LOAD(stb);
LYCH_REAL_LOAD(re2);
LYCH_REAL_LOAD(icu);
LYCH_REAL_LOAD(openblas);

#endif // LYCH_REAL_WORLD_H
