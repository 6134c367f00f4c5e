// SPDX-License-Identifier: Apache-2.0
// libvorbis with libogg: a tone encoded, and decoded by libvorbisfile by way of the host's reader, a struct of four callbacks
// passed by value.
#include "world.h"

#include <math.h>

// vorbis_info has 56 bytes, vorbis_comment 32, vorbis_dsp_state 144, vorbis_block 192, ogg_stream_state 408, OggVorbis_File 944.
extern "C" {
struct ogg_page {
	uint8_t *header;
	long header_len;
	uint8_t *body;
	long body_len;
};
struct ogg_packet {
	uint8_t *packet;
	long bytes, b_o_s, e_o_s;
	int64_t granulepos, packetno;
};
struct ov_callbacks {
	size_t (*read)(void *, size_t, size_t, void *);
	int (*seek)(void *, int64_t, int);
	int (*close)(void *);
	long (*tell)(void *);
};
void vorbis_info_init(void *);
int vorbis_encode_init_vbr(void *, long, long, float);
void vorbis_comment_init(void *);
void vorbis_comment_add_tag(void *, const char *, const char *);
int vorbis_analysis_init(void *, void *);
int vorbis_block_init(void *, void *);
int vorbis_analysis_headerout(void *, void *, ogg_packet *, ogg_packet *, ogg_packet *);
float **vorbis_analysis_buffer(void *, int);
int vorbis_analysis_wrote(void *, int);
int vorbis_analysis_blockout(void *, void *);
int vorbis_analysis(void *, ogg_packet *);
int vorbis_bitrate_addblock(void *);
int vorbis_bitrate_flushpacket(void *, ogg_packet *);
int vorbis_block_clear(void *);
void vorbis_dsp_clear(void *);
void vorbis_comment_clear(void *);
void vorbis_info_clear(void *);
int ogg_stream_init(void *, int);
int ogg_stream_packetin(void *, ogg_packet *);
int ogg_stream_flush(void *, ogg_page *);
int ogg_stream_pageout(void *, ogg_page *);
int ogg_stream_clear(void *);
int ov_open_callbacks(void *, void *, const char *, long, ov_callbacks);
int64_t ov_pcm_total(void *, int);
long ov_read_float(void *, float ***, int, int *);
int ov_pcm_seek(void *, int64_t);
int ov_clear(void *);
}

namespace
{

std::string file;
size_t at;

size_t read(void *to, size_t size, size_t items, void *)
{
	size_t n = std::min(size * items, file.size() - at);
	load_callbacks++;
	memcpy(to, file.data() + at, n);
	at += n;
	return n / size;
}
int seek(void *, int64_t to, int whence)
{
	load_callbacks++;
	at = static_cast<size_t>(to + (whence == 1 ? static_cast<int64_t>(at) : whence == 2 ? static_cast<int64_t>(file.size()) : 0));
	return 0;
}
int close(void *) { return 0; }
long tell(void *)
{
	load_callbacks++;
	return static_cast<long>(at);
}
LYCH_CALLBACK(read, size_t, (void *, size_t, size_t, void *));
LYCH_CALLBACK(seek, int, (void *, int64_t, int));
LYCH_CALLBACK(close, int, (void *));
LYCH_CALLBACK(tell, long, (void *));

} // namespace

std::string encode_vorbis(World &w, const std::vector<float> &samples)
{
	void *vi = w.bytes(56), *vc = w.bytes(32), *vd = w.bytes(144), *vb = w.bytes(192), *os = w.bytes(408);
	ogg_packet *op = w.array<ogg_packet>(3);
	ogg_page *og = w.one<ogg_page>();
	std::string out;
	auto take = [&] {
		out.append(reinterpret_cast<char *>(og->header), static_cast<size_t>(og->header_len));
		out.append(reinterpret_cast<char *>(og->body), static_cast<size_t>(og->body_len));
	};
	CALL(vorbis_info_init, w, vi);
	w.check(CALL(vorbis_encode_init_vbr, w, vi, 1, 22050, 0.4f) == 0, "vorbis_encode_init_vbr");
	CALL(vorbis_comment_init, w, vc);
	CALL(vorbis_comment_add_tag, w, vc, w.text("TITLE"), w.text("a tone"));
	w.check(CALL(vorbis_analysis_init, w, vd, vi) == 0 && CALL(vorbis_block_init, w, vd, vb) == 0, "vorbis_analysis_init");
	w.check(CALL(ogg_stream_init, w, os, 77) == 0, "ogg_stream_init");
	w.check(CALL(vorbis_analysis_headerout, w, vd, vc, op, op + 1, op + 2) == 0, "vorbis_analysis_headerout");
	for (int i = 0; i < 3; i++) {
		CALL(ogg_stream_packetin, w, os, op + i);
	}
	while (CALL(ogg_stream_flush, w, os, og) != 0) {
		take();
	}
	// The last round says that there is no more.
	for (size_t done = 0, n = 1; n != 0; done += n) {
		n = std::min<size_t>(4096, samples.size() - done);
		if (n != 0) {
			memcpy(CALL(vorbis_analysis_buffer, w, vd, static_cast<int>(n))[0], &samples[done], n * sizeof(float));
		}
		CALL(vorbis_analysis_wrote, w, vd, static_cast<int>(n));
		while (CALL(vorbis_analysis_blockout, w, vd, vb) == 1) {
			CALL(vorbis_analysis, w, vb, nullptr);
			CALL(vorbis_bitrate_addblock, w, vb);
			while (CALL(vorbis_bitrate_flushpacket, w, vd, op) != 0) {
				CALL(ogg_stream_packetin, w, os, op);
				while (CALL(ogg_stream_pageout, w, os, og) != 0) {
					take();
				}
			}
		}
	}
	while (CALL(ogg_stream_flush, w, os, og) != 0) {
		take();
	}
	CALL(ogg_stream_clear, w, os);
	CALL(vorbis_block_clear, w, vb);
	CALL(vorbis_dsp_clear, w, vd);
	CALL(vorbis_comment_clear, w, vc);
	CALL(vorbis_info_clear, w, vi);
	return out;
}

void work_vorbis(World &w)
{
	const std::vector<float> tone = sample_tone(22050, 22050);
	w.load("libvorbisenc.so.2");
	w.load("libvorbisfile.so.3");
	w.load("libogg.so.0");
	file = encode_vorbis(w, tone);
	w.note("file", file);
	w.check(file.substr(0, 4) == "OggS" && file.size() > 2000 && file.size() < 40000, "its beginning");

	void *vf = w.bytes(944);
	float ***pcm = w.one<float **>();
	int *section = w.one<int>();
	ov_callbacks callbacks = {CALLBACK(w, read), CALLBACK(w, seek), CALLBACK(w, close), CALLBACK(w, tell)};
	at = 0;
	w.check(CALL(ov_open_callbacks, w, w.bytes(1), vf, nullptr, 0, callbacks) == 0, "ov_open_callbacks");
	w.check(CALL(ov_pcm_total, w, vf, -1) == 22050, "as many samples");
	std::vector<float> back;
	for (long n; (n = CALL(ov_read_float, w, vf, pcm, 4096, section)) > 0;) {
		back.insert(back.end(), (*pcm)[0], (*pcm)[0] + n);
	}
	w.check(back.size() == tone.size(), "all of them");
	double difference = 0;
	for (size_t i = 0; i < back.size(); i++) {
		difference += fabs(static_cast<double>(back[i] - tone[i]));
	}
	w.check(difference / 22050 < 0.02, "near");
	w.note("samples", back.data(), back.size() * sizeof(float));
	w.check(CALL(ov_pcm_seek, w, vf, 11025) == 0 && CALL(ov_read_float, w, vf, pcm, 100, section) == 100, "ov_pcm_seek");
	w.check(fabsf((*pcm)[0][0] - back[11025]) < 0.01f, "where it says");
	CALL(ov_clear, w, vf);
	file = "no Ogg at all";
	at = 0;
	w.check(CALL(ov_open_callbacks, w, w.bytes(1), vf, nullptr, 0, callbacks) < 0, "what is none is refused");
}

Load load_vorbis(World &w)
{
	const size_t samples = 3 * 22050;
	w.load("libvorbisenc.so.2");
	w.load("libvorbisfile.so.3");
	w.load("libogg.so.0");
	file = encode_vorbis(w, sample_tone(samples, 22050));
	void *vf = w.bytes(944), *source = w.bytes(1);
	float ***pcm = w.one<float **>(), *back = w.array<float>(samples + 4096);
	size_t *n = w.one<size_t>();
	int *section = w.one<int>();
	ov_callbacks callbacks = {CALLBACK(w, read), CALLBACK(w, seek), CALLBACK(w, close), CALLBACK(w, tell)};
	auto open = FUNCTION(w, ov_open_callbacks);
	auto read_float = FUNCTION(w, ov_read_float);
	auto clear = FUNCTION(w, ov_clear);
	return {[=, &w] {
			at = 0;
			*n = 0;
			w.check(open(source, vf, nullptr, 0, callbacks) == 0, "ov_open_callbacks");
			for (long got; (got = read_float(vf, pcm, 4096, section)) > 0; *n += static_cast<size_t>(got)) {
				w.check(*n <= samples, "no more samples");
				memcpy(back + *n, (*pcm)[0], static_cast<size_t>(got) * sizeof(float));
			}
			clear(vf);
		},
		[=, &w] { w.note("samples", back, *n * sizeof(float)); }};
}
