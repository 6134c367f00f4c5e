/* SPDX-License-Identifier: Apache-2.0 */
/* media_plain FILE: what a program that is linked with libstb0 does with it: says how long the sound is, or dies. */
#include <stdio.h>
#include <stdlib.h>
#define STB_VORBIS_HEADER_ONLY
#include <stb_vorbis.h>

int main(int argc, char **argv)
{
	int channels = 0, rate = 0;
	short *samples = NULL;

	if (argc != 2) {
		(void)fprintf(stderr, "usage: media_plain FILE\n");
		return 2;
	}
	int frames = stb_vorbis_decode_filename(argv[1], &channels, &rate, &samples);
	if (frames < 0) {
		printf("not a Vorbis file\n");
		return 1;
	}
	printf("%d frames, %d channels, %d Hz\n", frames, channels, rate);
	free(samples);
	return 0;
}
