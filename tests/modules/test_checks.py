"""Checks as they are written down: what each kind may say, and what can be known to be wrong before any host is asked."""

from __future__ import annotations

import re

import pytest

from deployer.generation.declaration import declare

REFUSED = {
    "kind: tcp, port: 80, url: http://x/": "check 'a' is of kind tcp, which has no `url`",
    "kind: http, url: http://x/, port: 80": "check 'a' is of kind http, which has no `port`",
    "kind: journal": "check 'a' is of kind journal and has no `pattern`",
    "kind: journal, pattern: '('": "option 'checks.a.pattern' must be a regular expression",
    "kind: journal, pattern: 'a++'": "option 'checks.a.pattern' must be a regular expression",
    "kind: journal, pattern: '(?>a)'": "option 'checks.a.pattern' must be a regular expression",
    "kind: journal, pattern: x, unit: b.service": "check 'a': the unit 'b.service' is not declared",
    "kind: file, path: x": "check 'a': 'x' is no absolute path",
    "kind: file, path: /x, mode: u+x": "option 'checks.a.mode' must be a file mode in octal",
    "kind: unit, unit: ssh.service, declared: false, memory_max: lots": "option 'checks.a.memory_max' must be an amount of bytes",
    "kind: prometheus, url: http://x, query: up": "check 'a' is of kind prometheus and has no `comparison`",
    "kind: prometheus, url: http://x, query: up, comparison: '< nan'": "option 'checks.a.comparison' must be a comparison",
    "kind: http, url: http://x/, status: 600": "option 'checks.a.status' must be a whole number from 100 to 599",
    "kind: http, url: http://x/, status: [2xx, 30x]": "option 'checks.a.status[1]' must be a whole number from 100 to 599",
    "kind: http, url: file:///etc/shadow": "check 'a': 'file:///etc/shadow' is no http address",
    "kind: http, url: http://u:p@x/": "check 'a': 'http://u:p@x/' is no http address",
    "kind: http, url: http://169.254.169.254/": "169.254.169.254 is an address at which clouds keep",
    "kind: http, url: 'http://[::ffff:a9fe:a9fe]/'": "is an address at which clouds keep a machine's secrets",
    "kind: tcp, port: 80, address: fe80::1%eth0": "is an address at which clouds keep a machine's secrets",
    "kind: http, url: http://x/, headers: {Authorization: Basic x}": "the header Authorization would be in the store",
    "kind: http, url: http://x/, headers: {'a b': c}": "'a b' can't be a name in 'checks.a.headers'",
    'kind: http, url: http://x/, headers: {a: "b\\nc"}': "option 'checks.a.headers.a' must be one line of text",
    "kind: http, url: http://x/, send: y": "check 'a': a GET has no body to `send`",
    "kind: http, url: http://x/, certificate_days: 9": "check 'a': `certificate_days` needs a certificate that is verified",
    "kind: http, url: https://x/, verify: false, ca: /x": "check 'a': `ca` needs a certificate that is verified",
    "kind: http, url: https://x/, ca: x.pem": "check 'a': 'x.pem' is no absolute path",
    "kind: tcp, port: 80, timeout: 0": "check 'a': a time-out of 0 s is not from 0 to 120",
    "kind: tcp, port: 80, timeout: 1h": "check 'a': a time-out of 3600 s is not from 0 to 120",
    "kind: tcp, port: 80, initial_delay: 1min": "check 'a' can't be green before 60 s, and `activation.check_deadline` is 60 s",
    "kind: unit, unit: x.service, from: controller": "check 'a' is of kind unit, which only the host can probe",
    "kind: command, from: controller, command: [/bin/y]": "check 'a' is of kind command, which only the host can probe",
    "kind: tcp, port: 80, from: controller, initial_delay: 15": "before 15 s, and half of `activation.confirm_timeout` is 15 s",
    "kind: tcp, port: 80, successes: 7, interval: 10": "check 'a' can't be green before 60 s",
}


@pytest.mark.parametrize(("said", "expected"), REFUSED.items(), ids=list(REFUSED))
def test_what_is_wrong_with_a_check_is_known_before_any_host_is_asked(directory, said, expected):
    errors = directory.errors(main=f"checks: {{a: {{{said}}}}}\n")

    assert any(expected in str(error) for error in errors), [str(error) for error in errors]
    assert all(error.location is not None and error.remedy for error in errors)


def checks_of(directory, text):
    return declare(directory.evaluate(text), "/nix/store").manifest.checks


@pytest.mark.parametrize(
    ("said", "status", "statuses"),
    [
        ("204", 204, ()),
        ("'204'", 204, ()),
        ("[204]", 204, ()),
        ("2xx", 200, ("200-299",)),
        ("[200, 3xx, 401-403]", 200, ("200", "300-399", "401-403")),
    ],
)
def test_a_status_may_be_one_or_several_or_a_range(directory, said, status, statuses):
    (check,) = checks_of(directory, f"checks: {{a: {{kind: http, url: http://x/, status: {said}}}}}\n")

    assert (check.status, check.statuses) == (status, statuses)


def test_a_unit_of_the_hosts_own_is_checked_where_the_configuration_says_that_it_is(directory):
    (check,) = checks_of(
        directory, "checks: {a: {kind: unit, unit: ssh.service, declared: false, memory_max: 1.5G, failures: 3}}\n"
    )

    assert (check.unit, check.memory_max, check.failures) == ("ssh.service", 3 << 29, 3)


def test_the_deadline_of_all_checks_may_be_made_longer(directory):
    (check,) = checks_of(
        directory, "checks: {a: {kind: tcp, port: 80, initial_delay: 2min}}\nactivation: {check_deadline: 3min}\n"
    )

    assert check.initial_delay == 120


@pytest.mark.parametrize("pattern", ["a+", r"\++", "[+*]+", "x{2}", "(?i)panic|oops", "[]+]+", "^$"])
def test_patterns_that_every_host_knows_are_taken(directory, pattern):
    (check,) = checks_of(directory, f"checks: {{a: {{kind: journal, pattern: '{pattern}'}}}}\n")

    assert re.compile(check.pattern)
