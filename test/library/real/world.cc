// SPDX-License-Identifier: Apache-2.0
#include "world.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

namespace
{

class Direct : public World
{
      public:
	explicit Direct(const char *soname) { load(soname); }
	~Direct() override
	{
		for (void *block : blocks_) {
			free(block);
		}
	}
	lych_domain *domain() const override { return nullptr; }
	void load(const char *soname) final
	{
		void *handle = dlopen(soname, RTLD_NOW | RTLD_LOCAL);
		if (handle == nullptr) {
			throw std::runtime_error(dlerror());
		}
		handles_.push_back(handle);
	}
	void *symbol(const char *name) override
	{
		for (void *handle : handles_) {
			void *at = dlsym(handle, name);
			if (at != nullptr) {
				return at;
			}
		}
		throw std::runtime_error(std::string("no ") + name);
	}
	void *bytes(size_t n) override
	{
		blocks_.push_back(calloc(1, n));
		return blocks_.back();
	}
	std::string complaint(const char *name, int) override { return name; }

      private:
	std::vector<void *> handles_, blocks_;
};

class Inside : public World
{
      public:
	Inside(const char *soname, const lych_library_opts *opts)
	{
		int rc = lych_open(&domain_, soname, opts);
		if (rc != 0) {
			throw std::runtime_error(std::string("lych_open: ") + strerror(-rc) + ": " + lych_why());
		}
	}
	~Inside() override
	{
		if (lych_domain_free(domain_) != 0) {
			abort();
		}
	}
	lych_domain *domain() const override { return domain_; }
	void load(const char *soname) override
	{
		int rc = lych_load(domain_, soname);
		if (rc != 0) {
			throw std::runtime_error(std::string("lych_load: ") + strerror(-rc) + ": " + lych_why());
		}
	}
	void *symbol(const char *name) override
	{
		void *at = nullptr;
		int rc = lych_symbol(domain_, &at, name, nullptr);
		if (rc != 0) {
			throw std::runtime_error(std::string("lych_symbol ") + name + ": " + strerror(-rc) + ": " + lych_why());
		}
		return at;
	}
	void *bytes(size_t n) override
	{
		void *at = lych_calloc(domain_, 1, n);
		if (at == nullptr) {
			throw std::runtime_error("lych_calloc: no memory");
		}
		return at;
	}
	std::string complaint(const char *name, int status) override
	{
		std::string out = std::string(name) + " inside: " + strerror(-status) + "\n";
		lych_refusal refused[16];
		if (status == -EFAULT || status == -ETIMEDOUT) {
			fflush(nullptr);
			out += lych_fault_print(lych_fault(domain_), STDERR_FILENO) == 0 ? "(the report is on stderr)\n" : "(no report)\n";
		}
		size_t n = lych_refused(domain_, refused, 16);
		for (size_t i = 0; i < n && i < 16; i++) {
			out += "refused: system call " + std::to_string(refused[i].nr) + ", " + std::to_string(refused[i].count) + " times\n";
		}
		return out;
	}

      private:
	lych_domain *domain_ = nullptr;
};

} // namespace

std::unique_ptr<World> direct_world(const char *soname) { return std::make_unique<Direct>(soname); }
std::unique_ptr<World> inside_world(const char *soname, const lych_library_opts *opts)
{
	return std::make_unique<Inside>(soname, opts);
}

unsigned long load_callbacks;

uint64_t hash_of(const void *at, size_t n)
{
	uint64_t h = 0xcbf29ce484222325;
	for (size_t i = 0; i < n; i++) {
		h = (h ^ static_cast<const uint8_t *>(at)[i]) * 0x100000001b3;
	}
	return h;
}

void World::note(const std::string &what, const std::string &value)
{
	char number[64];
	bool plain = value.size() <= 96;
	for (char c : value) {
		plain = plain && c >= ' ' && c <= '~';
	}
	snprintf(number, sizeof(number), "%zu bytes, %016llx", value.size(),
		 static_cast<unsigned long long>(hash_of(value.data(), value.size())));
	notes_ += what + ": " + (plain ? value : number) + "\n";
}

std::vector<uint8_t> sample_bytes(size_t n, unsigned seed)
{
	std::vector<uint8_t> out(n);
	uint32_t x = seed * 2654435761u + 1;
	for (uint8_t &b : out) {
		x = x * 1664525 + 1013904223;
		b = static_cast<uint8_t>(x >> 24);
	}
	return out;
}

std::string sample_text(size_t n)
{
	static const char *const words[] = {"gate", "domain", "key", "page", "a", "the", "library", "calls", "answers", "inside",
					    "without", "of", "and", "fault", "reset", "again"};
	std::string out;
	uint32_t x = 7;
	while (out.size() < n) {
		x = x * 1664525 + 1013904223;
		out += words[x >> 28];
		out += (x >> 20 & 15) == 0 ? ".\n" : " ";
	}
	out.resize(n);
	return out;
}

std::vector<uint8_t> sample_picture(int width, int height)
{
	std::vector<uint8_t> out;
	for (int y = 0; y < height; y++) {
		for (int x = 0; x < width; x++) {
			bool inside = (x - width / 2) * (x - width / 2) + (y - height / 2) * (y - height / 2) < width * height / 16;
			out.push_back(static_cast<uint8_t>(x * 255 / width));
			out.push_back(static_cast<uint8_t>(y * 255 / height));
			out.push_back(inside ? 200 : 40);
			out.push_back(255);
		}
	}
	return out;
}

std::vector<uint8_t> load_picture(int width, int height)
{
	std::vector<uint8_t> out = sample_picture(width, height);
	uint32_t x = 5;
	for (size_t i = 0; i < out.size(); i++) {
		x = x * 1664525 + 1013904223;
		out[i] = static_cast<uint8_t>(i % 4 == 3 ? 255 : std::min(255u, out[i] + (x >> 30)));
	}
	return out;
}

std::vector<uint8_t> from_hex(const std::string &hex)
{
	std::vector<uint8_t> out;
	for (size_t i = 0; i + 1 < hex.size(); i += 2) {
		out.push_back(static_cast<uint8_t>(std::stoi(hex.substr(i, 2), nullptr, 16)));
	}
	return out;
}

std::string to_hex(const void *at, size_t n)
{
	std::string out;
	for (size_t i = 0; i < n; i++) {
		char digits[3];
		snprintf(digits, sizeof(digits), "%02x", static_cast<const uint8_t *>(at)[i]);
		out += digits;
	}
	return out;
}

std::vector<float> sample_tone(size_t n, int rate)
{
	// A recurrence: sine of the C library could differ between machines.
	std::vector<float> out;
	const double step = 2 * 3.14159265358979 * 440 / rate, factor = 2 - step * step;
	double before = -step / 2, now = 0;
	for (size_t i = 0; i < n; i++) {
		double next = factor * now - before;
		out.push_back(static_cast<float>(now));
		before = now;
		now = next;
	}
	return out;
}
