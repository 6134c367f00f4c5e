#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Random signatures for the ABI tests.

usage: generate.py --seed N --count N --files N --out DIR [--suffix cc] [--clang]

Writes DIR/cases_I.c (I < files; the last fifth needs AVX-512, the two fifths before it AVX) and DIR/tables.c. With
--suffix cc they are C++; with --clang no __int128 and no double _Complex lies on the
stack, where clang breaks the ABI (the former before 18).
Every 20th is variadic.
Each case is a function that keeps what it gets, a binding, a function that calls it through the binding, and what this
file's own model of System V AMD64 says of the signature. The model shares nothing with bind_class.h.
"""
import argparse
import random


class Type:
    """classes: one for each eightbyte (I, S), or a single vector (V), or memory (M), long double (X), complex (C)."""

    def __init__(self, text, size, classes, align=8, level=0, struct=False, checked=None, declare=None):
        self.text, self.size, self.classes, self.align, self.level = text, size, classes, align, level
        self.struct = struct and classes != "M"
        self.checked = size if checked is None else checked
        self.declare = declare

    def entry(self):
        return f"LYCH_STRUCT({self.text}, {self.classes})" if self.struct or self.declare else self.text


def structs():
    table = [
        ("c1", "char a[1];", 1, "I", 8), ("c3", "char a[3];", 3, "I", 8), ("i1", "int a;", 4, "I", 8),
        ("i2", "int a, b;", 8, "I", 8), ("f1", "float a;", 4, "S", 8), ("f2", "float a, b;", 8, "S", 8),
        ("fi", "float a; int b;", 8, "I", 8), ("d1", "double a;", 8, "S", 8), ("i3", "int a, b, c;", 12, "II", 8),
        ("f3", "float a, b, c;", 12, "SS", 8), ("l2", "long a, b;", 16, "II", 8), ("d2", "double a, b;", 16, "SS", 8),
        ("ld", "long a; double b;", 16, "IS", 8), ("dl", "double a; long b;", 16, "SI", 8),
        ("lf", "long a; float b[2];", 16, "IS", 8), ("f2i", "float a, b; int c;", 12, "SI", 8),
        ("dci", "double a; char b[8];", 16, "SI", 8), ("c15", "char a[15];", 15, "II", 8),
        ("c16", "char a[16];", 16, "II", 8), ("fc", "float a; char b[4]; double c;", 16, "IS", 8),
        ("ii", "__int128 a;", 16, "II", 16), ("v1", "v4sf a;", 16, "V", 16), ("c17", "char a[17];", 17, "M", 8),
        ("l3", "long a, b, c;", 24, "M", 8), ("d4", "double a[4];", 32, "M", 8), ("i5", "int a[5];", 20, "M", 8),
        ("c100", "char a[100];", 100, "M", 8), ("v2", "v4sf a, b;", 32, "M", 16), ("li", "__int128 a[2];", 32, "M", 16),
    ]
    lines, types = [], []
    for name, body, size, classes, align in table:
        lines.append(f"struct {name} {{ {body} }};")
        types.append(Type(f"struct {name}", size, classes, align, struct=True))
    lines.append("struct __attribute__((packed)) pk { char a; long b; };")
    types.append(Type("struct pk", 9, "M", 8, declare=True))
    lines.append("struct x1 { long double a; };")
    types.append(Type("struct x1", 16, "X", 16, declare=True, checked=10))
    lines.append("union un { int a; float b; };")
    types.append(Type("union un", 4, "I", struct=True))
    lines.append("union ud { float a; double b; };")
    types.append(Type("union ud", 8, "S", struct=True))
    return lines, types


STRUCT_LINES, STRUCTS = structs()
INTEGERS = [Type(t, s, "I") for t, s in [
    ("char", 1), ("signed char", 1), ("unsigned char", 1), ("short", 2), ("unsigned short", 2), ("int", 4),
    ("unsigned", 4), ("long", 8), ("unsigned long", 8), ("long long", 8), ("enum en", 4), ("void *", 8),
    ("const char *", 8), ("int (*)(int)", 8)]] + [Type("bool", 1, "I", checked=0)]
FLOATS = [Type("float", 4, "S"), Type("double", 8, "S"), Type("double", 8, "S"), Type("float _Complex", 8, "S"),
          Type("double _Complex", 16, "SS"), Type("long double", 16, "X", 16, checked=10)]
RARE = [Type("__int128", 16, "II", 16), Type("unsigned __int128", 16, "II", 16),
        Type("long double _Complex", 32, "C", 16, checked=10), Type("v4sf", 16, "V", 16), Type("v2di", 16, "V", 16),
        Type("v16qi", 16, "V", 16), Type("__float128", 16, "V", 16)]
WIDE = {1: [Type("v8sf", 32, "V", 32, 1), Type("v4di", 32, "V", 32, 1)],
        2: [Type("v16sf", 64, "V", 64, 2), Type("v8di", 64, "V", 64, 2), Type("v4di", 32, "V", 32, 1)]}
WIDE[1].append(Type("struct w32", 32, "V", 32, 1, struct=True))
VOID = None


def eightbyte(t, i):
    return min(8, t.size - 8 * i)


def vector_width(t, i):
    if t.classes == "V":
        return {16: 4, 32: 5, 64: 6}[t.size]
    return 2 if eightbyte(t, i) <= 4 else 3


def model(result, args, clang):
    """What a binding of this signature has to say; None when it is one that is refused."""
    g = 1 if result and result.classes == "M" else 0
    v = words = narrow = widths = 0
    for t in args:
        memory = t.classes in "MXC"
        need_g = 0 if memory else t.classes.count("I")
        need_v = 0 if memory else len(t.classes) - need_g
        if memory or g + need_g > 6 or v + need_v > 8:
            if t.align > 16 or (clang and ("__int128" in t.text or t.text == "double _Complex")):
                return None
            if t.align == 16 and words % 2:
                words += 1
            words += (t.size + 7) // 8
            continue
        for i, c in enumerate(t.classes):
            if c == "I":
                if t.struct and eightbyte(t, i) <= 4:
                    narrow |= 1 << g
                g += 1
            else:
                widths |= vector_width(t, i) << (4 * v)
                v += 1
    code = 0
    if result:
        c = result.classes
        code = {"X": 4, "C": 5, "M": 0}.get(c)
        if code is None:
            code = 0 if set(c) == {"I"} else {16: 1, 32: 2, 64: 3}.get(result.size, 1) if c == "V" else 1
    return dict(ngpr=g, nvec=v, words=words, narrow=narrow, widths=widths, result=code)


def pick(rng, level):
    pools = [(INTEGERS, 45), (FLOATS, 22), (STRUCTS, 20), (RARE, 8)]
    if level:
        pools.append((WIDE[level], 15))
    pool = rng.choices([p for p, _ in pools], [w for _, w in pools])[0]
    return rng.choice(pool)


def signature(rng, level, clang):
    while True:
        count = rng.choice([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 12, 16])
        args = [pick(rng, level) for _ in range(count)]
        if count and rng.random() < 0.1: # many of one kind, so that registers run out
            args = [rng.choice(rng.choice([INTEGERS, FLOATS, RARE[:4]])) for _ in range(count)]
        result = VOID if rng.random() < 0.1 else pick(rng, level)
        m = model(result, args, clang)
        if m:
            return result, args, m


PROMOTED = [t for t in INTEGERS if t.size >= 4 and "(*)" not in t.text and "enum" not in t.text] # C++ promotes enums
DOUBLE, LONG_DOUBLE = FLOATS[1], FLOATS[5]
IN_VARIADIC = [t for t in STRUCTS if t.text in (
    "struct i3", "struct l2", "struct d2", "struct ld", "struct l3", "struct x1")]


def variadic(rng, clang):
    """(result, fixed arguments, arguments of the use, model): registers of one class, at least, run out."""
    while True:
        fixed = [rng.choice(INTEGERS + FLOATS) for _ in range(rng.randint(1, 3))]
        use = rng.choice([[rng.choice(PROMOTED) for _ in range(7)], [DOUBLE] * 9,
                          [rng.choice(PROMOTED) for _ in range(5)] + [DOUBLE] * 5])
        use = use + [LONG_DOUBLE] + [rng.choice(PROMOTED + IN_VARIADIC) for _ in range(rng.randint(0, 2))]
        rng.shuffle(use)
        result = VOID if rng.random() < 0.1 else pick(rng, 0)
        m = model(result, fixed + use, clang)
        if m:
            return result, fixed, use, m


def emit_variadic(out, i, result, fixed, use, m):
    args = fixed + use
    ret = result.text if result else "void"
    last = len(fixed) - 1
    typedef = f"typedef __typeof__({ret}) r{i};" if result else f"typedef void r{i};"
    out.append(f"{typedef} r{i} fn{i}({', '.join(t.text for t in fixed)}, ...); STUB(fn{i}, real{i})")
    keep = " ".join(f"GOT({k}, a{k});" for k in range(len(fixed)))
    keep += f" va_list ap; va_start(ap, a{last}); "
    keep += " ".join(f"{{ {t.text} a{k} = va_arg(ap, {t.text}); GOT({k}, a{k}); }}"
                     for k, t in enumerate(args) if k > last)
    out.append(f"USED static r{i} real{i}({', '.join(parameter(t, k) for k, t in enumerate(fixed))}, ...) "
               f"{{ {keep} va_end(ap); {f'RETURN(r{i})' if result else ''} }}")
    out.append(f"LYCH_BIND_VARIADIC(d, use{i}, fn{i}, {result.entry() if result else 'void'}, "
               f"({', '.join(t.entry() for t in fixed)}), ({', '.join(t.entry() for t in use)}));")
    text = f"{ret} ({', '.join(t.text for t in fixed)}, ... {', '.join(t.text for t in use)})"
    return caller(out, i, f"use{i}", text, result, args, m, True)


def emit(out, i, result, args, m):
    types = ", ".join(t.text for t in args) or "void"
    entries = ", ".join(t.entry() for t in args) or "void"
    ret = result.text if result else "void"
    declare = ", ".join(parameter(t, k) for k, t in enumerate(args)) or "void"
    typedef = f"typedef __typeof__({ret}) r{i};" if result else f"typedef void r{i};"
    out.append(f"{typedef} r{i} fn{i}({types}); STUB(fn{i}, real{i})")
    keep = " ".join(f"GOT({k}, a{k});" for k in range(len(args)))
    out.append(f"USED static r{i} real{i}({declare}) {{ {keep} {f'RETURN(r{i})' if result else ''} }}")
    out.append(f"LYCH_BIND(d, fn{i}, {result.entry() if result else 'void'}, ({entries}));")
    return caller(out, i, f"fn{i}", f"{ret} ({types})", result, args, m, False)


def caller(out, i, bound, text, result, args, m, is_variadic):
    names = ", ".join(f"a{k}" for k in range(len(args)))
    sent = " ".join(f"SENT({parameter(t, k)}, a{k}, {k});" for k, t in enumerate(args))
    call = f"{bound}{', ' + names if names else ''}"
    if result:
        out.append(f"static int call{i}(struct lych_domain *d) {{ {sent} r{i} r; int rc = LYCH_CALL(d, &r, {call}); "
                   "KEEP(r); return rc; }")
    else:
        out.append(f"static int call{i}(struct lych_domain *d) {{ {sent} return LYCH_CALL(d, NULL, {call}); }}")
    sizes = ", ".join(str(t.checked) for t in args) or "0"
    entry = (f'{{ "{text}", &lych_binding_d_{bound}, call{i}, {m["ngpr"]}, {m["nvec"]}, {m["result"]}, '
             f'{m["narrow"]}, {m["words"]}, {len(args)}, {m["widths"]:#x}, {{ {sizes} }}, '
             f'{result.checked if result else 255}, {int(is_variadic)} }}')
    return entry


def parameter(t, k):
    return t.text.replace("(*)", f"(*a{k})") if "(*)" in t.text else f"{t.text} a{k}"


def main():
    p = argparse.ArgumentParser()
    for name in ("seed", "count", "files"):
        p.add_argument("--" + name, type=int, required=True)
    p.add_argument("--out", required=True)
    p.add_argument("--suffix", default="c")
    p.add_argument("--clang", action="store_true")
    a = p.parse_args()
    tables = []
    for f in range(a.files):
        rng = random.Random(a.seed * 1000003 + f)
        level = 2 if f >= a.files - max(1, a.files // 5) else 1 if f >= a.files - 3 * max(1, a.files // 5) else 0
        lines = ["/* Made by generate.py. */", '#include "cases.h"', "LYCH_BEGIN_DECLS",
                 f"extern const struct abi_table abi_table_{f};"] + STRUCT_LINES
        if level:
            lines.append("struct w32 { v8sf a; };")
        entries = []
        for i in range(a.count // a.files + (f < a.count % a.files)):
            if i % 20 == 19:
                entries.append(emit_variadic(lines, i, *variadic(rng, a.clang)))
            else:
                entries.append(emit(lines, i, *signature(rng, level, a.clang)))
        lines.append("static const struct abi_case cases[] = {")
        lines += [e + "," for e in entries]
        lines.append("};")
        lines.append(f"const struct abi_table abi_table_{f} = {{ cases, {len(entries)}, {level} }};")
        lines.append("LYCH_END_DECLS")
        with open(f"{a.out}/cases_{f}.{a.suffix}", "w") as o:
            o.write("\n".join(lines) + "\n")
        tables.append(f)
    with open(f"{a.out}/tables.c", "w") as o:
        o.write('#include "abi.h"\n')
        for f in tables:
            o.write(f"extern const struct abi_table abi_table_{f};\n")
        o.write("const struct abi_table *const abi_all[] = { " + ", ".join(f"&abi_table_{f}" for f in tables) +
                ", 0 };\n")
        o.write(f"const unsigned long abi_seed = {a.seed};\n")


main()
