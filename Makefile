# Ordain's commands. Each installs what it needs on a fresh Debian 12 or 13, as root.

# A Python of the user's before Debian's on PATH would miss Debian's modules.
export PATH := /usr/sbin:/usr/bin:/sbin:/bin
export DEBIAN_FRONTEND := noninteractive

BUILD := dpkg-dev debhelper dh-python pybuild-plugin-pyproject python3-all python3-docutils python3-setuptools python3-yaml lintian
RUNTIME := python3 python3-yaml python3-jinja2 python3-jsonschema python3-dbus-next python3-pystemd python3-rich python3-aiohttp python3-cryptography python3-defusedxml python3-nacl
STORES := etcd-server etcd-client $(shell command -v npm >/dev/null || echo nodejs npm)
MACHINES := mmdebstrap debian-archive-keyring systemd-container util-linux mount $(BUILD)
DOCS := python3-sphinx python3-myst-parser python3-sphinx-rtd-theme
FOREIGN := rpm rpmlint makepkg pacman-package-manager libarchive-tools fakeroot python3-build
TESTS := tox python3-venv chromium chromium-driver dbus zsh fish tcsh systemd busybox curl dnsmasq-base ipxe netplan.io dosfstools btrfs-progs $(RUNTIME)

# $(call need,PACKAGES): install those that are missing.
define need
@missing=$$(for name in $(1); do \
	dpkg-query -W -f '$${db:Status-Status}\n' $$name 2>/dev/null | grep -qx installed || echo $$name; done); \
[ -z "$$missing" ] || { \
	[ "$$(id -u)" = 0 ] || { echo "make $@: must be root to install" $$missing >&2; exit 1; }; \
	echo "Installing" $$missing; \
	apt-get update -qq && apt-get install -qq --no-install-recommends $$missing >/dev/null; }
endef

.PHONY: help demo test check deb docs pages bench fuzz soak proof upgrade audit

help:
	@echo 'make demo    boot a Debian machine from documents, edit them, watch it follow (root)'
	@echo 'make test    everything: lint, types, unit and integration tests, on booted machines (root)'
	@echo 'make check   the fast part: lint, types, unit tests without those that explore many values or start real programs'
	@echo 'make deb     build the Debian package into dist/'
	@echo 'make docs    build the documentation as a static site into dist/site; a dead link is an error'
	@echo 'make pages   write the generated pages of docs/ and the shell completion again, after a change of a key or command'
	@echo 'make bench   measure the generator, compiles, applies and boots against a floor each (root; SUITE=trixie)'
	@echo 'make fuzz    feed changed inputs to every reader of data from others, a minute each; follows coverage where atheris'
	@echo '             can be installed (TARGET= SECONDS= SEED= OUT=fuzz-crashes)'
	@echo 'make soak    random documents, administrators, kills and power cuts on booted machines (root; SEED= MINUTES= SUITE= TWIN= CUTS=)'
	@echo 'make proof   whole machines under qemu: RAM and disk out of the same documents, every way to hand them over, both'
	@echo '             kinds of initrd, every network device, 20 minutes (root; SUITE= ONLY=ram|disk|handover|prebuilt|netboot|diskless|secrets|dracut|network)'
	@echo 'make upgrade a machine that runs Debian 12 becomes Debian 13 under its services, and boots (root; 2 minutes, 170 MB once)'
	@echo 'make audit   hold the transformation database against the archives of Debian 12, 13 and sid (400 MB once),'
	@echo '             and against packaging sources of other systems (ORDAIN_AUDIT_SOURCES=)'

demo:
	$(call need,$(MACHINES))
	@PYTHONPATH=tests python3 -B -m rig.demo

test:
	$(call need,$(TESTS) $(MACHINES) $(STORES) $(FOREIGN))
	tox

check:
	$(call need,$(TESTS))
	tox -e check

deb:
	$(call need,$(BUILD))
	mkdir -p dist
	packaging/build-deb dist
	lintian --fail-on error,warning --info dist/*.changes

docs:
	$(call need,$(DOCS))
	@python3 -m sphinx -b html -n -W --keep-going -q -E docs dist/site
	@echo dist/site/index.html

PAGES := agent.cli.manual.ordainctl_page:docs/man/ordainctl.1.rst \
	agent.cli.manual.document_page:docs/man/ordain-document.5.rst \
	agent.cli.manual.agent_yaml_page:docs/man/ordain-agent.yaml.5.rst \
	agent.cli.manual.agent_yaml_reference:docs/reference/agent-yaml.md \
	agent.cli.manual.codes_reference,man:docs/man/ordain-codes.7.rst \
	agent.cli.manual.codes_reference,markdown:docs/reference/codes.md \
	agent.cli.manual.commands_reference:docs/reference/commands.md \
	agent.cli.manual.json_reference:docs/reference/json.md \
	agent.cli.manual.api_reference:docs/reference/boot-server-api.md \
	agent.cli.manual.bash_completion:agent/cli/manual/ordainctl.bash \
	agent.cli.manual.zsh_completion:agent/cli/manual/_ordainctl \
	agent.cli.manual.fish_completion:agent/cli/manual/ordainctl.fish \
	transforms.document.reference:docs/reference/documents.md \
	transforms.catalog.system_support:docs/reference/systems.md

pages:
	$(call need,$(RUNTIME))
	@export PYTHONPATH=packaging/typing; for page in $(PAGES); do \
		python3 -B -m ordain.$$(echo "$${page%%:*}" | tr , ' ') >"$${page#*:}.new" && mv "$${page#*:}.new" "$${page#*:}" || exit 1; done; \
	python3 -B -m ordain.transforms.section_pages docs/reference/sections; \
	python3 -B -m ordain.transforms.runs.system_pages docs/reference/runs

bench:
	$(call need,$(RUNTIME) $(MACHINES) $(STORES))
	@status=0; for bench in generator compile nodes release runs "reconcile --suite=$(or $(SUITE),trixie)" "follow --suite=$(or $(SUITE),trixie)" \
		"scale --suite=$(or $(SUITE),trixie)" \
		"boot --suite=$(or $(SUITE),trixie)" \
		"exclusive --suite=$(or $(SUITE),trixie)" "stores --suite=$(or $(SUITE),trixie)" fleet; do \
		echo "bench/$$bench"; bench/$$bench || status=1; echo; done; exit $$status

fuzz:
	$(call need,$(RUNTIME) python3-venv)
	@test -x .venv-fuzz/bin/python || python3 -m venv --system-site-packages .venv-fuzz
	@.venv-fuzz/bin/python -c 'import atheris' 2>/dev/null || .venv-fuzz/bin/pip install -q atheris || \
		echo 'atheris cannot be installed for this Python: inputs are changed at random' >&2
	@PYTHONPATH=packaging/typing .venv-fuzz/bin/python tests/fuzz/run.py $(TARGET) --seconds $(or $(SECONDS),60) \
		--seed $(or $(SEED),1) --out $(or $(OUT),fuzz-crashes)

soak:
	$(call need,$(MACHINES))
	@PYTHONPATH=tests python3 -B -m rig.soak --suite=$(or $(SUITE),trixie) --minutes=$(or $(MINUTES),10) \
		$(if $(TWIN),--twin=$(TWIN)) $(if $(SEED),--seed=$(SEED))
	@PYTHONPATH=tests python3 -B -m rig.power_cuts --suite=$(or $(SUITE),trixie) --cuts=$(or $(CUTS),200) $(if $(SEED),--seed=$(SEED))

proof:
	$(call need,$(RUNTIME) $(MACHINES) qemu-system-x86 zstd e2fsprogs ipxe ovmf dnsmasq-base iproute2)
	@PYTHONPATH=packaging/typing:tests python3 -B -m rig.proof --suite=$(or $(SUITE),trixie) $(if $(ONLY),--only=$(ONLY))

upgrade:
	$(call need,$(MACHINES))
	@PYTHONPATH=tests python3 -B -m rig.upgrade

audit:
	$(call need,$(RUNTIME) debian-archive-keyring)
	PYTHONPATH=packaging/typing:tests python3 -B -m audit.debian
	PYTHONPATH=packaging/typing:tests python3 -B -m audit.packaging
