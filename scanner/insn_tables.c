/* SPDX-License-Identifier: Apache-2.0 */
#include <stddef.h>

#include "insn_tables.h"

#define NONE16 "----------------"
#define ALL16 "MMMMMMMMMMMMMMMM"

/* One-byte opcodes. */
static const char legacy0[] =
	"MMMMbz--MMMMbz-P" /* 00 */
	"MMMMbz--MMMMbz--" /* 10 */
	"MMMMbzP-MMMMbzP-" /* 20 */
	"MMMMbzP-MMMMbzP-" /* 30 */
	"PPPPPPPPPPPPPPPP" /* 40 */
	"................" /* 50 */
	"--PMPPPPzIbi...." /* 60 */
	"jjjjjjjjjjjjjjjj" /* 70 */
	"iI-iMMMMMMMMMMMM" /* 80 */
	"..........-....." /* 90 */
	"aaaa....bz......" /* A0 */
	"bbbbbbbbvvvvvvvv" /* B0 */
	"iiw.PPxXe.w..b-." /* C0 */
	"MMMM-P-.MMMMMMMM" /* D0 */
	"jjjjbbbbJJ-j...." /* E0 */
	"P.PP..tT......MM" /* F0 */;

/* 0F */
static const char legacy1[] =
	"MMMM-.....-.-M.i" /* 00 */
	ALL16              /* 10 */
	"cccc----MMMMMMMM" /* 20 */
	"......-.P-P-----" /* 30 */
	ALL16              /* 40 */
	ALL16              /* 50 */
	ALL16              /* 60 */
	"iiiiMMM.sM--MMMM" /* 70 */
	"JJJJJJJJJJJJJJJJ" /* 80 */
	ALL16              /* 90 */
	"...MiMMM...MiMMM" /* A0 */
	"MMMMMMMMMMiMMMMM" /* B0 */
	"MMiMiiiM........" /* C0 */
	ALL16              /* D0 */
	ALL16              /* E0 */
	ALL16              /* F0 */;

/* 0F 38 */
static const char legacy2[] =
	"MMMMMMMMMMMM----" /* 00 */
	"M---MM-M----MMM-" /* 10 */
	"MMMMMM--MMMM----" /* 20 */
	"MMMMMM-MMMMMMMMM" /* 30 */
	"MM--------------" /* 40 */
	NONE16 NONE16 NONE16 /* 50-70 */
	"MMM-------MM----" /* 80 */
	NONE16 NONE16 NONE16 /* 90-B0 */
	"--------MMMMMM-M" /* C0 */
	"--------M--MMMMM" /* D0 */
	NONE16             /* E0 */
	"MM---MM-MMMMM---" /* F0 */;

/* 0F 3A */
static const char legacy3[] =
	"--------iiiiiiii" /* 00 */
	"----iiii--------" /* 10 */
	"iii-------------" /* 20 */
	NONE16             /* 30 */
	"iii-i-----------" /* 40 */
	NONE16             /* 50 */
	"iiii------------" /* 60 */
	NONE16 NONE16 NONE16 NONE16 NONE16 /* 70-B0 */
	"------------i-ii" /* C0 */
	"---------------i" /* D0 */
	NONE16             /* E0 */
	"i---------------" /* F0 */;

static const char vex1[] =
	NONE16             /* 00 */
	"MMMMMMMMM-------" /* 10 */
	"--------MMMMMMMM" /* 20 */
	NONE16             /* 30 */
	"-MMMMMMMMMMM----" /* 40 */
	ALL16              /* 50 */
	ALL16              /* 60 */
	"iiiiMMM.----MMMM" /* 70 */
	NONE16             /* 80 */
	"MMMM-M-MMM------" /* 90 */
	"--------------M-" /* A0 */
	NONE16             /* B0 */
	"--i-iii---------" /* C0 */
	ALL16              /* D0 */
	ALL16              /* E0 */
	"MMMMMMMMMMMMMMM-" /* F0 */;

static const char vex2[] =
	ALL16              /* 00 */
	"---M--MMMMM-MMM-" /* 10 */
	"MMMMMM--MMMMMMMM" /* 20 */
	ALL16              /* 30 */
	"MM---MMMMMMM----" /* 40 */
	"MMMM----MMM-M-MM" /* 50 */
	"-----------MMMMM" /* 60 */
	"--M-----MM------" /* 70 */
	"------------M-M-" /* 80 */
	"MMMM--MMMMMMMMMM" /* 90 */
	"------MMMMMMMMMM" /* A0 */
	"MM--MMMMMMMMMMMM" /* B0 */
	"-----------MMM-M" /* C0 */
	"--MM------MMMMMM" /* D0 */
	ALL16              /* E0 */
	"--MM-MMM--------" /* F0 */;

static const char vex3[] =
	"iii-iii-iiiiiiii" /* 00 */
	"----iiiiii---i--" /* 10 */
	"iii-------------" /* 20 */
	"iiii----ii----i-" /* 30 */
	"iii-i-i-iiiii---" /* 40 */
	"------------iiii" /* 50 */
	"iiii----iiiiiiii" /* 60 */
	"--------iiiiiiii" /* 70 */
	NONE16 NONE16 NONE16 NONE16 /* 80-B0 */
	"--------------ii" /* C0 */
	"--------------ii" /* D0 */
	NONE16             /* E0 */
	"i---------------" /* F0 */;

/* WRMSRNS, RDMSR and URDMSR, UWRMSR with an immediate */
static const char vex7[] =
	NONE16 NONE16 NONE16 NONE16 NONE16 NONE16 NONE16 NONE16 /* 00-70 */
	NONE16 NONE16 NONE16 NONE16 NONE16 NONE16 NONE16        /* 80-E0 */
	"------d-d-------"                                       /* F0 */;

static const char evex1[] =
	NONE16             /* 00 */
	"MMMMMMMM--------" /* 10 */
	"--------MMMMMMMM" /* 20 */
	NONE16 NONE16      /* 30, 40 */
	"-M--MMMMMMMMMMMM" /* 50 */
	ALL16              /* 60 */
	"iiiiMMM-MMMM--MM" /* 70 */
	NONE16             /* 80 */
	"MMMM------------" /* 90 */
	NONE16 NONE16      /* A0, B0 */
	"--i-iii---------" /* C0 */
	"-MMMMMM-MMMMMMMM" /* D0 */
	ALL16              /* E0 */
	"-MMMMMM-MMMMMMM-" /* F0 */;

static const char evex2[] =
	"M---M------MMM--" /* 00 */
	"MMMMMMM-MMMMMMMM" /* 10 */
	"MMMMMMMMMMMMMM--" /* 20 */
	ALL16              /* 30 */
	"M-MMMMMM-MMMMMMM" /* 40 */
	"MMMMMM--MMMM----" /* 50 */
	"--MMMMM-M---MMMM" /* 60 */
	"MMMM-MMMMMMMMMMM" /* 70 */
	"---M----MMMM-M-M" /* 80 */
	"MMMM--MMMMMMMMMM" /* 90 */
	"MMMM--MMMMMMMMMM" /* A0 */
	"MM--MMMMMMMMMMMM" /* B0 */
	"----M-MMM-MMMM-M" /* C0 */
	"--MM------M-MMMM" /* D0 */
	ALL16              /* E0 */
	"--MM-MMM--------" /* F0 */;

static const char evex3[] =
	"ii-iii--iiii---i" /* 00 */
	"----iiiiiiii-iii" /* 10 */
	"iiii-iii--------" /* 20 */
	"--------iiii--ii" /* 30 */
	"--iii-----------" /* 40 */
	"iiiiiiii--------" /* 50 */
	"------ii--------" /* 60 */
	"iiii------------" /* 70 */
	NONE16 NONE16 NONE16 NONE16 /* 80-B0 */
	"--i-----------ii" /* C0 */
	NONE16 NONE16      /* D0, E0 */
	"i---------------" /* F0 */;

/* APX: what was in the one-byte map and in 0F, with new data destination or no flags */
static const char evex4[] =
	"MMMM----MMMM----" /* 00 */
	"MMMM----MMMM----" /* 10 */
	"MMMMi---MMMMi---" /* 20 */
	"MMMM----MMMM----" /* 30 */
	ALL16              /* 40 */
	NONE16             /* 50 */
	"MM---MM--I-i----" /* 60 */
	NONE16             /* 70 */
	"iI-iMM--M------M" /* 80 */
	NONE16             /* 90 */
	"-----M-------M-M" /* A0 */
	NONE16             /* B0 */
	"ii--------------" /* C0 */
	"MMMMi---MMMMMMMM" /* D0 */
	NONE16             /* E0 */
	"MMM-MMtTMM--M-MM" /* F0 */;

static const char evex5[] =
	NONE16             /* 00 */
	"MM-----------M--" /* 10 */
	"----------M-MMMM" /* 20 */
	NONE16 NONE16      /* 30, 40 */
	"-M------MMMMMMMM" /* 50 */
	"--------------M-" /* 60 */
	"--------MMMMMMM-" /* 70 */
	NONE16 NONE16 NONE16 NONE16 /* 80-B0 */
	NONE16 NONE16 NONE16 NONE16 /* C0-F0 */;

static const char evex6[] =
	NONE16             /* 00 */
	"---M------------" /* 10 */
	"------------MM--" /* 20 */
	NONE16             /* 30 */
	"--MM--------MMMM" /* 40 */
	"------MM--------" /* 50 */
	NONE16 NONE16 NONE16 /* 60-80 */
	"------MMMMMMMMMM" /* 90 */
	"------MMMMMMMMMM" /* A0 */
	"------MMMMMMMMMM" /* B0 */
	NONE16             /* C0 */
	"------MM--------" /* D0 */
	NONE16 NONE16      /* E0, F0 */;

static const char xop8[] =
	NONE16 NONE16 NONE16 NONE16 NONE16 NONE16 NONE16 NONE16 /* 00-70 */
	"-----iii------ii" /* 80 */
	"-----iii------ii" /* 90 */
	"--ii--i---------" /* A0 */
	"------i---------" /* B0 */
	"iiii--------iiii" /* C0 */
	NONE16             /* D0 */
	"------------iiii" /* E0 */
	NONE16             /* F0 */;

static const char xop9[] =
	"-MM-------------" /* 00 */
	"--M-------------" /* 10 */
	NONE16 NONE16 NONE16 NONE16 NONE16 NONE16 /* 20-70 */
	"MMMM------------" /* 80 */
	"MMMMMMMMMMMM----" /* 90 */
	NONE16 NONE16      /* A0, B0 */
	"-MMM--MM---M----" /* C0 */
	"-MMM--MM---M----" /* D0 */
	"-MMM------------" /* E0 */
	NONE16             /* F0 */;

static const char xop10[] =
	NONE16             /* 00 */
	"d-d-------------" /* 10 */
	NONE16 NONE16 NONE16 NONE16 NONE16 NONE16 NONE16 /* 20-80 */
	NONE16 NONE16 NONE16 NONE16 NONE16 NONE16 NONE16 /* 90-F0 */;

#define CHECK_MAP(map) _Static_assert(sizeof(map) == 257, "256 opcodes")
CHECK_MAP(legacy0);
CHECK_MAP(legacy1);
CHECK_MAP(legacy2);
CHECK_MAP(legacy3);
CHECK_MAP(vex1);
CHECK_MAP(vex2);
CHECK_MAP(vex3);
CHECK_MAP(vex7);
CHECK_MAP(evex1);
CHECK_MAP(evex2);
CHECK_MAP(evex3);
CHECK_MAP(evex4);
CHECK_MAP(evex5);
CHECK_MAP(evex6);
CHECK_MAP(xop8);
CHECK_MAP(xop9);
CHECK_MAP(xop10);

#define MAP_OF(table, map) ((map) < sizeof(table) / sizeof((table)[0]) ? (table)[map] : NULL)

const char *insn_map_legacy(unsigned map)
{
	static const char *const maps[] = {legacy0, legacy1, legacy2, legacy3};

	return MAP_OF(maps, map);
}

const char *insn_map_vex(unsigned map)
{
	static const char *const maps[] = {NULL, vex1, vex2, vex3, NULL, NULL, NULL, vex7};

	return MAP_OF(maps, map);
}

const char *insn_map_evex(unsigned map)
{
	/* map 7 as with VEX: the same instructions promoted by APX */
	static const char *const maps[] = {NULL, evex1, evex2, evex3, evex4, evex5, evex6, vex7};

	return MAP_OF(maps, map);
}

const char *insn_map_xop(unsigned map)
{
	static const char *const maps[] = {[8] = xop8, [9] = xop9, [10] = xop10};

	return MAP_OF(maps, map);
}
