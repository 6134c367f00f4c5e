// SPDX-License-Identifier: Apache-2.0
// libcrypto of OpenSSL: vectors of FIPS 180, SP 800-38D, RFC 6070 and 7748; keys made, written with a passphrase that the host
// is asked for, read, used; big numbers.
#include "world.h"

extern "C" {
struct EVP_CIPHER;
struct EVP_CIPHER_CTX;
struct EVP_PKEY;
struct EVP_PKEY_CTX;
struct EVP_MD;
struct EVP_MD_CTX;
struct BIO;
struct BIO_METHOD;
struct BIGNUM;
struct BN_CTX;
using pem_password = int (*)(char *, int, int, void *);
int EVP_Q_digest(void *, const char *, const char *, const void *, size_t, uint8_t *, size_t *);
const EVP_CIPHER *EVP_aes_128_gcm(void);
const EVP_CIPHER *EVP_aes_256_cbc(void);
EVP_CIPHER_CTX *EVP_CIPHER_CTX_new(void);
int EVP_EncryptInit_ex(EVP_CIPHER_CTX *, const EVP_CIPHER *, void *, const uint8_t *, const uint8_t *);
int EVP_EncryptUpdate(EVP_CIPHER_CTX *, uint8_t *, int *, const uint8_t *, int);
int EVP_EncryptFinal_ex(EVP_CIPHER_CTX *, uint8_t *, int *);
int EVP_CIPHER_CTX_ctrl(EVP_CIPHER_CTX *, int, int, void *);
void EVP_CIPHER_CTX_free(EVP_CIPHER_CTX *);
const EVP_MD *EVP_sha1(void);
const EVP_MD *EVP_sha256(void);
int PKCS5_PBKDF2_HMAC(const char *, int, const uint8_t *, int, int, const EVP_MD *, int, uint8_t *);
EVP_PKEY *EVP_PKEY_new_raw_private_key(int, void *, const uint8_t *, size_t);
EVP_PKEY *EVP_PKEY_new_raw_public_key(int, void *, const uint8_t *, size_t);
EVP_PKEY_CTX *EVP_PKEY_CTX_new(EVP_PKEY *, void *);
int EVP_PKEY_derive_init(EVP_PKEY_CTX *);
int EVP_PKEY_derive_set_peer(EVP_PKEY_CTX *, EVP_PKEY *);
int EVP_PKEY_derive(EVP_PKEY_CTX *, uint8_t *, size_t *);
EVP_MD_CTX *EVP_MD_CTX_new(void);
int EVP_DigestSignInit(EVP_MD_CTX *, EVP_PKEY_CTX **, const EVP_MD *, void *, EVP_PKEY *);
int EVP_DigestSign(EVP_MD_CTX *, uint8_t *, size_t *, const uint8_t *, size_t);
int EVP_DigestVerifyInit(EVP_MD_CTX *, EVP_PKEY_CTX **, const EVP_MD *, void *, EVP_PKEY *);
int EVP_DigestVerify(EVP_MD_CTX *, const uint8_t *, size_t, const uint8_t *, size_t);
const BIO_METHOD *BIO_s_mem(void);
BIO *BIO_new(const BIO_METHOD *);
int PEM_write_bio_PrivateKey(BIO *, EVP_PKEY *, const EVP_CIPHER *, const uint8_t *, int, pem_password, void *);
EVP_PKEY *PEM_read_bio_PrivateKey(BIO *, EVP_PKEY **, pem_password, void *);
int EVP_PKEY_eq(const EVP_PKEY *, const EVP_PKEY *);
int RAND_bytes(uint8_t *, int);
int BN_dec2bn(BIGNUM **, const char *);
char *BN_bn2dec(const BIGNUM *);
BN_CTX *BN_CTX_new(void);
BIGNUM *BN_new(void);
int BN_mod_exp(BIGNUM *, const BIGNUM *, const BIGNUM *, const BIGNUM *, BN_CTX *);
int BN_check_prime(const BIGNUM *, BN_CTX *, void *);
}

namespace
{

int asked;
int passphrase(char *to, int room, int, void *)
{
	asked++;
	memcpy(to, "open sesame", static_cast<size_t>(std::min(room, 11)));
	return 11;
}
LYCH_CALLBACK(passphrase, int, (char *, int, int, void *));

} // namespace

void work_crypto(World &w)
{
	const int ed25519 = 1087, x25519 = 1034, get_tag = 0x10;
	uint8_t *out = w.array<uint8_t>(4096), *zeros = w.array<uint8_t>(64);
	size_t *n = w.one<size_t>();
	int *m = w.one<int>();
	auto hex = [&](const char *text) { return w.copy(from_hex(text)); };

	w.check(CALL(EVP_Q_digest, w, nullptr, w.text("SHA512"), nullptr, w.text("abc"), 3, out, n) == 1, "SHA-512");
	w.check(to_hex(out, *n).substr(0, 64) == "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a", "FIPS 180");
	CALL(EVP_Q_digest, w, nullptr, w.text("SHA3-256"), nullptr, w.text(sample_text(100000)), 100000, out, n);
	w.note("SHA-3", to_hex(out, *n));

	// Test case 2 of the GCM specification.
	EVP_CIPHER_CTX *c = CALL(EVP_CIPHER_CTX_new, w);
	w.check(CALL(EVP_EncryptInit_ex, w, c, CALL(EVP_aes_128_gcm, w), nullptr, zeros, zeros) == 1, "AES-GCM");
	w.check(CALL(EVP_EncryptUpdate, w, c, out, m, zeros, 16) == 1 && *m == 16, "a block");
	w.check(to_hex(out, 16) == "0388dace60b6a392f328c2b971b2fe78", "its cipher text");
	CALL(EVP_EncryptFinal_ex, w, c, out, m);
	CALL(EVP_CIPHER_CTX_ctrl, w, c, get_tag, 16, out);
	w.check(to_hex(out, 16) == "ab6e47d42cec13bdf53a67b21257bddf", "its tag");
	CALL(EVP_CIPHER_CTX_free, w, c);

	uint8_t *salt = reinterpret_cast<uint8_t *>(w.text("salt"));
	w.check(CALL(PKCS5_PBKDF2_HMAC, w, w.text("password"), 8, salt, 4, 2, CALL(EVP_sha1, w), 20, out) == 1, "PBKDF2");
	w.check(to_hex(out, 20) == "ea6c014dc72d6f8ccd1ed92ace1d41f0d8de8957", "RFC 6070");

	EVP_PKEY *bob = CALL(EVP_PKEY_new_raw_private_key, w, x25519, nullptr,
			     hex("5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb"), 32);
	EVP_PKEY *alice = CALL(EVP_PKEY_new_raw_public_key, w, x25519, nullptr,
			       hex("8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a"), 32);
	EVP_PKEY_CTX *p = CALL(EVP_PKEY_CTX_new, w, bob, nullptr);
	*n = 32;
	w.check(CALL(EVP_PKEY_derive_init, w, p) == 1 && CALL(EVP_PKEY_derive_set_peer, w, p, alice) == 1 &&
			CALL(EVP_PKEY_derive, w, p, out, n) == 1,
		"X25519");
	w.check(to_hex(out, 32) == "4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742", "RFC 7748");

	// A key of its own: random, so nothing of it is noted.
	EVP_PKEY *key = w.variadic<EVP_PKEY *>("EVP_PKEY_Q_keygen", static_cast<void *>(nullptr), static_cast<char *>(nullptr),
					       w.text("EC"), w.text("P-256"));
	w.check(key != nullptr, "a key");
	BIO *bio = CALL(BIO_new, w, CALL(BIO_s_mem, w));
	auto ask = CALLBACK(w, passphrase);
	asked = 0;
	w.check(CALL(PEM_write_bio_PrivateKey, w, bio, key, CALL(EVP_aes_256_cbc, w), nullptr, 0, ask, nullptr) == 1, "is written");
	EVP_PKEY *again = CALL(PEM_read_bio_PrivateKey, w, bio, nullptr, ask, nullptr);
	w.check(again != nullptr && asked == 2 && CALL(EVP_PKEY_eq, w, key, again) == 1, "is read");
	const std::string text = sample_text(1000);
	uint8_t *message = reinterpret_cast<uint8_t *>(w.text(text)), *signature = w.array<uint8_t>(128);
	EVP_MD_CTX *s = CALL(EVP_MD_CTX_new, w), *v = CALL(EVP_MD_CTX_new, w);
	*n = 128;
	w.check(CALL(EVP_DigestSignInit, w, s, nullptr, CALL(EVP_sha256, w), nullptr, key) == 1, "EVP_DigestSignInit");
	w.check(CALL(EVP_DigestSign, w, s, signature, n, message, text.size()) == 1, "EVP_DigestSign");
	w.check(CALL(EVP_DigestVerifyInit, w, v, nullptr, CALL(EVP_sha256, w), nullptr, again) == 1, "EVP_DigestVerifyInit");
	w.check(CALL(EVP_DigestVerify, w, v, signature, *n, message, text.size()) == 1, "a signature");
	message[7] ^= 1;
	v = CALL(EVP_MD_CTX_new, w);
	CALL(EVP_DigestVerifyInit, w, v, nullptr, CALL(EVP_sha256, w), nullptr, again);
	w.check(CALL(EVP_DigestVerify, w, v, signature, *n, message, text.size()) == 0, "a forged one is refused");
	EVP_PKEY *ed = CALL(EVP_PKEY_new_raw_private_key, w, ed25519, nullptr,
			    hex("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb"), 32);
	s = CALL(EVP_MD_CTX_new, w);
	*n = 64;
	CALL(EVP_DigestSignInit, w, s, nullptr, nullptr, nullptr, ed);
	w.check(CALL(EVP_DigestSign, w, s, out, n, hex("72"), 1) == 1, "Ed25519");
	w.check(to_hex(out, 16) == "92a009a9f0d4cab8720e820b5f642540", "RFC 8032");

	w.check(CALL(RAND_bytes, w, out, 32) == 1 && CALL(RAND_bytes, w, out + 32, 32) == 1 && memcmp(out, out + 32, 32) != 0, "random");
	BIGNUM **a = w.one<BIGNUM *>(), **b = w.one<BIGNUM *>(), **q = w.one<BIGNUM *>(), *r = CALL(BN_new, w);
	BN_CTX *context = CALL(BN_CTX_new, w);
	CALL(BN_dec2bn, w, a, w.text("2"));
	CALL(BN_dec2bn, w, q, w.text("170141183460469231731687303715884105727")); // 2^127 - 1, a prime
	CALL(BN_dec2bn, w, b, w.text("130"));
	w.check(CALL(BN_mod_exp, w, r, *a, *b, *q, context) == 1 && strcmp(CALL(BN_bn2dec, w, r), "8") == 0, "2^130 mod 2^127 - 1");
	w.check(CALL(BN_check_prime, w, *q, context, nullptr) == 1, "a prime");
}

Load load_crypto(World &w)
{
	const int bytes = 1 << 20, get_tag = 0x10;
	uint8_t *in = reinterpret_cast<uint8_t *>(w.text(sample_text(bytes))), *out = w.array<uint8_t>(bytes + 16),
		*hash = w.array<uint8_t>(64), *tag = w.array<uint8_t>(16), *key = w.copy(sample_bytes(32, 1));
	char *name = w.text("SHA256");
	size_t *n = w.one<size_t>();
	int *m = w.one<int>();
	const EVP_CIPHER *cipher = CALL(EVP_aes_128_gcm, w);
	auto digest = FUNCTION(w, EVP_Q_digest);
	auto create = FUNCTION(w, EVP_CIPHER_CTX_new);
	auto begin = FUNCTION(w, EVP_EncryptInit_ex);
	auto update = FUNCTION(w, EVP_EncryptUpdate);
	auto finish = FUNCTION(w, EVP_EncryptFinal_ex);
	auto control = FUNCTION(w, EVP_CIPHER_CTX_ctrl);
	auto free = FUNCTION(w, EVP_CIPHER_CTX_free);
	return {[=, &w] {
			w.check(digest(nullptr, name, nullptr, in, bytes, hash, n) == 1, "SHA-256");
			EVP_CIPHER_CTX *c = create();
			w.check(begin(c, cipher, nullptr, key, key + 16) == 1, "AES-GCM");
			w.check(update(c, out, m, in, bytes) == 1, "EVP_EncryptUpdate");
			w.check(finish(c, out + *m, m) == 1 && control(c, get_tag, 16, tag) == 1, "its tag");
			free(c);
		},
		[=, &w] {
			w.note("hash", to_hex(hash, 32));
			w.note("sealed", out, bytes);
			w.note("tag", to_hex(tag, 16));
		}};
}
