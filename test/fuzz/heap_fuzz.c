/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The block table of a domain's heap, driven by a stream of operations: code in a domain chooses sizes, alignments and
 * what it frees, so it chooses this stream. Each answer is compared with a model.
 *
 * Input: 2 bytes for the granules, then operations of 4 bytes: what, an argument, a granule number.
 */
#include "../support/blocks_model.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint32_t word(const uint8_t *at)
{
	return at[0] | (uint32_t)at[1] << 8;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct blocks_model model;
	uint64_t skew;

	if (size < 2) {
		return 0;
	}
	skew = word(data) >> 11;
	model_start(&model, word(data) % MODEL_MAX + 1);
	for (size_t i = 2; i + 4 <= size; i += 4) {
		uint32_t at = word(data + i + 2);

		switch (data[i] % 8) {
		case 0:
		case 1:
		case 2: /* small ones, and also 0 and more than there are */
			model_take(&model, at % 40, 1, skew);
			break;
		case 3:
			model_take(&model, at, 1, skew);
			break;
		case 4:
			model_take(&model, at % 64, 1ull << (data[i + 1] % 64), skew);
			break;
		case 5:
		case 6:
			model_give(&model, at % (MODEL_MAX + 8));
			break;
		case 7:
			model_shrink(&model, at % MODEL_MAX, data[i + 1]);
			break;
		}
	}
	model_compare(&model);
	model_stop(&model);
	return 0;
}
