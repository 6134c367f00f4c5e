// SPDX-License-Identifier: Apache-2.0
// libsodium: vectors of FIPS 180, RFC 7693, 8032, 7748 and 8439; random bytes, a password's hash, guarded memory.
#include "world.h"

extern "C" {
int sodium_init(void);
int crypto_hash_sha256(uint8_t *, const uint8_t *, unsigned long long);
int crypto_generichash(uint8_t *, size_t, const uint8_t *, unsigned long long, const uint8_t *, size_t);
int crypto_sign_seed_keypair(uint8_t *, uint8_t *, const uint8_t *);
int crypto_sign_detached(uint8_t *, unsigned long long *, const uint8_t *, unsigned long long, const uint8_t *);
int crypto_sign_verify_detached(const uint8_t *, const uint8_t *, unsigned long long, const uint8_t *);
int crypto_scalarmult(uint8_t *, const uint8_t *, const uint8_t *);
int crypto_stream_chacha20_ietf(uint8_t *, unsigned long long, const uint8_t *, const uint8_t *);
int crypto_secretbox_easy(uint8_t *, const uint8_t *, unsigned long long, const uint8_t *, const uint8_t *);
int crypto_secretbox_open_easy(uint8_t *, const uint8_t *, unsigned long long, const uint8_t *, const uint8_t *);
void randombytes_buf(void *, size_t);
int crypto_pwhash(uint8_t *, unsigned long long, const char *, unsigned long long, const uint8_t *, unsigned long long, size_t, int);
void *sodium_malloc(size_t);
int sodium_mprotect_readonly(void *);
int sodium_mprotect_readwrite(void *);
void sodium_free(void *);
}

void work_sodium(World &w)
{
	uint8_t *out = w.array<uint8_t>(4096), *out2 = w.array<uint8_t>(4096);
	uint8_t *abc = w.copy(std::vector<uint8_t>{'a', 'b', 'c'});
	auto hex = [&](const char *text) { return w.copy(from_hex(text)); };

	w.check(CALL(sodium_init, w) >= 0, "sodium_init");
	w.check(CALL(crypto_hash_sha256, w, out, abc, 3) == 0, "sha256");
	w.check(to_hex(out, 32) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad", "FIPS 180");
	w.check(CALL(crypto_generichash, w, out, 64, abc, 3, nullptr, 0) == 0, "BLAKE2b");
	w.check(to_hex(out, 64) == "ba80a53f981c4d0d6a2797b69f12f6e94c212f14685ac4b74b12bb6fdbffa2d1"
				   "7d87c5392aab792dc252d5de4533cc9518d38aa8dbf1925ab92386edd4009923",
		"RFC 7693");
	// RFC 8032, 7.1, test 2
	uint8_t *pk = w.array<uint8_t>(32), *sk = w.array<uint8_t>(64), *message = hex("72");
	CALL(crypto_sign_seed_keypair, w, pk, sk, hex("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb"));
	w.check(to_hex(pk, 32) == "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c", "a public key");
	CALL(crypto_sign_detached, w, out, nullptr, message, 1, sk);
	w.check(to_hex(out, 64) == "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
				   "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
		"a signature");
	w.check(CALL(crypto_sign_verify_detached, w, out, message, 1, pk) == 0, "is right");
	out[5] ^= 1;
	w.check(CALL(crypto_sign_verify_detached, w, out, message, 1, pk) == -1, "a wrong one is not");
	// RFC 7748, 6.1
	w.check(CALL(crypto_scalarmult, w, out, hex("5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb"),
		     hex("8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a")) == 0,
		"X25519");
	w.check(to_hex(out, 32) == "4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742", "RFC 7748");
	// RFC 8439, 2.4.2 begins its stream at block 1; block 0 of zeros is in A.1, test vector 1.
	CALL(crypto_stream_chacha20_ietf, w, out, 64, w.array<uint8_t>(12), w.array<uint8_t>(32));
	w.check(to_hex(out, 32) == "76b8e0ada0f13d90405d6ae55386bd28bdd219b8a08ded1aa836efcc8b770dc7", "RFC 8439");

	const std::string text = sample_text(2000);
	uint8_t *key = w.array<uint8_t>(32), *nonce = w.array<uint8_t>(24), *in = reinterpret_cast<uint8_t *>(w.text(text));
	CALL(randombytes_buf, w, key, 32);
	CALL(randombytes_buf, w, nonce, 24);
	w.check(to_hex(key, 24) != to_hex(nonce, 24) && to_hex(key, 32) != std::string(64, '0'), "random bytes");
	CALL(crypto_secretbox_easy, w, out, in, text.size(), nonce, key);
	w.check(CALL(crypto_secretbox_open_easy, w, out2, out, text.size() + 16, nonce, key) == 0, "opened");
	w.check(memcmp(out2, text.data(), text.size()) == 0, "the same again");
	out[100] ^= 4;
	w.check(CALL(crypto_secretbox_open_easy, w, out2, out, text.size() + 16, nonce, key) == -1, "a forged one is refused");
	w.check(CALL(crypto_pwhash, w, out, 32, w.text("password"), 8, w.array<uint8_t>(16), 1, 1 << 20, 2) == 0, "crypto_pwhash");
	w.note("Argon2id", to_hex(out, 32));

	uint8_t *guarded = static_cast<uint8_t *>(CALL(sodium_malloc, w, 100));
	w.check(guarded != nullptr, "sodium_malloc");
	memset(guarded, 7, 100);
	w.check(CALL(sodium_mprotect_readonly, w, guarded) == 0 && guarded[99] == 7, "read only");
	w.check(CALL(sodium_mprotect_readwrite, w, guarded) == 0, "writable");
	guarded[0] = 8;
	CALL(sodium_free, w, guarded);
}

Load load_sodium(World &w)
{
	const size_t bytes = 1 << 20;
	uint8_t *in = reinterpret_cast<uint8_t *>(w.text(sample_text(bytes))), *out = w.array<uint8_t>(bytes + 16),
		*back = w.array<uint8_t>(bytes), *hash = w.array<uint8_t>(64), *nonce = w.array<uint8_t>(24),
		*key = w.copy(sample_bytes(32, 1));
	w.check(CALL(sodium_init, w) >= 0, "sodium_init");
	auto digest = FUNCTION(w, crypto_generichash);
	auto seal = FUNCTION(w, crypto_secretbox_easy);
	auto open = FUNCTION(w, crypto_secretbox_open_easy);
	return {[=, &w] {
			w.check(digest(hash, 64, in, bytes, nullptr, 0) == 0, "crypto_generichash");
			w.check(seal(out, in, bytes, nonce, key) == 0, "crypto_secretbox_easy");
			w.check(open(back, out, bytes + 16, nonce, key) == 0, "crypto_secretbox_open_easy");
		},
		[=, &w] {
			w.note("hash", to_hex(hash, 64));
			w.note("sealed", out, bytes + 16);
			w.check(memcmp(in, back, bytes) == 0, "the same again");
		}};
}
