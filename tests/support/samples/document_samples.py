"""Documents that the schema refuses, each with its problem."""

from __future__ import annotations

HEAD = "ordain: v1\nkind: Layer\nname: x\n"

BAD_DOCUMENTS = {
    "{serices: {}}": "serices: unknown key (did you mean services or secrets or users?)",
    "{services: {web: {restrat: always}}}": "services/web/restrat: unknown key (did you mean restart",
    "{services: {web: {nice: 20}}}": "services/web/nice: 20 is more than the maximum, 19",
    '{services: {web: {nice: "5"}}}': "services/web/nice: expected a whole number from -20 to 19, found the string '5'",
    "{services: {web: {remain: yes}}}": "expected true or false, found the string 'yes' (write true)",
    "{services: {web: {description: true}}}": 'expected a string, found true (write "true" in quotes)',
    "{services: {web: {description: [a]}}}": "services/web/description: expected a string, found a list",
    "{services: {web: {description: {a: b}}}}": "expected a string, found a map (the only map that is allowed",
    "{services: {web: {command: []}}}": "services/web/command: expected a command",
    "{services: {web: {command: [/bin/a, [b]]}}}": None,
    "{services: {web: {command: \"/bin/a 'b\"}}}": "services/web/command: \"/bin/a 'b\" is not a command",
    "{services: {web: {start-timeout: soon}}}": "services/web/start-timeout: 'soon' is not a time span",
    "{services: {web: {limits: {memory: 1Q}}}}": "services/web/limits/memory: '1Q' is not a size",
    "{services: {web: {sandbox: strct}}}": "services/web/sandbox: expected one of none, standard, strict",
    "{services: {web: {health: {tcp: a, http: b}}}}": "services/web/health: tcp and http exclude each other",
    "{services: {web: {after: {a: yes}}}}": "services/web/after/a: expected true or null, found the string 'yes'",
    "{services: {a@b: {}}}": "services/a@b: 'a@b' is not a service name",
    "{services: {a/b: {}}}": "services/a~1b: 'a/b' is not a service name",
    "{services: {a.service: {}}}": "is not a service name (write the name of a service without its suffix",
    "{services: {web: {environment: {1a: b}}}}": "services/web/environment/1a: '1a' is not a variable name",
    "{services: {web: {working-directory: a}}}": "services/web/working-directory: 'a' is not an absolute path",
    "{services: {web: {working-directory: /a/../b}}}": "is not an absolute path (write it without //, /./, /../",
    "{services: {web: {umask: 0o27}}}": "services/web/umask: '0o27' is not an octal mode",
    "{services: {web: {instances: {a/b: {}}}}}": "services/web/instances/a~1b: 'a/b' is not an instance name",
    "{units: {foo.servce: {}}}": "units/foo.servce: 'foo.servce' is not a unit name",
    "{units: {../x.service: {}}}": "units/..~1x.service: '../x.service' is not a unit name",
    '{units: {a.service: {Service: {Nice: "1\\nExecStart=/evil"}}}}': "is not a value in systemd's own syntax",
    "{mounts: {srv: {}}}": "mounts/srv: 'srv' is not a mount point (write it with a leading /)",
    "{match: {version: nine}}": "match/version",
    "{match: {systemd: [\">=250\", x]}}": "match/systemd",
    "{match: {os: {nt: debian}}}": "match/os/nt: unknown key (did you mean not?)",
    "{tier: node}": "tier: expected one of default, os, role, site, pool",
    "{weight: heavy}": "weight: expected a whole number",
    "{values: [a]}": "values: expected a map, found a list",
}  # fmt: skip
