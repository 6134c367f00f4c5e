/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table of a library domain's areas, driven by a stream of operations: code inside chooses what it maps, and where, so it
 * chooses this stream. Each answer is compared with a model.
 *
 * Input: room for areas, the limit, the limit of code, a byte each; then operations of 8 bytes.
 */
#include "../support/space_model.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct space_model model;

	if (size < 3) {
		return 0;
	}
	model_start(&model, 8 + data[0] % 128, data[1] % 80, data[2] % 80);
	for (size_t i = 3; i + 8 <= size; i += 8) {
		model_step(&model, data + i);
	}
	model_stop(&model);
	return 0;
}
