"""What the modules for services declare, and what they refuse."""

from __future__ import annotations

import json
import re

import pytest

HELLO = f"/nix/store/{'0' * 32}-hello"
DIGEST = f"sha256:{'1f' * 32}"
CONTAINER = f"containers: {{a: {{package: host, image: 'docker.io/a@{DIGEST}', "
SITE = "services: {nginx: {package: host, sites: {a.example: {root: /srv/a}}}}\n"
ACME = "acme: {package: host, accept_terms: true, certificates: {a.example: {"
DATABASE = "services: {postgresql: {package: host, version: 15, roles: {app: {}}, databases: {app: {owner: app}}}}\n"


def test_sites_are_judged_by_nginx_open_the_firewall_and_are_checked(directory):
    config = directory.evaluate(
        "firewall: {enable: true}\n"
        "services:\n"
        "  nginx:\n"
        "    package: host\n"
        "    settings: client_max_body_size 20m;\n"
        "    sites:\n"
        "      a.example: {root: /srv/a, locations: {/api/: {proxy: 'http://127.0.0.1:8000'}, '= /x': {redirect: /y}}}\n"
        "      b.example: {names: [b, '*.b.example'], port: 443, certificate: /c, key: /k, check: /up, "
        "proxy: 'http://unix:/run/b.sock'}\n"
    )

    entry = config.get("etc")["nginx-deployer/nginx.conf"]
    assert entry["validate"] == ["/usr/sbin/nginx", "-t", "-q", "-c", "{file}"]
    assert "  client_max_body_size 20m;\n" in entry["text"]
    first, second = re.findall(r"  server \{\n(.*?)\n  \}", entry["text"], re.DOTALL)
    assert "server_name a.example;" in first
    assert re.findall(r"location (.*) \{", first) == ["/", "/api/", "= /x"]
    assert "listen 443 ssl;" in second
    assert "server_name b *.b.example;" in second
    assert "proxy_pass http://unix:/run/b.sock;" in second
    assert re.findall(r"tcp dport (\d+) accept", config.get("etc")["firewall/rules.nft"]["text"]) == ["443", "80", "22"]
    checks = config.get("checks")
    assert (checks["site-a.example"]["url"], checks["site-a.example"]["headers"]) == (
        "http://127.0.0.1:80/",
        {"Host": "a.example"},
    )
    assert (checks["site-b.example"]["url"], checks["site-b.example"]["server_name"]) == ("https://127.0.0.1:443/up", "b")
    assert checks["nginx-service"]["unit"] == "nginx.service"
    assert config.get("requires.paths")["/usr/sbin/nginx"] == ["`services.nginx`"]
    assert config.get("systemd.units")["nginx.service"]["reload_on_change"] is True


def test_pages_of_a_static_site_move_with_the_generation(directory):
    config = directory.evaluate(
        "services: {nginx: {package: host}}\nstatic_sites: {a.example: {source: public}}\n", **{"public__index.html": "x"}
    )

    assert config.get("etc")["static-sites/a.example"]["source"] == str(directory.path / "public")
    assert "root /etc/static-sites/a.example;" in config.get("etc")["nginx-deployer/nginx.conf"]["text"]


def test_a_database_is_made_once_and_its_data_stays(directory):
    config = directory.evaluate(DATABASE)

    units, etc = config.get("systemd.units"), config.get("etc")
    server = units["postgresql.service"]["text"]
    assert "ExecStart=/usr/lib/postgresql/15/bin/postgres -D /var/lib/postgresql-15/data -c config_file=" in server
    assert "StateDirectory=postgresql-15\n" in server
    assert "X-Restart-Triggers=postgresql-deployer/postgresql.conf:" in server
    assert units["postgresql@15-main.service"]["masked"] is True
    assert "X-Restart-Triggers=postgresql-deployer/roles.sql:" in units["postgresql-roles.service"]["text"]
    sql = etc["postgresql-deployer/roles.sql"]["text"]
    assert sql.splitlines()[0] == (
        "SELECT 'CREATE ROLE \"app\"' WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'app')\\gexec"
    )
    assert "DROP" not in sql
    assert "listen_addresses = ''\n" in etc["postgresql-deployer/postgresql.conf"]["text"]
    assert config.get("checks")["postgresql"]["command"][0] == "/usr/lib/postgresql/15/bin/pg_isready"
    assert config.get("requires.accounts") == {"postgres": ["`services.postgresql`"]}
    assert "postgresql" not in config.get("ports")


def test_settings_of_a_database_are_texts_in_quotes(directory):
    config = directory.evaluate(
        DATABASE + "imports: [more.yaml]\n",
        more="services: {postgresql: {address: '*', access: [host app app samenet md5], "
        'settings: {log_line_prefix: "it\'s "}}}\n',
    )

    etc = config.get("etc")
    assert "log_line_prefix = 'it''s '\n" in etc["postgresql-deployer/postgresql.conf"]["text"]
    assert etc["postgresql-deployer/pg_hba.conf"]["text"] == "local all all peer\nhost app app samenet md5\n"
    assert config.get("ports")["postgresql"]["address"] == ""


def test_a_cache_says_pong_and_forgets_what_it_has_no_room_for(directory):
    config = directory.evaluate("services: {redis: {package: host, memory_max: 64M, settings: {appendonly: true}}}\n")

    text = config.get("etc")["redis-deployer/redis.conf"]["text"]
    assert "maxmemory 67108864\nmaxmemory-policy allkeys-lru\n" in text
    assert "appendonly yes\n" in text
    assert config.get("checks")["redis"]["expect"] == "PONG"
    assert "StateDirectory=redis\n" in config.get("systemd.units")["redis-server.service"]["text"]


def test_a_package_of_ones_own_needs_nothing_of_the_host(directory):
    config = directory.evaluate(
        'services: {redis: {package: "${pkgs.hello}"}, postgresql: {package: "${pkgs.hello}", version: 15}, '
        'nginx: {package: "${pkgs.hello}"}, prometheus: {package: "${pkgs.hello}"}, node_exporter: {package: "${pkgs.hello}"}, '
        'haproxy: {package: "${pkgs.hello}"}}\n'
    )

    assert config.get("requires.paths") == {}
    assert config.get("requires.accounts") == {}
    assert {*config.get("users")} == {"redis", "postgres", "prometheus", "haproxy"}
    assert "User=haproxy\n" in config.get("systemd.units")["haproxy.service"]["text"]
    assert "user haproxy" not in config.get("etc")["haproxy-deployer/haproxy.cfg"]["text"]
    assert f"ExecStart={HELLO}/bin/redis-server" in config.get("systemd.units")["redis-server.service"]["text"]
    assert not any(unit["masked"] for unit in config.get("systemd.units").values())


def test_connections_are_shared_out_by_a_proxy_that_judges_its_configuration_and_reloads(directory):
    config = directory.evaluate(
        "firewall: {enable: true}\n"
        "services:\n"
        "  haproxy:\n"
        "    package: host\n"
        "    global_settings: maxconn 9\n"
        "    frontends:\n"
        "      web: {port: 443, certificate: /c.pem, backend: app, settings: 'http-request deny if { path /x }'}\n"
        "      db: {mode: tcp, address: '::1', port: 5000, backend: db, open: false}\n"
        "    backends:\n"
        "      app: {servers: ['192.0.2.7:80', '192.0.2.8:80'], check: /up}\n"
        "      db: {mode: tcp, servers: ['db.example:5432']}\n"
    )

    entry = config.get("etc")["haproxy-deployer/haproxy.cfg"]
    assert entry["validate"] == ["/usr/sbin/haproxy", "-c", "-q", "-f", "{file}"]
    sections = dict(re.findall(r"^(\S[^\n]*)\n((?:  [^\n]*\n)+)", entry["text"], re.MULTILINE))
    assert "  user haproxy\n  group haproxy\n  maxconn 9\n" in sections["global"]
    assert sections["frontend web"] == (
        "  mode http\n  bind *:443 ssl crt /c.pem\n  bind :::443 v6only ssl crt /c.pem\n  option forwardfor\n"
        "  http-request deny if { path /x }\n  default_backend app\n"
    )
    assert sections["frontend db"] == "  mode tcp\n  bind ::1:5000\n  default_backend db\n"
    assert sections["backend app"] == (
        "  mode http\n  option httpchk GET /up\n  server server1 192.0.2.7:80 check\n  server server2 192.0.2.8:80 check\n"
    )
    unit = config.get("systemd.units")["haproxy.service"]
    assert unit["reload_on_change"] is True
    assert "ExecReload=/bin/kill -USR2 $MAINPID\n" in unit["text"]
    assert "User=" not in unit["text"]
    checks = config.get("checks")
    assert (checks["haproxy-web"]["url"], checks["haproxy-web"]["verify"]) == ("https://127.0.0.1:443/", False)
    assert (checks["haproxy-db"]["kind"], checks["haproxy-db"]["address"]) == ("tcp", "::1")
    assert re.findall(r"tcp dport (\d+) accept", config.get("etc")["firewall/rules.nft"]["text"]) == ["443", "22"]
    assert config.get("requires.accounts") == {"haproxy": ["`services.haproxy`"]}


def test_a_certificate_is_got_and_looked_after_and_nginx_shows_the_challenges(directory):
    config = directory.evaluate(
        "services: {nginx: {package: host, sites: {b.example: {root: /srv/b, names: [b.example, www.b.example]}}}}\n"
        "acme:\n"
        "  package: host\n"
        "  accept_terms: true\n"
        "  email: ops@a.example\n"
        "  certificates:\n"
        "    a.example: {reload: [nginx.service, mail.service], schedule: weekly, spread: 1h}\n"
        "    b: {names: [www.b.example], site: b.example, reload: []}\n"
    )

    units = config.get("systemd.units")
    text = units["acme-a.example.service"]["text"]
    assert "ExecStart=/usr/bin/certbot certonly --non-interactive --agree-tos --server=https://acme-v02." in text
    assert " --email=ops@a.example " in text
    assert text.count("--domain=") == 1
    assert "Wants=network-online.target reload-for-acme-a.example.service\n" in text
    reload = units["reload-for-acme-a.example.service"]["text"]
    assert "After=acme-a.example.service\n" in reload
    assert (
        reload.count(" /var/lib/acme/live/a.example/fullchain.pem /var/lib/acme-reloaded/a.example nginx.service mail.service\n")
        == 1
    )
    assert "reload-for-acme-b.service" not in units
    assert "StateDirectory=acme\nStateDirectory=acme-challenges\n" in text
    assert "After=network-online.target nginx.service mail.service\n" in text
    assert units["acme-a.example.timer"]["text"] == ("[Timer]\nOnCalendar=weekly\nPersistent=yes\nRandomizedDelaySec=3600\n")
    assert "--domain=www.b.example\n" in units["acme-b.service"]["text"]
    nginx = config.get("etc")["nginx-deployer/nginx.conf"]["text"]
    first, second = re.findall(r"  server \{\n(.*?)\n  \}", nginx, re.DOTALL)
    assert "server_name a.example;" in first
    challenges = "location /.well-known/acme-challenge/ {\n      root /var/lib/acme-challenges;\n    }"
    assert challenges in first
    assert challenges in second
    assert "root /srv/b;" in second
    assert {"acme-a.example", "acme-a.example-timer", "acme-b", "acme-b-timer"} <= {*config.get("checks")}
    assert config.get("requires.paths")["/usr/bin/certbot"] == ["`acme.certificates.a.example`", "`acme.certificates.b`"]


def test_a_container_is_a_unit_with_ports_state_and_checks(directory):
    config = directory.evaluate(
        "firewall: {enable: true}\n"
        "containers:\n"
        "  web:\n"
        "    package: host\n"
        f"    image: docker.io/library/web@{DIGEST}\n"
        "    command: [serve, '--name=a b', '50%']\n"
        "    environment: {B: 'x y', A: '1'}\n"
        "    environment_file: /etc/web.secrets\n"
        "    user: '1000:1000'\n"
        "    ports: {http: {port: 80, container: 8080, open: true, check: /up}, admin: {port: 9000}, "
        "dns: {port: 53, protocol: udp}}\n"
        "    volumes: {data: /srv/data, cache: /cache}\n"
        "    memory_max: 64M\n"
        "    after: [redis-server.service]\n"
        "    options: [--read-only]\n"
    )

    text = config.get("systemd.units")["container-web.service"]["text"]
    assert (
        "ExecStart=/usr/bin/podman run --name=web --replace --rm --detach --sdnotify=conmon --cgroups=split "
        "--log-driver=journald "
        '--env=A=1 "--env=B=x y" --env-file=/etc/web.secrets --user=1000:1000 --publish=127.0.0.1:9000:9000/tcp '
        "--publish=127.0.0.1:53:53/udp --publish=80:8080/tcp --volume=/var/lib/container-web/cache:/cache:Z "
        "--volume=/var/lib/container-web/data:/srv/data:Z --read-only "
        f'docker.io/library/web@{DIGEST} serve "--name=a b" "50%%"\n'
    ) in text
    assert "ExecStop=/usr/bin/podman stop --ignore --time=10 web\n" in text
    assert "ExecStopPost=/usr/bin/podman rm --force --ignore web\n" in text
    assert "StateDirectory=container-web/cache\nStateDirectory=container-web/data\n" in text
    assert {"Type=notify", "NotifyAccess=all", "MemoryMax=67108864", "Delegate=yes"} <= {*text.splitlines()}
    assert "After=network-online.target redis-server.service\n" in text
    checks = config.get("checks")
    assert checks["container-web-http"]["url"] == "http://127.0.0.1:80/up"
    assert (checks["container-web-admin"]["kind"], checks["container-web-admin"]["port"]) == ("tcp", 9000)
    assert "container-web-dns" not in checks
    assert re.findall(r"tcp dport (\d+) accept", config.get("etc")["firewall/rules.nft"]["text"]) == ["80", "22"]
    assert config.get("ports")["container-web-admin"]["address"] == "127.0.0.1"
    assert config.get("requires.paths")["/usr/bin/podman"] == ["`containers.web`"]


def test_monitoring_is_let_in_to_by_name_only(directory):
    config = directory.evaluate(
        "services: {node_exporter: {package: host, sources: [192.0.2.9]}, "
        "prometheus: {package: host, scrape: {node: {targets: ['web1:9100'], interval: 1min}}}}\n"
    )

    entry = config.get("etc")["prometheus-deployer/prometheus.yml"]
    assert entry["validate"][-1] == "{file}"
    assert json.loads(entry["text"])["scrape_configs"][0]["scrape_interval"] == "60000ms"
    assert config.get("ports")["node-exporter"]["sources"] == ["192.0.2.9"]
    assert config.get("ports")["prometheus"]["open"] is False
    assert {"node-exporter", "prometheus", "prometheus-service"} <= {*config.get("checks")}


def test_an_application_has_a_user_a_socket_and_a_check(directory):
    config = directory.evaluate(
        "applications: {notes: {command: ['${pkgs.hello}/bin/notes', '--x=a b'], port: 8000, socket: true, check: /health, "
        "environment: {A: b}, memory_max: 1M, after: [redis-server.service]}}\n"
    )

    units = config.get("systemd.units")
    assert units["notes.socket"]["text"] == "[Socket]\nListenStream=127.0.0.1:8000\n"
    text = units["notes.service"]["text"]
    assert f'ExecStart={HELLO}/bin/notes "--x=a b"\n' in text
    assert "Requires=notes.socket\n" in text
    assert "MemoryMax=1048576\n" in text
    assert "User=notes\n" in text
    assert {*config.get("users")} == {"notes"}
    assert config.get("checks")["notes"]["url"] == "http://127.0.0.1:8000/health"


@pytest.mark.parametrize(
    ("main", "message"),
    [
        ("services: {nginx: {sites: {a: {root: /x}}}}", "`services.nginx` has sites, and no `package` that serves them"),
        ("services: {nginx: {package: host, sites: {a: {}}}}", "site 'a' serves nothing"),
        ("services: {nginx: {package: host, sites: {a: {root: /x, proxy: 'http://x'}}}}", "site 'a' has `root` and `proxy`"),
        (
            "services: {nginx: {package: host, sites: {a: {root: /x, certificate: /c}}}}",
            "site 'a' needs both a `certificate` and its `key`",
        ),
        (
            "services: {nginx: {package: host, sites: {a: {root: '/x; include /y'}}}}",
            "option 'services.nginx.sites.a.root' must be an absolute path",
        ),
        ("services: {nginx: {package: apt}}", "option 'services.nginx.package' must be 'host', or a package"),
        ("static_sites: {a: {source: main.yaml}}", "`static_sites` has sites, and there is no nginx to serve them"),
        ("services: {postgresql: {package: host}}", "`services.postgresql` has no `version`"),
        ("services: {postgresql: {roles: {a: {}}}}", "`services.postgresql` has roles or databases, and no `package`"),
        (
            "services: {postgresql: {package: host, version: 15, databases: {a: {owner: b}}}}",
            "database 'a' belongs to the role 'b', which is not declared",
        ),
        (
            "services: {postgresql: {package: host, version: 15, roles: {a: {member_of: [b]}}}}",
            "role 'a' is a member of 'b', which is not declared",
        ),
        ('services: {postgresql: {roles: {"a\'": {}}}}', "\"a'\" can't be a name in 'services.postgresql.roles'"),
        (
            "services: {redis: {package: host, settings: {requirepass: x}}}",
            "`services.redis.settings` has requirepass, and everybody can read what is here",
        ),
        ("services: {prometheus: {scrape: {a: {targets: [x]}}}}", "`services.prometheus` says whom to ask, and has no `package`"),
        (
            "services: {haproxy: {frontends: {a: {port: 1, backend: b}}, backends: {b: {servers: ['x:1']}}}}",
            "`services.haproxy` has frontends, and no `package` that serves them",
        ),
        (
            "services: {haproxy: {package: host, frontends: {a: {port: 1, backend: b}}}}",
            "frontend 'a' sends to the backend 'b', which is not declared",
        ),
        (
            "services: {haproxy: {package: host, frontends: {a: {port: 1, backend: b}}, "
            "backends: {b: {mode: tcp, servers: ['x:1']}}}}",
            "frontend 'a' has the mode http, and its backend 'b' another",
        ),
        ("services: {haproxy: {package: host, backends: {b: {servers: []}}}}", "backend 'b' has no servers"),
        (
            "services: {haproxy: {package: host, backends: {b: {mode: tcp, check: /, servers: ['x:1']}}}}",
            "backend 'b' has the mode tcp, and a `check` that asks by HTTP",
        ),
        (
            "services: {nginx: {package: host}}\nacme: {package: host, certificates: {a.example: {}}}",
            "the authority gives certificates to those who accept its terms of service",
        ),
        (ACME + "}}}", "`acme` has certificates, and there is no nginx to show the authority that the names are yours"),
        (
            ACME + "names: ['*.example']}}}\nservices: {nginx: {package: host}}",
            "option 'acme.certificates.a.example.names[0]' must be",
        ),
        (
            ACME + "site: s}}}\nservices: {nginx: {package: host, sites: {s: {root: /x}}}}",
            "the site 's' of certificate 'a.example' does not answer to a.example",
        ),
        (
            ACME + "site: s}}}\nservices: {nginx: {package: host, sites: {s: {root: /x, port: 81, names: [a.example]}}}}",
            "the site 's' of certificate 'a.example' listens on port 81, and the authority asks port 80",
        ),
        (
            ACME + "}}}\n" + SITE,
            "the site 'a.example' answers to a.example on port 80, and certificate 'a.example' has a site of its own",
        ),
        (
            "acme: {accept_terms: true, certificates: {a.example: {}}}\nservices: {nginx: {package: host}}",
            "`acme` has certificates, and no `package` that gets them",
        ),
        (
            "containers: {a: {package: host, image: 'docker.io/a:latest'}}",
            "option 'containers.a.image' must be an image with its digest",
        ),
        (CONTAINER + "options: ['-v=/x:/y']}}", "container 'a': '-v=/x:/y' is no option of podman-run(1)"),
        (
            CONTAINER + "ports: {d: {port: 53, protocol: udp, check: /}}}}",
            "container 'a': its port 'd' is of udp, and has a `check` that asks by HTTP",
        ),
        (CONTAINER + "volumes: {d: 'data'}}}", "option 'containers.a.volumes.d' must be an absolute path"),
        ("applications: {a: {command: [x], port: 1}}", "application 'a' names no program by an absolute path"),
        ("applications: {A: {command: [/x], port: 1}}", "'A' can't be a name in 'applications'"),
    ],
)
def test_wrong_services_are_refused(directory, main, message):
    (error,) = directory.errors(main + "\n")

    assert error.message.startswith(message)


def test_two_services_on_one_port_are_refused_with_both_places(directory):
    (error,) = directory.errors(
        "services:\n  redis: {package: host, port: 8000}\napplications:\n  a: {command: [/x], port: 8000}\n"
    )

    assert error.message == "'a' and 'redis' both listen on tcp port 8000"
    assert str(error.location).endswith("main.yaml:2:32")
    assert error.remedy.endswith("main.yaml:4:28.")


def test_two_modules_with_one_file_are_refused_with_both_places(directory):
    (error,) = directory.errors("hosts: {192.0.2.1: [a]}\netc: {hosts: {text: x, kind: file, replace: true}}\n")

    assert error.message.startswith("option 'etc.hosts.text' is defined more than once, differently")
    assert str(error.location).endswith("main.yaml:2:21")
    assert "modules/names.py:" in error.remedy


def test_an_entry_in_the_place_of_a_units_file_is_refused_with_both_places(directory):
    (error,) = directory.errors(
        "systemd: {services: {a: {service: {ExecStart: /x}}}}\netc: {systemd/system/a.service: {text: x}}\n"
    )

    assert (
        error.message == "etc entry 'systemd/system/a.service' stands where the declared unit 'a.service' has a file of its own"
    )
    assert str(error.location).endswith("main.yaml:2:33")
    assert error.remedy.endswith("main.yaml:1:25.")
