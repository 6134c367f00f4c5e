// SPDX-License-Identifier: Apache-2.0
// libopus: a tone encoded and decoded, settings by a variadic function, lost and broken packets.
#include "world.h"

#include <math.h>

extern "C" {
struct OpusEncoder;
struct OpusDecoder;
const char *opus_get_version_string(void);
OpusEncoder *opus_encoder_create(int32_t, int, int, int *);
int32_t opus_encode_float(OpusEncoder *, const float *, int, uint8_t *, int32_t);
void opus_encoder_destroy(OpusEncoder *);
OpusDecoder *opus_decoder_create(int32_t, int, int *);
int opus_decode_float(OpusDecoder *, const uint8_t *, int32_t, float *, int, int);
int opus_packet_get_nb_frames(const uint8_t *, int32_t);
void opus_decoder_destroy(OpusDecoder *);
const char *opus_strerror(int);
}

void work_opus(World &w)
{
	const int audio = 2049, set_bitrate = 4002, get_bitrate = 4003, set_complexity = 4010, rate = 48000, frame = 960;
	const std::vector<float> tone = sample_tone(static_cast<size_t>(frame) * 25, rate);
	int *error = w.one<int>(), *value = w.one<int>();
	float *in = w.array<float>(frame), *back = w.array<float>(frame);
	uint8_t *packet = w.array<uint8_t>(4000);

	w.note("version", CALL(opus_get_version_string, w));
	OpusEncoder *e = CALL(opus_encoder_create, w, rate, 1, audio, error);
	w.check(e != nullptr && *error == 0, "opus_encoder_create");
	w.check(w.variadic<int>("opus_encoder_ctl", e, set_bitrate, 64000) == 0, "set");
	w.check(w.variadic<int>("opus_encoder_ctl", e, set_complexity, 5) == 0, "set");
	w.check(w.variadic<int>("opus_encoder_ctl", e, get_bitrate, value) == 0 && *value == 64000, "get");
	OpusDecoder *d = CALL(opus_decoder_create, w, rate, 1, error);
	w.check(d != nullptr && *error == 0, "opus_decoder_create");
	std::vector<float> out;
	std::string packets;
	for (size_t i = 0; i < 25; i++) {
		memcpy(in, &tone[i * frame], frame * sizeof(float));
		int32_t n = CALL(opus_encode_float, w, e, in, frame, packet, 4000);
		w.check(n > 0 && CALL(opus_packet_get_nb_frames, w, packet, n) == 1, "opus_encode_float");
		packets.append(reinterpret_cast<char *>(packet), static_cast<size_t>(n));
		w.check(CALL(opus_decode_float, w, d, packet, n, back, frame, 0) == frame, "opus_decode_float");
		out.insert(out.end(), back, back + frame);
	}
	w.note("packets", packets);
	w.note("samples", out.data(), out.size() * sizeof(float));
	// What comes is 312 samples late; a tone of amplitude 1/2 has the mean square 1/8.
	double square = 0, difference = 0;
	for (size_t i = 4800; i < out.size(); i++) {
		square += static_cast<double>(out[i]) * static_cast<double>(out[i]);
		difference += fabs(static_cast<double>(out[i] - tone[i - 312]));
	}
	double n = static_cast<double>(out.size() - 4800);
	w.note("mean square in thousandths", static_cast<long>(square / n * 1000));
	w.note("difference in thousandths", static_cast<long>(difference / n * 1000));
	w.check(fabs(square / n - 0.125) < 0.01 && difference / n < 0.01, "near");
	w.check(CALL(opus_decode_float, w, d, nullptr, 0, back, frame, 0) == frame, "a lost packet is filled in");
	w.note("filled in", back, frame * sizeof(float));
	packet[0] = 0xff;
	packet[1] = 0xff;
	int rc = CALL(opus_decode_float, w, d, packet, 2, back, frame, 0);
	w.check(rc < 0, "a broken one is refused");
	w.note("error", CALL(opus_strerror, w, rc));
	CALL(opus_encoder_destroy, w, e);
	CALL(opus_decoder_destroy, w, d);
}

Load load_opus(World &w)
{
	const int audio = 2049, rate = 48000, frame = 960, frames = 100, room = 4000;
	const std::vector<float> tone = sample_tone(static_cast<size_t>(frame) * frames, rate);
	int *error = w.one<int>();
	float *in = w.copy(tone), *back = w.array<float>(tone.size());
	uint8_t *packets = w.array<uint8_t>(static_cast<size_t>(room) * frames);
	int32_t *lengths = w.array<int32_t>(frames);
	const size_t bytes = tone.size() * sizeof(float);
	OpusEncoder *e = CALL(opus_encoder_create, w, rate, 1, audio, error);
	w.check(e != nullptr, "opus_encoder_create");
	for (int i = 0; i < frames; i++) {
		lengths[i] = CALL(opus_encode_float, w, e, in + i * frame, frame, packets + i * room, room);
		w.check(lengths[i] > 0, "opus_encode_float");
	}
	CALL(opus_encoder_destroy, w, e);
	auto create = FUNCTION(w, opus_decoder_create);
	auto decode = FUNCTION(w, opus_decode_float);
	auto destroy = FUNCTION(w, opus_decoder_destroy);
	return {[=, &w] {
			OpusDecoder *d = create(rate, 1, error);
			w.check(d != nullptr, "opus_decoder_create");
			for (int i = 0; i < frames; i++) {
				w.check(decode(d, packets + i * room, lengths[i], back + i * frame, frame, 0) == frame, "opus_decode_float");
			}
			destroy(d);
		},
		[=, &w] { w.note("samples", back, bytes); }};
}
