"""What the modules for a host's own settings declare, and what they refuse."""

from __future__ import annotations

import pytest

PEM = "-----BEGIN CERTIFICATE-----\\nMIIB\\n-----END CERTIFICATE-----\\n"


def texts(config) -> dict[str, str]:
    """The entries of /etc that have a text."""
    return {path: entry["text"] for path, entry in config.get("etc").items() if entry["text"] is not None}


@pytest.mark.parametrize(
    ("main", "path", "text"),
    [
        ("hosts: {192.0.2.20: [db1, db1.example.org]}", "hosts", "192.0.2.20 db1 db1.example.org\n"),
        (
            "resolver: {servers: [192.0.2.53, '2001:db8::53'], search: [example.org], options: ['timeout:1']}",
            "resolv.conf",
            "nameserver 192.0.2.53\nnameserver 2001:db8::53\nsearch example.org\noptions timeout:1\n",
        ),
        ("time_zone: Europe/Berlin", "timezone", "Europe/Berlin\n"),
        ("locale: {LANG: C.UTF-8, LC_TIME: de_DE.UTF-8}", "default/locale", "LANG=C.UTF-8\nLC_TIME=de_DE.UTF-8\n"),
        (
            "journald: {storage: persistent, max_use: 1G, max_file_age: 30d, settings: {RateLimitBurst: 9}}",
            "systemd/journald.conf.d/deployer.conf",
            "[Journal]\nMaxRetentionSec=2592000s\nRateLimitBurst=9\nStorage=persistent\nSystemMaxUse=1073741824\n",
        ),
        ("kernel: {modules: [br_netfilter, tun]}", "modules-load.d/deployer.conf", "br_netfilter\ntun\n"),
        (
            "kernel: {blacklist: [usb-storage]}",
            "modprobe.d/deployer.conf",
            "blacklist usb-storage\ninstall usb-storage /bin/false\n",
        ),
        (
            'environment: {variables: {A: "it\'s $x"}, aliases: {ll: ls -l}}',
            "profile.d/deployer-environment.sh",
            "export A='it'\\''s $x'\nalias ll='ls -l'\n",
        ),
        ("environment: {variables: {A: '\"$x\"'}}", "environment.d/60-deployer.conf", 'A="\\"\\$x\\""\n'),
    ],
)
def test_settings_are_files(directory, main, path, text):
    found = texts(directory.evaluate(main + "\n"))[path]

    assert found.endswith(text) if path == "hosts" else found == text


def test_log_files_are_judged_by_the_hosts_own_program(directory):
    config = directory.evaluate(
        "logrotate: {app: {files: [/var/log/app/*.log], frequency: daily, keep: 3, max_size: 1M, after: systemctl reload app}}\n"
    )

    entry = config.get("etc")["logrotate.d/deployer-app"]
    assert entry["validate"] == ["/usr/sbin/logrotate", "--debug", "{file}"]
    assert [line.strip() for line in entry["text"].splitlines()] == [
        '"/var/log/app/*.log" {',
        *("daily", "rotate 3", "missingok", "notifempty", "maxsize 1048576", "compress", "delaycompress"),
        *("sharedscripts", "postrotate", "systemctl reload app", "endscript", "}"),
    ]
    assert config.get("requires.paths") == {"/usr/sbin/logrotate": ["`logrotate`"]}


def test_what_systemd_does_at_boot_is_done_when_its_settings_change(directory):
    units = directory.evaluate("kernel: {modules: [tun]}\njournald: {storage: volatile}\n").get("systemd.units")

    assert units["systemd-modules-load.service"]["start"] is True
    assert "modules-load.d/deployer.conf:" in str(units["systemd-modules-load.service"]["drop_ins"])
    assert "X-Restart-Triggers=systemd/journald.conf.d" in str(units["systemd-journald.service"]["drop_ins"])


def test_mounts_have_the_names_that_systemd_gives_them(directory):
    units = directory.evaluate(
        "mounts:\n"
        "  /srv/my-data: {device: LABEL=data, type: ext4, options: [noatime, nodev], required: true}\n"
        "  /mnt/share: {device: 'nas:/share', type: nfs, automount: true}\n"
    ).get("systemd.units")

    assert units["srv-my\\x2ddata.mount"]["text"].endswith(
        "[Mount]\nOptions=noatime,nodev\nType=ext4\nWhat=LABEL=data\nWhere=/srv/my-data\n"
    )
    assert units["srv-my\\x2ddata.mount"]["required_by"] == ["local-fs.target"]
    assert units["mnt-share.mount"]["start"] is False
    assert units["mnt-share.automount"]["start"] is True


def test_a_swap_file_is_made_once(directory):
    units = directory.evaluate("swap: {/swapfile: {size: 2G, priority: 5}, /dev/sdb2: {}}\n").get("systemd.units")

    assert units["swapfile.swap"]["text"].endswith("[Swap]\nPriority=5\nWhat=/swapfile\n")
    assert "Requires=make-swapfile.service" in units["swapfile.swap"]["text"]
    assert " make-swap /swapfile 2048\n" in units["make-swapfile.service"]["text"]
    assert "make-" not in units["dev-sdb2.swap"]["text"]


def test_a_job_is_a_service_and_its_timer(directory):
    units = directory.evaluate(
        "users: {app: {}}\n"
        "jobs:\n"
        "  tidy: {command: [/bin/x, 'a b', $HOME], schedule: [daily, 'Mon 04:00'], user: app, spread: 15min, timeout: 1h, "
        "environment: {A: b c}, service: {Nice: 10}}\n"
    ).get("systemd.units")

    assert units["tidy.service"]["text"] == (
        "[Unit]\nDescription=Job tidy\n\n[Service]\n"
        'Environment="A=b c"\nExecStart=/bin/x "a b" "$$HOME"\nNice=10\nTimeoutStartSec=3600\nType=oneshot\nUser=app\n'
    )
    assert units["tidy.service"]["start"] is False
    assert units["tidy.timer"]["text"] == (
        "[Timer]\nOnCalendar=daily\nOnCalendar=Mon 04:00\nPersistent=yes\nRandomizedDelaySec=900\n"
    )
    assert units["tidy.timer"]["start"] is True


def test_authorities_are_taken_in_by_the_hosts_own_program(directory):
    config = directory.evaluate(f'certificate_authorities: {{example: "{PEM}"}}\n')

    unit = config.get("systemd.units")["certificate-authorities.service"]["text"]
    assert "ExecStart=/bin/ln -sfn /etc/ssl/deployer-authorities /usr/local/share/ca-certificates/deployer\n" in unit
    assert "X-Restart-Triggers=ssl/deployer-authorities/example.crt:" in unit
    assert "certificate-authorities-service" in config.get("checks")


def test_upgrades_are_the_distributions_own(directory):
    config = directory.evaluate("upgrades: {enable: true, which: all, keep_back: [nginx], reboot: '04:00'}\n")

    entry = config.get("etc")["apt/apt.conf.d/99deployer-upgrades"]
    assert entry["validate"] == ["/usr/bin/apt-config", "-c", "{file}", "dump"]
    assert 'Unattended-Upgrade::Package-Blacklist:: "^nginx$";' in entry["text"]
    assert 'Unattended-Upgrade::Automatic-Reboot-Time "04:00";' in entry["text"]
    assert config.get("requires.paths") == {"/usr/bin/unattended-upgrade": ["`upgrades`"]}


BACKUP = "repository: /mnt/b, password_file: /root/key"


def test_a_backup_is_a_job_that_makes_its_repository(directory):
    config = directory.evaluate(
        f"backups: {{data: {{package: host, {BACKUP}, paths: [/srv], exclude: ['*.tmp'], before: [/bin/dump, 'a b'], "
        "environment_file: /root/env, keep: {weekly: 2, daily: 7}}}\n"
    )

    text = config.get("systemd.units")["backup-data.service"]["text"]
    assert text.count("ExecStart=") == 1
    assert ' backup /usr/bin/restic "--exclude=*.tmp" -- /srv\n' in text
    assert 'ExecStartPre=/bin/dump "a b"\n' in text
    assert "ExecStartPost=/usr/bin/restic forget --prune --keep-daily=7 --keep-weekly=2\n" in text
    assert "EnvironmentFile=/root/env\n" in text
    assert config.get("checks")["backup-data-timer"]["unit"] == "backup-data.timer"
    assert config.get("requires.paths") == {"/usr/bin/restic": ["`backups.data`"]}


def test_a_backup_may_have_a_package_of_its_own(directory):
    config = directory.evaluate(f'backups: {{data: {{package: "${{pkgs.hello}}", {BACKUP}, paths: [/srv]}}}}\n')

    assert f"/nix/store/{'0' * 32}-hello/bin/restic -- /srv" in config.get("systemd.units")["backup-data.service"]["text"]
    assert config.get("systemd.loaded_programs") == {"backup-data": [f"/nix/store/{'0' * 32}-hello/bin/restic"]}
    assert config.get("requires.paths") == {}


@pytest.mark.parametrize(
    ("main", "message"),
    [
        ("hosts: {db1: [x]}", "'db1' can't be a name in 'hosts'"),
        (
            "resolver: {servers: [1.1.1.1, 1.1.1.2, 1.1.1.3, 1.1.1.4]}",
            "`resolver.servers` names 4, and the C library asks the first",
        ),
        ("resolver: {search: [x]}", "`resolver` says how to ask, and not whom"),
        ("resolver: {servers: [here]}", "option 'resolver.servers[0]' must be an IP address"),
        ("time_zone: ../../etc/shadow", "option 'time_zone' must be a time zone"),
        ("locale: {LANGUGE: x}", "'LANGUGE' can't be a name in 'locale'"),
        ("locale: {LANG: 'x; y'}", "option 'locale.LANG' must be a locale"),
        (
            "kernel: {modules: [a-b], blacklist: [a_b]}",
            "the kernel module 'a_b' is in `kernel.modules` and in `kernel.blacklist`",
        ),
        ("logrotate: {a: {files: []}}", "logrotate 'a' names no file"),
        ("logrotate: {a: {files: [/x]}, b: {files: [/x]}}", "logrotate 'a' and 'b' both name /x"),
        ("mounts: {/etc: {device: x}}", "a mount on /etc would hide what the host needs to run"),
        ("mounts: {/nix/store: {device: x}}", "a mount on /nix/store would hide what the host needs to run"),
        ("mounts: {/a/../b: {device: x}}", "'/a/../b' can't be a name in 'mounts'"),
        ("swap: {/dev/sdb: {size: 1G}}", "the swap device /dev/sdb has a `size`"),
        ("jobs: {a: {command: [find]}}", "job 'a' names no program by an absolute path"),
        ("jobs: {a: {command: [/x], schedule: []}}", "job 'a' has an empty `schedule`"),
        ("jobs: {a: {command: [/x], user: bob}}", "service 'a' runs as 'bob', whom this configuration does not declare"),
        ("environment: {variables: {PATH: /x}}", "`environment.variables` can't hold PATH"),
        ("certificate_authorities: {a: x}", "the certificate authority 'a' is not one certificate in PEM"),
        ('certificate_authorities: {a: "-----BEGIN PRIVATE KEY-----"}', "the certificate authority 'a' holds a private key"),
        ("upgrades: {reboot: noon}", "option 'upgrades.reboot' must be a time"),
        (f"backups: {{a: {{package: host, {BACKUP}, paths: []}}}}", "backup 'a' has nothing to back up"),
        ("systemd: {loaded_programs: {a: [/nix/x]}}", "there is no service 'a' that could run programs"),
        (
            f"backups: {{a: {{package: '${{pkgs.hello}}', {BACKUP}, paths: [/x]}}}}\n"
            "systemd: {roots: {backup-a: '${pkgs.hello}'}}",
            "service 'backup-a' has a root, and sees no files of the host",
        ),
        (f"backups: {{a: {{{BACKUP}, paths: [/x]}}}}", "option 'backups.a.package' has no value"),
        (
            "backups: {a: {package: host, repository: 'rest:https://me:secret@vault/', password_file: /k, paths: [/x]}}",
            "the repository of backup 'a' has a password in its address",
        ),
    ],
)
def test_wrong_settings_are_refused(directory, main, message):
    (error,) = directory.errors(main + "\n")

    assert error.message.startswith(message)
