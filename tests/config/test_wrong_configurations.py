# ruff: noqa: E501
"""Wrong configurations, each with exactly what is said of it: place, message, and remedy."""

from __future__ import annotations

import re

import pytest

from deployer.config.library_place import library_directory

WRONG = [
    # what is wrong, the files, and `place: message | remedy` of each error; lines of modules are left out
    (
        "an unknown key",
        {"main": "pakages: [hello]\n"},
        ["main.yaml:1:1: there is no option 'pakages' | Did you mean 'packages'?"],
    ),
    (
        "an unknown key that is near nothing",
        {"main": "zzzzqq: 1\n"},
        ["main.yaml:1:1: there is no option 'zzzzqq' | See docs/reference/options.md, or `deployer option`."],
    ),
    (
        "an unknown key in a group of options",
        {"main": "systemd:\n  servces: {}\n"},
        [
            "main.yaml:2:3: there is no option 'systemd.servces' | Did you mean 'systemd.services' or 'systemd.user.services' or 'systemd.slices'?"
        ],
    ),
    (
        "a group of options that is a list",
        {"main": "systemd: [a]\n"},
        [
            "main.yaml:1:10: option 'systemd' must be a mapping of options, and is a list | What may stand in it: loaded_programs, roots, services, timers, sockets, mounts, automounts, swaps, paths, slices, targets, user.services, user.timers, user.sockets, user.paths, user.slices, user.targets, units, user.units, extend, masked."
        ],
    ),
    (
        "an unknown field",
        {"main": "users:\n  hello:\n    hom: /srv\n"},
        [
            "main.yaml:3:5: there is no option 'users.hello.hom' | Did you mean 'users.hello.home' or 'users.hello.shell' or 'users.hello.group'? Declared at modules/users.py."
        ],
    ),
    (
        "an unknown field near nothing",
        {"main": "activation:\n  qqqqqqqqqqqqqqqqqqqq: 1\n"},
        [
            "main.yaml:2:3: there is no option 'activation.qqqqqqqqqqqqqqqqqqqq' | What may stand here: unit_timeout, check_deadline, min_healthy_time, confirm_timeout, boot_timeout, on_reboot. Declared at modules/activation.py."
        ],
    ),
    (
        "a number for text",
        {"main": "etc:\n  motd:\n    text: 3\n"},
        ["main.yaml:3:11: option 'etc.motd.text' must be text, and is the number 3 | The option is declared at modules/etc.py."],
    ),
    (
        "a mapping for text",
        {"main": "etc:\n  motd:\n    text: {a: 1}\n"},
        ["main.yaml:3:11: option 'etc.motd.text' must be text, and is a mapping | The option is declared at modules/etc.py."],
    ),
    (
        "a list for text",
        {"main": "etc:\n  motd:\n    text: [a]\n"},
        ["main.yaml:3:11: option 'etc.motd.text' must be text, and is a list | The option is declared at modules/etc.py."],
    ),
    (
        "text for a boolean",
        {"main": "users:\n  hello: {system: 'yes'}\n"},
        [
            "main.yaml:2:19: option 'users.hello.system' must be true or false, and is the text 'yes' | The option is declared at modules/users.py."
        ],
    ),
    (
        "an old yes for a boolean",
        {"main": "users:\n  hello: {system: yes}\n"},
        [
            "main.yaml:2:19: option 'users.hello.system' must be true or false, and is the text 'yes' | The option is declared at modules/users.py."
        ],
    ),
    (
        "text for a number",
        {"main": "users:\n  hello: {uid: many}\n"},
        [
            "main.yaml:2:16: option 'users.hello.uid' must be a whole number from 1 to 65533, and is the text 'many' | The option is declared at modules/users.py."
        ],
    ),
    (
        "a number out of range",
        {"main": "users:\n  hello: {uid: 70000}\n"},
        [
            "main.yaml:2:16: option 'users.hello.uid' must be a whole number from 1 to 65533, and is the number 70000 | The option is declared at modules/users.py."
        ],
    ),
    (
        "a boolean for a number",
        {"main": "users:\n  hello: {uid: true}\n"},
        [
            "main.yaml:2:16: option 'users.hello.uid' must be a whole number from 1 to 65533, and is true | The option is declared at modules/users.py."
        ],
    ),
    (
        "a fraction for a whole number",
        {"main": "users:\n  hello: {uid: 1.5}\n"},
        [
            "main.yaml:2:16: option 'users.hello.uid' must be a whole number from 1 to 65533, and is the number 1.5 | The option is declared at modules/users.py."
        ],
    ),
    (
        "text for a list",
        {"main": "packages: hello\n"},
        [
            "main.yaml:1:11: option 'packages' must be a list, each item the name of a package, and is the text 'hello' | The option is declared at modules/packages.py."
        ],
    ),
    (
        "a list for a mapping",
        {"main": "users: [hello]\n"},
        [
            "main.yaml:1:8: option 'users' must be a mapping by name, each value a mapping that describes a user, and is a list | The option is declared at modules/users.py."
        ],
    ),
    (
        "null for a mapping",
        {"main": "users:\n"},
        [
            "main.yaml:1:7: option 'users' must be a mapping by name, each value a mapping that describes a user, and is null | The option is declared at modules/users.py."
        ],
    ),
    (
        "a wrong item of a list",
        {"main": "tmpfiles:\n  rules:\n    - d /x\n    - 3\n"},
        [
            "main.yaml:4:7: option 'tmpfiles.rules[1]' must be one line of text, and is the number 3 | The option is declared at modules/tmpfiles.py."
        ],
    ),
    (
        "a wrong word of few",
        {"main": "etc:\n  a: {text: x, kind: lnik}\n"},
        [
            "main.yaml:2:22: option 'etc.a.kind' must be one of 'link' or 'file' or 'symlink' or 'directory', and is the text 'lnik' | Did you mean 'link'? The option is declared at modules/etc.py."
        ],
    ),
    (
        "a wrong mode",
        {"main": "etc:\n  a: {text: x, mode: '0999'}\n"},
        [
            "main.yaml:2:22: option 'etc.a.mode' must be a file mode in octal, such as '0644', and is the text '0999' | The option is declared at modules/etc.py."
        ],
    ),
    (
        "a mode as a number",
        {"main": "etc:\n  a: {text: x, mode: 644}\n"},
        [
            "main.yaml:2:22: option 'etc.a.mode' must be a file mode in octal, such as '0644', and is the number 644 | The option is declared at modules/etc.py."
        ],
    ),
    (
        "a relative home",
        {"main": "users:\n  hello: {home: srv}\n"},
        [
            "main.yaml:2:17: option 'users.hello.home' must be an absolute path, and is the text 'srv' | The option is declared at modules/users.py."
        ],
    ),
    (
        "a colon in a description",
        {"main": "users:\n  hello: {description: 'a:b'}\n"},
        [
            "main.yaml:2:24: option 'users.hello.description' must be one line without ':', and is the text 'a:b' | The option is declared at modules/users.py."
        ],
    ),
    (
        "a wrong duration",
        {"main": "activation: {check_deadline: soon}\n"},
        [
            "main.yaml:1:30: option 'activation.check_deadline' must be a time: seconds, or such as '90s' or '1min 30s', and is the text 'soon' | The option is declared at modules/activation.py."
        ],
    ),
    (
        "a negative duration",
        {"main": "activation: {check_deadline: -1}\n"},
        [
            "main.yaml:1:30: option 'activation.check_deadline' must be a time: seconds, or such as '90s' or '1min 30s', and is the number -1 | The option is declared at modules/activation.py."
        ],
    ),
    (
        "a conflict of two files",
        {"main": "imports: [b.yaml]\netc: {a: {text: x}}\n", "b": "etc: {a: {text: y}}\n"},
        [
            "b.yaml:1:17: option 'etc.a.text' is defined more than once, differently: the text 'y' and the text 'x' | Also at main.yaml:2:17. Remove one, or mark the one that holds with `!force`. The option is declared at modules/etc.py."
        ],
    ),
    (
        "a conflict with a module",
        {"main": "tmpfiles: {rules: [d /x]}\netc: {tmpfiles.d/deployer.conf: {text: y}}\n"},
        [
            "main.yaml:2:40: option 'etc.tmpfiles.d/deployer.conf.text' is defined more than once, differently: the text 'y' and the text 'd /x\\n' | Also at modules/tmpfiles.py. Remove one, or mark the one that holds with `!force`. The option is declared at modules/etc.py."
        ],
    ),
    (
        "null and a value",
        {"main": "imports: [b.yaml]\nusers: {a: {uid: null}}\n", "b": "users: {a: {uid: 5}}\n"},
        [
            "b.yaml:1:18: option 'users.a.uid' is defined more than once, differently: the number 5 and null | Also at main.yaml:2:18. Remove one, or mark the one that holds with `!force`. The option is declared at modules/users.py."
        ],
    ),
    (
        "two forces",
        {"main": "imports: [b.yaml]\nusers: {a: {uid: !force 7}}\n", "b": "users: {a: {uid: !force 5}}\n"},
        [
            "b.yaml:1:18: option 'users.a.uid' is defined more than once, differently: the number 5 and the number 7 | Also at main.yaml:2:18. Remove one, or mark the one that holds with `!force`. The option is declared at modules/users.py."
        ],
    ),
    (
        "an unknown tag",
        {"main": "packages: !forse [hello]\n"},
        ["main.yaml:1:11: the tag !forse has no meaning here | Did you mean '!force' or '!before' or '!order'?"],
    ),
    (
        "a missing import",
        {"main": "imports: [comon.yaml]\n", "common": "{}"},
        ["main.yaml:1:11: import of 'comon.yaml': there is no file comon.yaml | Did you mean 'common.yaml' or 'main.yaml'?"],
    ),
    (
        "a missing module",
        {"main": "imports: [sytemd]\n"},
        ["main.yaml:1:11: import of 'sytemd': there is no file modules/sytemd.py | Did you mean 'systemd'?"],
    ),
    (
        "an import that is a mapping",
        {"main": "imports: [{a: 1}]\n"},
        [
            "main.yaml:1:11: import of 'a mapping': an import is the path of a file or directory, or the name of a module | An import is a path relative to the file that names it, or the name of a module."
        ],
    ),
    (
        "an import cycle",
        {"main": "imports: [b.yaml]\n", "b": "imports: [c.yaml]\n", "c": "imports: [main.yaml]\n"},
        [
            "c.yaml:1:11: import of 'main.yaml': the files import each other: main.yaml → b.yaml → c.yaml → main.yaml | Remove one of the imports."
        ],
    ),
    (
        "a file that imports itself",
        {"main": "imports: [main.yaml]\n"},
        [
            "main.yaml:1:11: import of 'main.yaml': the files import each other: main.yaml → main.yaml | Remove one of the imports."
        ],
    ),
    (
        "a directory without files",
        {"main": "imports: [d]\n", "d__x.txt": ""},
        [
            "main.yaml:1:11: import of 'd': there is no .yaml or .py file in d | An import is a path relative to the file that names it, or the name of a module."
        ],
    ),
    (
        "a missing source",
        {"main": "etc:\n  a:\n    source: pge.html\n", "page.html": "x"},
        ["main.yaml:3:13: option 'etc.a.source': there is no file pge.html | Did you mean 'page.html'?"],
    ),
    (
        "an unknown package in a text",
        {"main": "etc: {a: {text: '${pkgs.helo}'}}\n"},
        ["main.yaml:1:17: ${pkgs.helo}: there is no package 'helo' | Did you mean 'hello'?"],
    ),
    (
        "an unknown package in the list",
        {"main": "packages: [hello, wrld]\n"},
        ["main.yaml:1:19: option 'packages[1]': there is no package 'wrld' | Did you mean 'world'?"],
    ),
    (
        "an unknown package near nothing",
        {"main": "packages: [qqqq]\n"},
        ["main.yaml:1:12: option 'packages[0]': there is no package 'qqqq' | Packages are declared in packages.yaml."],
    ),
    (
        "an unknown label",
        {"main": "etc: {a: {text: '${host.labels.zoen}'}}\n"},
        ["main.yaml:1:17: ${host.labels.zoen}: host 'web1' has no 'labels.zoen' | Did you mean 'labels.zone'?"],
    ),
    (
        "an unknown fact",
        {"main": "etc: {a: {text: '${host.colour}'}}\n"},
        [
            "main.yaml:1:17: ${host.colour}: host 'web1' has no 'colour' | Write ${pkgs.NAME}, ${config.PATH}, ${host.name}, ${host.labels.NAME} or ${host.vars.NAME}; $${ is a literal ${."
        ],
    ),
    (
        "an unknown root",
        {"main": "etc: {a: {text: '${hots.name}'}}\n"},
        ["main.yaml:1:17: ${hots.name}: 'hots' means nothing | Did you mean 'host'?"],
    ),
    (
        "an expression",
        {"main": "etc: {a: {text: '${1 + 1}'}}\n"},
        [
            "main.yaml:1:17: ${1 + 1}: '1 + 1' means nothing | Write ${pkgs.NAME}, ${config.PATH}, ${host.name}, ${host.labels.NAME} or ${host.vars.NAME}; $${ is a literal ${."
        ],
    ),
    (
        "an empty interpolation",
        {"main": "etc: {a: {text: '${}'}}\n"},
        [
            "main.yaml:1:17: ${}: '' means nothing | Write ${pkgs.NAME}, ${config.PATH}, ${host.name}, ${host.labels.NAME} or ${host.vars.NAME}; $${ is a literal ${."
        ],
    ),
    (
        "an interpolation that is not closed",
        {"main": "etc: {a: {text: 'port ${host.name'}}\n"},
        ["main.yaml:1:17: ${host.name: it is not closed by } | Write $${ for a literal ${."],
    ),
    (
        "an unknown option referred to",
        {"main": "etc: {a: {text: '${config.user.a.home}'}}\n"},
        ["main.yaml:1:17: ${config.user.a.home}: there is no option 'user.a.home' | Did you mean 'users'?"],
    ),
    (
        "an unknown part of an option referred to",
        {"main": "etc: {a: {text: '${config.users.a.home}'}}\n"},
        [
            "main.yaml:1:17: ${config.users.a.home}: option 'users' has no 'a.home' | Only what a configuration defines, and defaults of what it defines, can be referred to."
        ],
    ),
    (
        "a list within a text",
        {"main": "etc: {a: {text: 'x ${host.groups}'}}\n"},
        [
            "main.yaml:1:17: x ${host.groups}: a mapping or a list can't stand within a text | Write ${pkgs.NAME}, ${config.PATH}, ${host.name}, ${host.labels.NAME} or ${host.vars.NAME}; $${ is a literal ${."
        ],
    ),
    (
        "a reference of the wrong type",
        {"main": "users: {a: {uid: '${host.vars.word}'}}\n"},
        [
            "main.yaml:1:18: option 'users.a.uid' must be a whole number from 1 to 65533, and is the text 'x' | The option is declared at modules/users.py."
        ],
    ),
    (
        "a value that needs itself",
        {"main": "users: {a: {home: '${config.users.a.home}'}}\n"},
        [
            "main.yaml:1:19: the value of 'users.a.home' depends on itself: users.a.home → users.a.home | Give one of them a value that does not refer to the others. Defined: users.a.home at main.yaml:1:19."
        ],
    ),
    (
        "values that need each other",
        {"main": "users:\n  a: {home: '${config.etc.x.text}'}\netc:\n  x: {text: '${config.users.a.home}'}\n"},
        [
            "main.yaml:4:13: the value of 'etc.x.text' depends on itself: etc.x.text → users.a.home → etc.x.text | Give one of them a value that does not refer to the others. Defined: etc.x.text at main.yaml:4:13, users.a.home at main.yaml:2:13."
        ],
    ),
    (
        "a key that stands twice",
        {"main": "packages: [hello]\npackages: [world]\n"},
        ["main.yaml:2:1: the key 'packages' stands twice; first in line 1 | Keep one of the two."],
    ),
    (
        "a file that is a list",
        {"main": "- a\n"},
        ["main.yaml:1:1: a configuration is a mapping, and this is a list | Write `key: value` lines at the top."],
    ),
    ("a tab", {"main": "users:\n\thello: {}\n"}, ["main.yaml:2:1: a tab stands where YAML wants spaces | Indent with spaces."]),
    (
        "an absolute path in etc",
        {"main": "etc: {/etc/a: {text: x}}\n"},
        [
            "main.yaml:1:7: '/etc/a' can't be a name in 'etc' | A name there is relative to /etc, without a leading /. Declared at modules/etc.py."
        ],
    ),
    (
        "a path that climbs out of etc",
        {"main": "etc: {../a: {text: x}}\n"},
        [
            "main.yaml:1:7: '../a' can't be a name in 'etc' | A name there has no empty part and no '..'. Declared at modules/etc.py."
        ],
    ),
    (
        "an entry without content",
        {"main": "etc: {a: {}}\n"},
        ["main.yaml:1:10: etc entry 'a' needs one of `text`, `source` and `target`, and has none | Give it exactly one."],
    ),
    (
        "an entry with two contents",
        {"main": "etc: {a: {text: x, target: /y}}\n"},
        [
            "main.yaml:1:10: etc entry 'a' needs one of `text`, `source` and `target`, and has `text` and `target` | Give it exactly one."
        ],
    ),
    (
        "a link with a mode",
        {"main": "etc: {a: {text: x, kind: link, mode: '0600'}}\n"},
        ["main.yaml:1:10: etc entry 'a' is a link, and links have no mode or owner | Add `kind: file` to make it a real file."],
    ),
    (
        "a symlink without target",
        {"main": "etc: {a: {text: x, kind: symlink}}\n"},
        ["main.yaml:1:10: etc entry 'a' is of kind symlink and has `text` | `target` goes with symlink."],
    ),
    (
        "a directory with text",
        {"main": "etc: {a: {text: x, kind: directory}}\n"},
        ["main.yaml:1:10: etc entry 'a' is a directory and has `text` | Remove `text`."],
    ),
    (
        "an entry below a file",
        {"main": "etc: {a: {text: x}, a/b: {text: y}}\n"},
        ["main.yaml:1:26: etc entry 'a/b' stands below 'a', which is no directory | Remove one."],
    ),
    (
        "a service with its suffix",
        {"main": "systemd: {services: {a.service: {service: {ExecStart: /x}}}}\n"},
        [
            "main.yaml:1:22: 'a.service' can't be a name in 'systemd.services' | A name there leaves out its suffix: 'a'. Declared at modules/systemd.py."
        ],
    ),
    (
        "a unit without suffix",
        {"main": "systemd: {units: {hello: {text: x}}}\n"},
        [
            "main.yaml:1:19: 'hello' can't be a name in 'systemd.units' | A name there ends with .service, .timer, .socket, .target, .mount …, such as hello.service. Declared at modules/systemd.py."
        ],
    ),
    (
        "a unit with a wrong suffix",
        {"main": "systemd: {units: {hello.servce: {text: x}}}\n"},
        [
            "main.yaml:1:19: 'hello.servce' can't be a name in 'systemd.units' | A name there ends with .service, .timer, .socket, .target, .mount …, such as hello.service. Declared at modules/systemd.py."
        ],
    ),
    (
        "a newline in a directive",
        {"main": 'systemd: {services: {a: {service: {ExecStart: "/x\\n[Install]"}}}}\n'},
        [
            "main.yaml:1:47: option 'systemd.services.a.service.ExecStart' must be one line of text, a number, or true or false, and is the text '/x\\n[Install]' | The option is declared at modules/systemd.py."
        ],
    ),
    (
        "a backslash at a directive's end",
        {"main": "systemd: {services: {a: {service: {ExecStart: '/x \\'}}}}\n"},
        [
            "main.yaml:1:47: option 'systemd.services.a.service.ExecStart' must be one line of text, a number, or true or false, and is the text '/x \\\\' | The option is declared at modules/systemd.py."
        ],
    ),
    (
        "a directive with a space",
        {"main": "systemd: {services: {a: {service: {Exec Start: /x}}}}\n"},
        [
            "main.yaml:1:36: 'Exec Start' can't be a name in 'systemd.services.a.service' | A name there is one such as ExecStart. Declared at modules/systemd.py."
        ],
    ),
    (
        "a service that runs nothing",
        {"main": "systemd: {services: {a: {}}}\n"},
        ["main.yaml:1:25: service 'a' has no ExecStart | Say what it runs."],
    ),
    (
        "a timer without service",
        {"main": "systemd: {timers: {a: {timer: {OnCalendar: daily}}}}\n"},
        ["main.yaml:1:23: timer 'a' has no service 'a.service' to start | Declare it."],
    ),
    (
        "wanted by no unit",
        {"main": "systemd: {services: {a: {wanted_by: [multi-user], service: {ExecStart: /x}}}}\n"},
        ["main.yaml:1:25: unit 'a.service' is to be started by 'multi-user', which is no unit | Write multi-user.target."],
    ),
    (
        "an empty unit",
        {"main": "systemd: {units: {a.service: {}}}\n"},
        ["main.yaml:1:30: unit 'a.service' has neither `text` nor `drop_ins`, and is not masked | Give it one of them."],
    ),
    (
        "masked with a text",
        {"main": "systemd: {masked: [a.service], units: {a.service: {text: x}}}\n"},
        ["main.yaml:1:51: unit 'a.service' has a text and is masked | Remove one of the two."],
    ),
    (
        "a drop-in without .conf",
        {"main": "systemd: {units: {a.service: {drop_ins: {x: y}}}}\n"},
        [
            "main.yaml:1:42: 'x' can't be a name in 'systemd.units.a.service.drop_ins' | A name there is a file name that ends with .conf. Declared at modules/systemd.py."
        ],
    ),
    (
        "a user's name",
        {"main": "users: {Hello: {}}\n"},
        [
            "main.yaml:1:9: 'Hello' can't be a name in 'users' | A name there starts with a letter or _ and has only a-z 0-9 _ -. Declared at modules/users.py."
        ],
    ),
    ("root", {"main": "users: {root: {}}\n"}, ["main.yaml:1:15: the account 'root' is the host's own | Remove `users.root`."]),
    (
        "one number for two users",
        {"main": "users: {a: {uid: 7}, b: {uid: 7}}\n"},
        ["main.yaml:1:31: 'b' and 'a' both have uid 7 | Change one of them."],
    ),
    (
        "a kernel key",
        {"main": "sysctl: {somaxconn: 1}\n"},
        [
            "main.yaml:1:10: 'somaxconn' can't be a name in 'sysctl' | A name there is one such as net.core.somaxconn. Declared at modules/sysctl.py."
        ],
    ),
    (
        "a newline in a kernel value",
        {"main": 'sysctl: {net.core.somaxconn: "1\\n2"}\n'},
        [
            "main.yaml:1:30: option 'sysctl.net.core.somaxconn' must be one line of text, a number, or true or false, and is the text '1\\n2' | The option is declared at modules/sysctl.py."
        ],
    ),
    (
        "a check without kind",
        {"main": "checks: {a: {url: http://x}}\n"},
        ["main.yaml:1:10: option 'checks.a.kind' has no value | Give `kind` a value; it is declared at modules/checks.py."],
    ),
    (
        "a check of a wrong kind",
        {"main": "checks: {a: {kind: htpp}}\n"},
        [
            "main.yaml:1:20: option 'checks.a.kind' must be one of 'http' or 'tcp' or 'command' or 'unit' or 'journal' or 'file' or 'prometheus', and is the text 'htpp' | Did you mean 'http'? The option is declared at modules/checks.py."
        ],
    ),
    (
        "an http check without address",
        {"main": "checks: {a: {kind: http}}\n"},
        ["main.yaml:1:13: check 'a' is of kind http and has no `url` | Add `url`."],
    ),
    (
        "an http check of something else",
        {"main": "checks: {a: {kind: http, url: ftp://x}}\n"},
        ["main.yaml:1:31: check 'a': 'ftp://x' is no http address | Write http://HOST:PORT/PATH."],
    ),
    (
        "a tcp check without port",
        {"main": "checks: {a: {kind: tcp}}\n"},
        ["main.yaml:1:13: check 'a' is of kind tcp and has no `port` | Add `port`."],
    ),
    (
        "a command that is relative",
        {"main": "checks: {a: {kind: command, command: [true]}}\n"},
        ["main.yaml:1:39: option 'checks.a.command[0]' must be text, and is true | The option is declared at modules/checks.py."],
    ),
    (
        "a relative command",
        {"main": "checks: {a: {kind: command, command: [curl]}}\n"},
        [
            "main.yaml:1:38: check 'a': its program 'curl' is no absolute path | Write ${pkgs.NAME}/bin/PROGRAM, or a path of the host's."
        ],
    ),
    (
        "a check of a unit that is not declared",
        {"main": "checks: {a: {kind: unit, unit: b.service}}\n"},
        [
            "main.yaml:1:32: check 'a': the unit 'b.service' is not declared | Declared: none. For a unit of the host's own, say `declared: false`."
        ],
    ),
    (
        "a check of a unit that nothing starts",
        {"main": "systemd: {services: {b: {service: {ExecStart: /x}}}}\nchecks: {a: {kind: unit, unit: b.service}}\n"},
        [
            "main.yaml:2:32: check 'a': nothing starts the unit 'b.service' | Add `wanted_by`, or remove the check. See also main.yaml:1:25."
        ],
    ),
    (
        "a priority without its number",
        {"main": "packages: !priority [hello]\n"},
        ["main.yaml:1:11: the tag !priority lacks its number | Write a whole number from 0 to 9999: !priority:70."],
    ),
    (
        "a priority that is no number",
        {"main": "packages: !priority:high [hello]\n"},
        ["main.yaml:1:11: the tag !priority:high lacks its number | Write a whole number from 0 to 9999: !priority:70."],
    ),
    (
        "a number that a word does not take",
        {"main": "packages: !force:70 [hello]\n"},
        ["main.yaml:1:11: the tag !force:70: !force takes no number | Write !force, or !priority:70."],
    ),
    (
        "two priorities",
        {"main": "packages: !force+default [hello]\n"},
        ["main.yaml:1:11: the tag !force+default says two priorities | Keep one of them."],
    ),
    (
        "a mark on an item of a list",
        {"main": "packages: [!force hello]\n"},
        [
            "main.yaml:1:12: the tag !force has no meaning on an item of a list | Mark the list; items of one list keep their order."
        ],
    ),
    (
        "a condition that is text",
        {"main": "when: {if: '${host.name}', then: {packages: [hello]}}\n"},
        [
            "main.yaml:1:12: a condition has no answer: it is the text 'web1', and neither true nor false | Write true, false, a ${…} that is one of them, a list of conditions, or one of `not`, `all`, `any`, `equal: [A, B]` and `contains: [LIST, VALUE]`."
        ],
    ),
    (
        "a condition that nobody knows",
        {"main": "when: {if: {equals: [a, b]}, then: {packages: [hello]}}\n"},
        ["main.yaml:1:13: a condition has no answer: 'equals' is no condition | Did you mean 'equal'?"],
    ),
    (
        "a comparison of different kinds",
        {"main": "when: {if: {equal: ['${host.vars.port}', '8080']}, then: {packages: [hello]}}\n"},
        [
            "main.yaml:1:42: a condition has no answer: the number 8080 and the text '8080' are never equal | Compare values of one kind: 80 is a number, and '80' is text."
        ],
    ),
    (
        "a comparison with one side",
        {"main": "when: {if: {equal: [a]}, then: {packages: [hello]}}\n"},
        [
            "main.yaml:1:20: a condition has no answer: 'equal' takes two single values | Write true, false, a ${…} that is one of them, a list of conditions, or one of `not`, `all`, `any`, `equal: [A, B]` and `contains: [LIST, VALUE]`."
        ],
    ),
    (
        "something that contains nothing",
        {"main": "when: {if: {contains: ['${host.vars.port}', 80]}, then: {packages: [hello]}}\n"},
        ["main.yaml:1:24: a condition has no answer: the number 8080 contains nothing | `contains` takes a list and a value."],
    ),
    (
        "a condition without options",
        {"main": "when: [{if: true}]\n"},
        ["main.yaml:1:8: this part of `when` lacks `then` | Write `- if: CONDITION`, and below it `then:` with options."],
    ),
    (
        "a conditional that is a list",
        {"main": "when: [[true]]\n"},
        [
            "main.yaml:1:8: `when` is a list of mappings with `if` and `then`, and this is a list | Write `- if: CONDITION`, and below it `then:` with options."
        ],
    ),
    (
        "a conditional with an unknown key",
        {"main": "when: [{if: true, than: {}, then: {}}]\n"},
        ["main.yaml:1:19: there is no option 'when.than' | Did you mean 'when.then'? Declared at main.yaml:1:8."],
    ),
    (
        "a conditional import",
        {"main": "when: {if: true, then: {imports: [b.yaml]}}\n", "b": "{}"},
        ["main.yaml:1:25: `imports` can't depend on a condition | Put it at the top of the file."],
    ),
    (
        "conditional options that are a list",
        {"main": "when: {if: true, then: [packages]}\n"},
        [
            "main.yaml:1:24: `then` is a mapping of options, and this is a list | Write options below `then`, as at the top of a file."
        ],
    ),
    (
        "a parameter that is not given",
        {"main": "imports: [b.yaml]\n", "b": "parameters: {port: }\nsysctl: {a.b: '${parameters.port}'}\n"},
        [
            "main.yaml:1:11: import of 'b.yaml': its parameter 'port' is not given | Import the file by `path`, with `with: {port: …}`. It is declared at b.yaml:1:14."
        ],
    ),
    (
        "a parameter that nobody declares",
        {"main": "imports: [{path: b.yaml, with: {prt: 1}}]\n", "b": "parameters: {port: {default: 2}}\n"},
        ["main.yaml:1:33: import of 'b.yaml': the file has no parameter 'prt' | Did you mean 'port'?"],
    ),
    (
        "a parameter misspelled where it is read",
        {"main": "imports: [b.yaml]\n", "b": "parameters: {port: {default: 2}}\nsysctl: {a.b: '${parameters.prt}'}\n"},
        ["b.yaml:2:15: ${parameters.prt}: this file has no parameter 'prt' | Did you mean 'port'?"],
    ),
    (
        "a parameter that a file does not declare",
        {"main": "sysctl: {a.b: '${parameters.port}'}\n"},
        [
            "main.yaml:1:15: ${parameters.port}: this file declares no parameters | Declare it at the top of the file: `parameters: {port: {default: …}}`."
        ],
    ),
    (
        "a parameter that is a list within a text",
        {
            "main": "imports: [{path: b.yaml, with: {port: [1]}}]\n",
            "b": "parameters: {port: }\nsysctl: {a.b: 'x ${parameters.port}'}\n",
        },
        [
            "b.yaml:2:15: ${parameters.port}: a list can't stand within a text | Write ${pkgs.NAME}, ${config.PATH}, ${host.name}, ${host.labels.NAME} or ${host.vars.NAME}; $${ is a literal ${."
        ],
    ),
    (
        "two parameters of equal value as names",
        {
            "main": "imports: [{path: b.yaml, with: {a: x, b: x}}]\n",
            "b": "parameters: {a: , b: }\nusers: {'${parameters.a}': {}, '${parameters.b}': {}}\n",
        },
        ["b.yaml:2:32: the key 'x' stands twice | Give the parameters different values."],
    ),
    (
        "a parameter with an unknown field",
        {"main": "parameters: {port: {defualt: 3}}\n"},
        [
            "main.yaml:1:21: there is no option 'parameters.port.defualt' | Did you mean 'parameters.port.default' or 'parameters.port.description'? Declared at main.yaml:1:14."
        ],
    ),
    (
        "a parameter that is a value",
        {"main": "parameters: {port: 3}\n"},
        ["main.yaml:1:20: the parameter 'port' is a mapping, and this is the number 3 | Write `port: {default: …}`."],
    ),
    (
        "an import with an unknown key",
        {"main": "imports: [{path: b.yaml, wth: {}}]\n", "b": "{}"},
        [
            "main.yaml:1:26: there is no option 'imports.wth' | Did you mean 'imports.with' or 'imports.path'? Declared at main.yaml:1:11."
        ],
    ),
    (
        "a module to disable that is not there",
        {"main": "disabled_modules: [tmpfile]\n"},
        ["main.yaml:1:20: there is no module 'tmpfile' to disable, and no such file | Did you mean 'tmpfiles'?"],
    ),
    (
        "a module to disable that is a mapping",
        {"main": "disabled_modules: [{a: 1}]\n"},
        ["main.yaml:1:20: `disabled_modules` has names of modules and paths of files, and this is a mapping | Write `[NAME]`."],
    ),
    (
        "a disabled module that another needs",
        {
            "main": "disabled_modules: tmpfiles\nimports: [own]\n",
            "modules__own.py": "from deployer.config import Module\nmodule = Module('own', '')\nmodule.defines('tmpfiles.rules')(lambda config: [])\n",
        },
        [
            "main.yaml:1:19: the module 'tmpfiles' is disabled, and the module 'own' needs its option 'tmpfiles.rules' | Import a module that declares 'tmpfiles.rules', or leave 'tmpfiles' enabled."
        ],
    ),
    (
        "a secret in a configuration",
        {"main": "sysctl: {a.b: '${secrets.key}'}\n"},
        [
            "main.yaml:1:15: ${secrets.key}: a configuration holds no secrets | Put it into a file of root's on the host, and name that file: docs/explanation/security.md says how."
        ],
    ),
    (
        "several at once",
        {"main": "pakages: []\nusers: {a: {uid: x}}\nchecks: {b: {kind: http}}\n"},
        [
            "main.yaml:1:1: there is no option 'pakages' | Did you mean 'packages'?",
            "main.yaml:2:18: option 'users.a.uid' must be a whole number from 1 to 65533, and is the text 'x' | The option is declared at modules/users.py.",
            "main.yaml:3:13: check 'b' is of kind http and has no `url` | Add `url`.",
        ],
    ),
    (
        "a broken file and others",
        {"main": "imports: [b.yaml]\nusers: {a: {uid: x}}\nchecks: {c: {url: http://x}}\n", "b": "a: [\n"},
        [
            "b.yaml:2:1: it is not YAML: expected the node content, but found '<stream end>' (while parsing a flow node) | Look for a missing quote, colon or bracket just before here.",
            "main.yaml:2:18: option 'users.a.uid' must be a whole number from 1 to 65533, and is the text 'x' | The option is declared at modules/users.py.",
        ],
    ),
]


@pytest.mark.parametrize(("files", "expected"), [case[1:] for case in WRONG], ids=[case[0] for case in WRONG])
def test_a_wrong_configuration_is_explained(directory, files, expected):
    errors = directory.errors(**files)

    here = (f"{directory.path}/", f"{library_directory().parent}/")
    said = [f"{error} | {error.remedy}" for error in errors]
    for prefix in here:
        said = [line.replace(prefix, "") for line in said]
    assert [re.sub(r"(modules/\w+\.py):\d+", r"\1", line) for line in said] == expected


@pytest.mark.parametrize("files", [case[1] for case in WRONG], ids=[case[0] for case in WRONG])
def test_every_error_names_a_line_of_the_user(directory, files):
    for error in directory.errors(**files):
        assert error.location is not None
        assert error.location.file.startswith(str(directory.path))
        assert error.location.line > 0
        assert error.location.column > 0
        assert error.remedy


def test_an_error_shows_the_line_with_a_caret(directory):
    (error,) = directory.errors("users:\n  hello: {uid: many}\n")

    assert error.excerpt == "  hello: {uid: many}\n               ^"
