import pytest


@pytest.mark.parametrize(
    "options",
    [
        'http.uri; to_lowercase; content:"Ab";',
        'http.uri; to_lowercase; content:"Ab"; nocase;',
        'http.uri; to_uppercase; content:"ab"; nocase;',
        'http.uri; strip_whitespace; content:"a b";',
        'http.uri; strip_whitespace; content:"a b"; nocase;',
        'http.uri; content:"a"; http.header.raw; content:"b";',
        'http.stat_code; content:"200"; http.header.raw; content:"b"; flow:established;',
        'http.host; content:"Shop";',
        'content:"shop"; nocase; http_host;',
        'http.method; content:"GET ";',
        'ja3.hash; content:"abc";',
        'tls.cert_fingerprint; content:"ab:cd";',
        'http.uri; content:"a"; dsize:>5;',
        'http.uri; content:"a"; flow:no_stream;',
        'http.header.raw; content:"a";',
        'http.uri; pcrexform:"abc"; content:"a";',
        "ip_proto:6;",
        'flow:only_stream; content:"a"; ttl:5;',
        'content:"a"; distance:0; offset:1;',
        'content:"abc"; depth:10; fast_pattern:only;',
        'content:!"abc"; fast_pattern:only;',
        'content:"abc"; fast_pattern:only; offset:2;',
        'content:"abc"; fast_pattern:only; content:"user"; distance:0;',
        'http.uri; content:"abc"; fast_pattern:only; http.method; content:"G"; http.uri; content:"u"; within:9;',
    ],
)
def test_what_suricata_refuses(rule, options):
    with pytest.raises(ValueError):
        rule(options)


@pytest.mark.parametrize(
    "options",
    [
        'content:"abc"; fast_pattern:only; pcre:"/user/R";',
        'content:"abc"; fast_pattern:only; pcre:"/q/"; content:"user"; distance:0;',
    ],
)
def test_what_suricata_takes(rule, options):
    assert rule(options)


@pytest.mark.parametrize(
    ("options", "buffer", "pattern"),
    [
        ('ja3.hash; content:"0123456789ABCDEF0123456789ABCDEF";', "ja3.hash", b"0123456789abcdef" * 2),
        ('tls.cert_serial; content:"ab:cd";', "tls.cert_serial", b"AB:CD"),
        ('http.uri; to_lowercase; content:!"Ab";', "http.uri", b"Ab"),
        ('http.host; to_uppercase; content:"SHOP";', "http.host", b"SHOP"),
        ('http.host; to_uppercase; content:"SHOP"; nocase;', "http.host", b"shop"),
        ('http.header.raw; content:"b"; flow:from_client;', "http.header.raw", b"b"),
    ],
)
def test_form_of_a_content(rule, options, buffer, pattern):
    parts = {part.buffer: part.matches[0].pattern for parts in rule(options).parts for part in parts}
    assert parts == {buffer: pattern}
