"""Random matches on a buffer, in rule syntax: content with every modifier, pcre, isdataat, byte_*, bsize.

`words` are byte strings that occur in the traffic, so that a fair share of the rules match.
"""

import re

FLAG_SETS = ("", "", "", "i", "s", "m", "x", "A", "E", "G", "is", "ism")


def quoted(data):
    return "".join(
        chr(b) if (b < 128 and chr(b).isalnum()) or chr(b) in "/.=-_ <>&?%" else f"|{b:02x}|" for b in data
    )


def fragment(rng, words):
    word = rng.choice(words)
    if len(word) > 2 and rng.random() < 0.5:
        a = rng.randrange(len(word) - 1)
        word = word[a : a + rng.randint(1, min(12, len(word) - a))]
    if rng.random() < 0.05:
        word = bytes(rng.choice(b"abxyz01") for _ in range(rng.randint(1, 4)))
    return word


def content(rng, words, *, first, buffered=False):
    word = fragment(rng, words)
    text = ("!" if rng.random() < 0.12 else "") + f'"{quoted(word)}"'
    options = []
    if rng.random() < 0.25:
        options.append("nocase")
        if rng.random() < 0.5:
            text = text.upper() if "|" not in text else text
    choice = rng.random()
    size = len(word)
    if choice < 0.12:
        options.append("startswith")
    elif choice < 0.22:
        options.append("endswith")
    elif choice < 0.34:
        options.append(f"depth:{size + rng.choice((0, 0, 1, 3, 10, 40))}")
    elif choice < 0.42:
        options.append(f"offset:{rng.choice((0, 1, 2, 5, 20))}")
    elif choice < 0.48:
        options += [f"offset:{rng.choice((0, 1, 4))}", f"depth:{size + rng.choice((0, 1, 8))}"]
    elif not first and choice < 0.60:
        options.append(f"distance:{rng.choice((0, 0, 0, 1, 2, 5, -1, -4, -10, 30))}")
    elif not first and choice < 0.70:
        options.append(f"within:{size + rng.choice((0, 0, 1, 3, 10, 60))}")
    elif not first and choice < 0.85:
        options += [
            f"distance:{rng.choice((0, 0, 1, 2, -2, -8, 7))}",
            f"within:{size + rng.choice((0, 1, 4, 20))}",
        ]
    if not first and not buffered and rng.random() < 0.03:
        options.append("rawbytes")
    if rng.random() < 0.06 and not text.startswith("!"):
        options.append(
            rng.choice(("fast_pattern", "fast_pattern:only") if not options else ("fast_pattern",))
        )
    return f"content:{text}; " + "".join(f"{option}; " for option in options)


def expression(rng, words, *, first):
    word = fragment(rng, words)
    body = re.escape(word).decode("latin-1").replace("/", r"\/").replace('"', r"\x22").replace(";", r"\x3b")
    body = "".join(c if 32 <= ord(c) < 127 else f"\\x{ord(c):02x}" for c in body)
    shape = rng.random()
    if shape < 0.15:
        body = "^" + body
    elif shape < 0.3:
        body += "$"
    elif shape < 0.4:
        body = body[:-1] + "." if body[-1].isalnum() and not re.search(r"\\x?.?$", body[:-1]) else body
    elif shape < 0.5:
        body += r"[^\r\n]{0,20}" + re.escape(fragment(rng, words).decode("latin-1")).replace(
            "/", r"\/"
        ).replace('"', "").replace(";", "")
        body = "".join(c if 32 <= ord(c) < 127 else f"\\x{ord(c):02x}" for c in body)
    elif shape < 0.55:
        body = rf"(?:{body}|zzz)\s*"
    flags = rng.choice(FLAG_SETS) + ("R" if not first and rng.random() < 0.4 else "")
    return f'pcre:{"!" if rng.random() < 0.12 else ""}"/{body}/{flags}"; '


def is_data_at(rng, *, first):
    relative = ",relative" if not first and rng.random() < 0.7 else ""
    return f"isdataat:{rng.choice(('', '', '!'))}{rng.choice((0, 1, 2, 5, 10, 30, 100))}{relative}; "


def byte_test(rng, *, first, names=()):
    text = rng.random() < 0.3
    width = rng.choice((1, 2, 3, 4, 8) if not text else (1, 2, 3, 5, 10))
    operator = rng.choice(("=", "<", ">", "<=", ">=", "&", "^", "!=", "!<", "!>", "!&", "!", "!^"))
    value = rng.choice((0, 1, 10, 0x41, 0x61, 200, 0x6162, 0x2020, "0x61", 0x20202020, 255, *names))
    options = ["relative"] * (not first and rng.random() < 0.5)
    if text:
        options += ["string", rng.choice(("dec", "hex", "oct"))]
    else:
        options += rng.choice(([], [], ["little"], ["big"]))
        if rng.random() < 0.15 and width in {1, 2, 4}:
            options.append(f"bitmask 0x{rng.choice((0x0F, 0xF0, 0x3C, 0xFF00)):x}")
    offset = rng.choice((0, 0, 1, 2, 4, 10, -1, -2) if "relative" in options else (0, 0, 1, 2, 4, 10, 40))
    return f"byte_test:{','.join(map(str, (width, operator, value, offset, *options)))}; "


def byte_jump(rng, *, first):
    text = rng.random() < 0.3
    width = rng.choice((1, 1, 1, 2) if not text else (1, 2, 3))
    options = ["relative"] * (not first and rng.random() < 0.5)
    if text:
        options += ["string", rng.choice(("dec", "hex", "oct"))]
    else:
        options += rng.choice(([], [], ["little"], ["big"]))
    for name, chance in (("align", 0.1), ("from_beginning", 0.15), ("from_end", 0.1)):
        if rng.random() < chance and not {"from_beginning", "from_end"} & set(options):
            options.append(name)
    if rng.random() < 0.15:
        options.append(f"multiplier {rng.choice((2, 3))}")
    if rng.random() < 0.2:
        options.append(f"post_offset {rng.choice((1, 2, -1, -3, 5))}")
    offset = rng.choice((0, 0, 1, 2, 5, -1) if "relative" in options else (0, 0, 1, 2, 10))
    return f"byte_jump:{','.join(map(str, (width, offset, *options)))}; "


def byte_extract(rng, name, *, first):
    text = rng.random() < 0.3
    width = rng.choice((1, 2, 4) if not text else (1, 2, 3))
    options = ["relative"] * (not first and rng.random() < 0.5)
    if text:
        options += ["string", rng.choice(("dec", "hex"))]
    else:
        options += rng.choice(([], ["little"], ["big"]))
    if rng.random() < 0.1:
        options.append("multiplier 2")
    if rng.random() < 0.1:
        options.append(f"align {rng.choice((2, 4))}")
    return f"byte_extract:{','.join(map(str, (width, rng.choice((0, 0, 1, 3)), name, *options)))}; "


def byte_math(rng, name, *, first):
    options = ["relative"] * (not first and rng.random() < 0.5)
    width = rng.choice((1, 2, 4))
    if rng.random() < 0.3:
        options += [f"string {rng.choice(('dec', 'hex'))}"]
    elif rng.random() < 0.4:
        options += [f"endian {rng.choice(('little', 'big'))}"]
    if rng.random() < 0.2:
        options += ["bitmask 0x0f"]
    operator = rng.choice("+-*/") if rng.random() < 0.8 else rng.choice(("<<", ">>"))
    return (
        f"byte_math:bytes {width}, offset {rng.choice((0, 0, 1, 3))}, oper {operator}, rvalue {rng.choice((1, 2, 3, 10))}, "
        f"result {name}{''.join(', ' + option for option in options)}; "
    )


def using(rng, words, name):
    word = fragment(rng, words)
    shape = rng.randrange(5)
    if shape == 0:
        return f'content:"{quoted(word)}"; offset:{name}; '
    if shape == 1:
        return f'content:"{quoted(word)}"; depth:{name}; '
    if shape == 2:
        return f'content:"{quoted(word)}"; distance:{name}; '
    if shape == 3:
        return f"isdataat:{rng.choice(('', '!'))}{name}{rng.choice(('', ',relative'))}; "
    return f"byte_test:1,{rng.choice('=<>')},{name},{rng.choice((0, 1, 4))}; "


def matches(rng, words, *, buffered=False, most=4):
    """One to `most` matches on one buffer."""
    out, first, names = "", True, []
    for _ in range(rng.randint(1, most)):
        kind = rng.random()
        if first or kind < 0.5:
            out += (
                content(rng, words, first=first, buffered=buffered)
                if kind < 0.8
                else expression(rng, words, first=True)
            )
        elif kind < 0.64:
            out += expression(rng, words, first=first)
        elif kind < 0.74:
            out += is_data_at(rng, first=first)
        elif kind < 0.83:
            out += byte_test(rng, first=first)
        elif kind < 0.89:
            out += byte_jump(rng, first=first)
        elif kind < 0.96:
            name = f"v{len(names)}"
            names.append(name)
            out += rng.choice((byte_extract, byte_math))(rng, name, first=first) + using(rng, words, name)
        elif buffered:
            out += f"bsize:{rng.choice(('', '<', '>'))}{rng.choice((1, 3, 5, 8, 20))}; "
        first = False
    return out
