/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The vector loop of pattern.c, which includes this file once for each instruction set, with VEC_*
 * defined; it makes int scan_NAME(struct scan *). No include guard: it is a template.
 */
#define VEC_GLUE2(a, b) a##b
#define VEC_GLUE(a, b) VEC_GLUE2(a, b)
#define VEC_FN(name) VEC_GLUE(name, VEC_NAME)
#define VEC_INLINE static inline __attribute__((always_inline, target(VEC_TARGET)))
#define VEC_BYTES sizeof(VEC)

/*
 * The first bytes of pairs in the vector at `at`; reads PAIR_REACH bytes more than the vector. With
 * constant classes only the pairs these need are left, and comparisons with the same byte are one.
 */
VEC_INLINE VEC_FOUND VEC_FN(find_)(const uint8_t *at, uint32_t classes)
{
	VEC_FOUND found = VEC_NONE;
	VEC here = VEC_LOAD(at);
	VEC next[PAIR_REACH] = {VEC_LOAD(at + 1), VEC_LOAD(at + 2)};

#define VEC_TEST(first, second, distance, classes_of_pair)                                 \
	if ((classes & (classes_of_pair)) != 0) {                                          \
		found = VEC_OR(found, VEC_PAIR(here, VEC_SPLAT(first), next[(distance)-1], \
					       VEC_SPLAT(second)));                        \
	}
	PAIRS(VEC_TEST)
#undef VEC_TEST
	return found;
}

VEC_INLINE int VEC_FN(loop_)(struct scan *scan, uint32_t classes)
{
	const uint8_t *buf = scan->buf;
	size_t len = scan->len;
	size_t i = 0;
	int rc;

	/* As long as nothing is found there is one branch for four vectors. */
	for (; len - i >= 4 * VEC_BYTES + PAIR_REACH; i += 4 * VEC_BYTES) {
		const uint8_t *at = buf + i;

		prefetch(at, 4 * VEC_BYTES);

		VEC_FOUND a = VEC_FN(find_)(at, classes);
		VEC_FOUND b = VEC_FN(find_)(at + VEC_BYTES, classes);
		VEC_FOUND c = VEC_FN(find_)(at + 2 * VEC_BYTES, classes);
		VEC_FOUND d = VEC_FN(find_)(at + 3 * VEC_BYTES, classes);

		if (VEC_MASK(VEC_OR(VEC_OR(a, b), VEC_OR(c, d))) != 0) {
			const uint64_t masks[4] = {VEC_MASK(a), VEC_MASK(b), VEC_MASK(c),
						   VEC_MASK(d)};

			for (size_t k = 0; k < 4; k++) {
				rc = test_pairs(scan, i + k * VEC_BYTES, masks[k]);
				if (rc != 0) {
					return rc;
				}
			}
		}
	}
	for (; len - i >= VEC_BYTES + PAIR_REACH; i += VEC_BYTES) {
		rc = test_pairs(scan, i, VEC_MASK(VEC_FN(find_)(buf + i, classes)));
		if (rc != 0) {
			return rc;
		}
	}
	/* What is left is shorter than a vector; a core right before it may have its pair there. */
	if (i >= PAIR_BEHIND && scan->next < i - PAIR_BEHIND) {
		scan->next = i - PAIR_BEHIND;
	}
	return test_cores(scan, len);
}

/*
 * A loop for each policy. Any other set takes the smallest of them that contains it: pairs too many
 * cost time, and scan->classes still decides what is reported.
 */
static __attribute__((target(VEC_TARGET))) int VEC_FN(scan_)(struct scan *scan)
{
	if ((scan->classes & ~LYCH_POLICY_PKRU) == 0) {
		return VEC_FN(loop_)(scan, LYCH_POLICY_PKRU);
	}
	if ((scan->classes & ~LYCH_POLICY_HOST) == 0) {
		return VEC_FN(loop_)(scan, LYCH_POLICY_HOST);
	}
	if ((scan->classes & ~LYCH_POLICY_DOMAIN) == 0) {
		return VEC_FN(loop_)(scan, LYCH_POLICY_DOMAIN);
	}
	return VEC_FN(loop_)(scan, LYCH_ALL_CLASSES);
}

#undef VEC_GLUE2
#undef VEC_GLUE
#undef VEC_FN
#undef VEC_INLINE
#undef VEC_BYTES
#undef VEC_NAME
#undef VEC_TARGET
#undef VEC
#undef VEC_FOUND
#undef VEC_LOAD
#undef VEC_SPLAT
#undef VEC_NONE
#undef VEC_PAIR
#undef VEC_OR
#undef VEC_MASK
