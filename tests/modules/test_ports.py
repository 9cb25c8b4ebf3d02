"""Which program has which port, and who is let in."""

from __future__ import annotations

import pytest

FIREWALL = "firewall: {enable: true}\n"


def rules(directory, main: str) -> list[str]:
    """The lines of the chain for what comes in."""
    text = directory.evaluate(FIREWALL + main).get("etc")["firewall/rules.nft"]["text"]
    return [line.strip() for line in text.partition("chain input {")[2].partition("\n  }")[0].splitlines()]


def test_two_programs_with_one_port_are_refused_with_both_places(directory):
    (error,) = directory.errors("ports:\n  a: {port: 80}\n  b: {port: 80}\n")

    assert error.message == "'a' and 'b' both listen on tcp port 80"
    assert str(error.location).endswith("main.yaml:3:6")
    assert error.remedy.endswith("main.yaml:2:6.")


def test_a_socket_of_systemds_counts_too(directory):
    (error,) = directory.errors(
        "ports: {web: {port: 80}}\n"
        "systemd:\n"
        "  sockets: {s: {socket: {ListenStream: ['[::1]:80', /run/x]}}}\n"
        "  services: {s: {service: {ExecStart: /x}}}\n"
    )

    assert error.message == "'web' and 's' both listen on tcp port 80"
    assert str(error.location).endswith("main.yaml:3:40")


@pytest.mark.parametrize(
    "ports",
    [
        "a: {port: 80}, b: {port: 80, protocol: udp}",
        "a: {port: 80, address: 127.0.0.1}, b: {port: 80, address: 192.0.2.1}",
        "a: {port: 80}, b: {port: 81}",
    ],
)
def test_programs_that_do_not_meet_may_share_a_number(directory, ports):
    directory.evaluate(f"ports: {{{ports}}}\n")


def test_nothing_is_let_in_but_what_is_open(directory):
    lines = rules(
        directory,
        "ports:\n"
        "  web: {port: 80, open: true}\n"
        "  dns: {port: 53, protocol: udp, open: true, sources: [192.0.2.0/24, '2001:db8::1']}\n"
        "  inner: {port: 5432}\n",
    )

    assert [line for line in lines if "dport" in line and "@" not in line] == [
        "ip saddr { 192.0.2.0/24 } udp dport 53 accept",
        "ip6 saddr { 2001:db8::1 } udp dport 53 accept",
        "tcp dport 22 accept",
        "tcp dport 80 accept",
    ]


def test_the_controller_comes_before_all_else(directory):
    config = directory.evaluate(FIREWALL + "sshd: {open: false}\n")
    text = config.get("etc")["firewall/rules.nft"]["text"]

    lines = [line.strip() for line in text.splitlines()]
    assert lines.index("ip saddr . tcp dport @controllers4 accept") < lines.index("ct state invalid drop")
    assert "tcp dport 22 accept" not in lines
    assert lines[-1] == 'include "/var/lib/deployer/way-in*.nft"'
    assert config.get("requires.paths") == {"/usr/sbin/nft": ["the firewall"]}


def test_the_server_of_ssh_is_let_in_to_where_it_listens(directory):
    lines = rules(directory, "sshd: {ports: [2222]}\n")

    assert "tcp dport 2222 accept" in lines
    assert "tcp dport 22 accept" not in lines


def test_rules_of_ones_own_come_last(directory):
    text = (
        directory.evaluate(
            "firewall: {enable: true, ping: false, trusted_interfaces: [wg0], log_refused: true, "
            "rules: 'ip saddr 192.0.2.7 accept'}\n"
        )
        .get("etc")["firewall/rules.nft"]["text"]
        .splitlines()
    )

    chain = [line.strip() for line in text[text.index("    iif lo accept") :]]
    assert 'iifname "wg0" accept' in chain
    assert "icmp type echo-request accept" not in chain
    end = chain.index("ip saddr 192.0.2.7 accept")
    assert chain[end + 1] == 'limit rate 10/minute log prefix "refused: "'
    assert chain[end + 2] == "}"


@pytest.mark.parametrize(
    ("main", "message"),
    [
        ("ports: {a: {port: 1, open: true, sources: [999.0.0.1]}}", "port 'a': '999.0.0.1' is no address and no network"),
        ("firewall: {rules: '} chain x {'}", "the braces in `firewall.rules` do not match"),
    ],
)
def test_what_nft_could_not_take_is_refused(directory, main, message):
    (error,) = directory.errors(main + "\n")

    assert error.message == message


def test_without_a_firewall_nothing_is_declared(directory):
    config = directory.evaluate("ports: {a: {port: 80, open: true}}\n")

    assert config.get("etc") == {}
    assert config.get("systemd.units") == {}
