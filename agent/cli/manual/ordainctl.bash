# bash completion for ordainctl(1). Made by `python3 -m ordain.agent.cli.manual.bash_completion`: do not edit.

# Print words of lines that begin with the pattern START: _ordainctl_listed START COLUMN COMMAND...
_ordainctl_listed() {
    local start=$1 column=$2 line
    shift 2
    ordainctl "$@" 2>/dev/null </dev/null | while read -r -a line; do
        [[ ${line[0]} == $start ]] && printf '%s\n' "${line[column - 1]}"
    done
}

_ordainctl() {
    local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD-1]} flags= operand=
    COMPREPLY=()
    if ((COMP_CWORD == 1)); then
        mapfile -t COMPREPLY < <(compgen -W "validate test render match packages schema import image status watch show explain history diff facts doctor boot-chart init plan apply confirm rollback follow hold unhold pause resume documents store release fleet serve netboot secret query run help --help --version" -- "$current")
        return
    fi
    local command=${COMP_WORDS[1]}
    case $command in
        documents)
            if ((COMP_CWORD == 2)); then
                mapfile -t COMPREPLY < <(compgen -W "list get put delete edit history diff" -- "$current")
                return
            fi
            command+=" ${COMP_WORDS[2]}"
            ;;
        store)
            if ((COMP_CWORD == 2)); then
                mapfile -t COMPREPLY < <(compgen -W "check init policy backup restore" -- "$current")
                return
            fi
            command+=" ${COMP_WORDS[2]}"
            ;;
        release)
            if ((COMP_CWORD == 2)); then
                mapfile -t COMPREPLY < <(compgen -W "keygen create sign verify publish promote rollout list show prune forget" -- "$current")
                return
            fi
            command+=" ${COMP_WORDS[2]}"
            ;;
        fleet)
            if ((COMP_CWORD == 2)); then
                mapfile -t COMPREPLY < <(compgen -W "status show hold follow allow forget token enroll approve prepare revoke identity relay discovered adopt boot" -- "$current")
                return
            fi
            command+=" ${COMP_WORDS[2]}"
            ;;
        netboot)
            if ((COMP_CWORD == 2)); then
                mapfile -t COMPREPLY < <(compgen -W "images prune status token" -- "$current")
                return
            fi
            command+=" ${COMP_WORDS[2]}"
            ;;
        secret)
            if ((COMP_CWORD == 2)); then
                mapfile -t COMPREPLY < <(compgen -W "seal list reseal open key recovery" -- "$current")
                return
            fi
            command+=" ${COMP_WORDS[2]}"
            ;;
        query)
            if ((COMP_CWORD == 2)); then
                mapfile -t COMPREPLY < <(compgen -W "documents machines changes" -- "$current")
                return
            fi
            command+=" ${COMP_WORDS[2]}"
            ;;
        run)
            if ((COMP_CWORD == 2)); then
                mapfile -t COMPREPLY < <(compgen -W "render submit status wait cancel log systems import export" -- "$current")
                return
            fi
            command+=" ${COMP_WORDS[2]}"
            ;;
    esac
    case $command in
        validate)
            flags='--this-machine --json' operand='files'
            ;;
        test)
            flags='--junit --min-coverage --only --update --json' operand='directories'
            case $previous in
                --junit) operand='files' ;;
                --min-coverage) operand='text' ;;
                --only) operand='text' ;;
            esac
            ;;
        render)
            flags='--os --systemd --arch --label --facts --fact --node --all-os --output --netboot --mac --files --json' operand='files'
            case $previous in
                --os) operand='debian-11 debian-12 debian-13 debian-sid ubuntu-22.04 ubuntu-24.04 ubuntu-26.04 fedora-40 fedora-41 fedora-42 fedora-43 rhel-8 rhel-9 rhel-10 centos-9 centos-10 rocky-8 rocky-9 rocky-10 almalinux-8 almalinux-9 almalinux-10 ol-8 ol-9 ol-10 amzn-2023 opensuse-leap-15.6 opensuse-leap-16.0 opensuse-tumbleweed sles-15 sles-16 arch gentoo flatcar' ;;
                --systemd) operand='text' ;;
                --arch) operand='text' ;;
                --label) operand='text' ;;
                --facts) operand='files' ;;
                --fact) operand='text' ;;
                --node) operand='text' ;;
                --output) operand='directories' ;;
                --mac) operand='text' ;;
                --files) operand='directories' ;;
            esac
            ;;
        match)
            flags='--os --systemd --arch --label --facts --fact --node --json' operand='files'
            case $previous in
                --os) operand='debian-11 debian-12 debian-13 debian-sid ubuntu-22.04 ubuntu-24.04 ubuntu-26.04 fedora-40 fedora-41 fedora-42 fedora-43 rhel-8 rhel-9 rhel-10 centos-9 centos-10 rocky-8 rocky-9 rocky-10 almalinux-8 almalinux-9 almalinux-10 ol-8 ol-9 ol-10 amzn-2023 opensuse-leap-15.6 opensuse-leap-16.0 opensuse-tumbleweed sles-15 sles-16 arch gentoo flatcar' ;;
                --systemd) operand='text' ;;
                --arch) operand='text' ;;
                --label) operand='text' ;;
                --facts) operand='files' ;;
                --fact) operand='text' ;;
                --node) operand='text' ;;
            esac
            ;;
        packages)
            flags='--os --systemd --arch --label --facts --fact --node --json' operand='files'
            case $previous in
                --os) operand='debian-11 debian-12 debian-13 debian-sid ubuntu-22.04 ubuntu-24.04 ubuntu-26.04 fedora-40 fedora-41 fedora-42 fedora-43 rhel-8 rhel-9 rhel-10 centos-9 centos-10 rocky-8 rocky-9 rocky-10 almalinux-8 almalinux-9 almalinux-10 ol-8 ol-9 ol-10 amzn-2023 opensuse-leap-15.6 opensuse-leap-16.0 opensuse-tumbleweed sles-15 sles-16 arch gentoo flatcar' ;;
                --systemd) operand='text' ;;
                --arch) operand='text' ;;
                --label) operand='text' ;;
                --facts) operand='files' ;;
                --fact) operand='text' ;;
                --node) operand='text' ;;
            esac
            ;;
        schema)
            flags='--json' operand='Layer Node Transform Release Run Test agent'
            ;;
        import)
            flags='--from --root --name --output' operand='files'
            case $previous in
                --from) operand='units cloud-config netplan quadlet compose fstab sysctl modules ignition' ;;
                --root) operand='directories' ;;
                --name) operand='text' ;;
                --output) operand='files' ;;
            esac
            ;;
        image)
            flags='--install --netboot --name --json' operand='directories'
            case $previous in
                --netboot) operand='directories' ;;
                --name) operand='text' ;;
            esac
            ;;
        status)
            flags='--problems --json' operand='units'
            ;;
        watch)
            flags='--json' operand='text'
            ;;
        show)
            flags='--provenance --json' operand='text'
            ;;
        explain)
            flags='--json' operand='units'
            ;;
        history)
            flags='--since --until --count --json' operand='text'
            case $previous in
                --since) operand='text' ;;
                --until) operand='text' ;;
            esac
            ;;
        diff)
            flags='--exit-code --json' operand='generations'
            ;;
        facts)
            flags='--json' operand='text'
            ;;
        doctor)
            flags='--json' operand='text'
            ;;
        boot-chart)
            flags='--json' operand='text'
            ;;
        init)
            flags='--print' operand='text'
            ;;
        plan)
            flags='--exit-code --json' operand='files'
            ;;
        apply)
            flags='--once --remove --nothing --confirm --json' operand='files'
            case $previous in
                --confirm) operand='text' ;;
            esac
            ;;
        confirm)
            flags='' operand='text'
            ;;
        rollback)
            flags='--why --json' operand='generations'
            case $previous in
                --why) operand='text' ;;
            esac
            ;;
        follow)
            flags='--json' operand='units'
            ;;
        hold)
            flags='--unmask --why --for --until --json' operand='units'
            case $previous in
                --why) operand='text' ;;
                --for) operand='text' ;;
                --until) operand='text' ;;
            esac
            ;;
        unhold)
            flags='--json' operand='units'
            ;;
        pause)
            flags='--why --for --until --json' operand='text'
            case $previous in
                --why) operand='text' ;;
                --for) operand='text' ;;
                --until) operand='text' ;;
            esac
            ;;
        resume)
            flags='' operand='text'
            ;;
        'documents list')
            flags='--store --user --ca --password-file --json' operand='text'
            case $previous in
                --store) operand='text' ;;
                --user) operand='text' ;;
                --ca) operand='files' ;;
                --password-file) operand='files' ;;
            esac
            ;;
        'documents get')
            flags='--version --store --user --ca --password-file --json' operand='documents'
            case $previous in
                --version) operand='text' ;;
                --store) operand='text' ;;
                --user) operand='text' ;;
                --ca) operand='files' ;;
                --password-file) operand='files' ;;
            esac
            ;;
        'documents put')
            flags='--preview --tests --force --why --store --user --ca --password-file --json' operand='files'
            case $previous in
                --tests) operand='directories' ;;
                --why) operand='text' ;;
                --store) operand='text' ;;
                --user) operand='text' ;;
                --ca) operand='files' ;;
                --password-file) operand='files' ;;
            esac
            ;;
        'documents delete')
            flags='--preview --tests --why --store --user --ca --password-file --json' operand='documents'
            case $previous in
                --tests) operand='directories' ;;
                --why) operand='text' ;;
                --store) operand='text' ;;
                --user) operand='text' ;;
                --ca) operand='files' ;;
                --password-file) operand='files' ;;
            esac
            ;;
        'documents edit')
            flags='--tests --force --why --store --user --ca --password-file' operand='documents'
            case $previous in
                --tests) operand='directories' ;;
                --why) operand='text' ;;
                --store) operand='text' ;;
                --user) operand='text' ;;
                --ca) operand='files' ;;
                --password-file) operand='files' ;;
            esac
            ;;
        'documents history')
            flags='--store --user --ca --password-file --json' operand='documents'
            case $previous in
                --store) operand='text' ;;
                --user) operand='text' ;;
                --ca) operand='files' ;;
                --password-file) operand='files' ;;
            esac
            ;;
        'documents diff')
            flags='--exit-code --json --store --user --ca --password-file' operand='files'
            case $previous in
                --store) operand='text' ;;
                --user) operand='text' ;;
                --ca) operand='files' ;;
                --password-file) operand='files' ;;
            esac
            ;;
        'store check')
            flags='--machine-user --writer-user --relay-user --store --user --ca --password-file --json' operand='text'
            case $previous in
                --machine-user) operand='text' ;;
                --writer-user) operand='text' ;;
                --relay-user) operand='text' ;;
                --store) operand='text' ;;
                --user) operand='text' ;;
                --ca) operand='files' ;;
                --password-file) operand='files' ;;
            esac
            ;;
        'store init')
            flags='--machine-user --writer-user --relay-user --machine-password-file --writer-password-file --relay-password-file --slots --preview --yes --store --user --ca --password-file' operand='text'
            case $previous in
                --machine-user) operand='text' ;;
                --writer-user) operand='text' ;;
                --relay-user) operand='text' ;;
                --machine-password-file) operand='files' ;;
                --writer-password-file) operand='files' ;;
                --relay-password-file) operand='files' ;;
                --slots) operand='own shared' ;;
                --store) operand='text' ;;
                --user) operand='text' ;;
                --ca) operand='files' ;;
                --password-file) operand='files' ;;
            esac
            ;;
        'store policy')
            flags='--tests --why --store --user --ca --password-file --json' operand='required optional'
            case $previous in
                --tests) operand='required optional' ;;
                --why) operand='text' ;;
                --store) operand='text' ;;
                --user) operand='text' ;;
                --ca) operand='files' ;;
                --password-file) operand='files' ;;
            esac
            ;;
        'store backup')
            flags='--store --user --ca --password-file' operand='directories'
            case $previous in
                --store) operand='text' ;;
                --user) operand='text' ;;
                --ca) operand='files' ;;
                --password-file) operand='files' ;;
            esac
            ;;
        'store restore')
            flags='--replace --preview --yes --why --store --user --ca --password-file' operand='directories'
            case $previous in
                --why) operand='text' ;;
                --store) operand='text' ;;
                --user) operand='text' ;;
                --ca) operand='files' ;;
                --password-file) operand='files' ;;
            esac
            ;;
        'release keygen')
            flags='--passphrase --channel --scope' operand='text'
            case $previous in
                --channel) operand='text' ;;
                --scope) operand='text' ;;
            esac
            ;;
        'release create')
            flags='--channel --number --about --splay --max-parallel --window --stages --stop-at --soak --expires --shrinks --tests --key --output --store --user --ca --password-file' operand='files'
            case $previous in
                --channel) operand='text' ;;
                --number) operand='text' ;;
                --about) operand='text' ;;
                --splay) operand='text' ;;
                --max-parallel) operand='text' ;;
                --window) operand='text' ;;
                --stages) operand='text' ;;
                --stop-at) operand='text' ;;
                --soak) operand='text' ;;
                --expires) operand='text' ;;
                --tests) operand='directories' ;;
                --key) operand='files' ;;
                --output) operand='files' ;;
                --store) operand='text' ;;
                --user) operand='text' ;;
                --ca) operand='files' ;;
                --password-file) operand='files' ;;
            esac
            ;;
        'release sign')
            flags='--key' operand='files'
            case $previous in
                --key) operand='files' ;;
            esac
            ;;
        'release verify')
            flags='--trust --json --store --user --ca --password-file' operand='files'
            case $previous in
                --trust) operand='files' ;;
                --store) operand='text' ;;
                --user) operand='text' ;;
                --ca) operand='files' ;;
                --password-file) operand='files' ;;
            esac
            ;;
        'release publish')
            flags='--tests --why --store --user --ca --password-file' operand='files'
            case $previous in
                --tests) operand='directories' ;;
                --why) operand='text' ;;
                --store) operand='text' ;;
                --user) operand='text' ;;
                --ca) operand='files' ;;
                --password-file) operand='files' ;;
            esac
            ;;
        'release promote')
            flags='--key --trust --number --about --splay --max-parallel --window --stages --stop-at --soak --expires --shrinks --why --store --user --ca --password-file' operand='text'
            case $previous in
                --key) operand='files' ;;
                --trust) operand='files' ;;
                --number) operand='text' ;;
                --about) operand='text' ;;
                --splay) operand='text' ;;
                --max-parallel) operand='text' ;;
                --window) operand='text' ;;
                --stages) operand='text' ;;
                --stop-at) operand='text' ;;
                --soak) operand='text' ;;
                --expires) operand='text' ;;
                --why) operand='text' ;;
                --store) operand='text' ;;
                --user) operand='text' ;;
                --ca) operand='files' ;;
                --password-file) operand='files' ;;
            esac
            ;;
        'release rollout')
            flags='--once --open --stop --ignore --why --json --store --user --ca --password-file' operand='text'
            case $previous in
                --open) operand='text' ;;
                --stop) operand='text' ;;
                --ignore) operand='text' ;;
                --why) operand='text' ;;
                --store) operand='text' ;;
                --user) operand='text' ;;
                --ca) operand='files' ;;
                --password-file) operand='files' ;;
            esac
            ;;
        'release list')
            flags='--json --store --user --ca --password-file' operand='text'
            case $previous in
                --store) operand='text' ;;
                --user) operand='text' ;;
                --ca) operand='files' ;;
                --password-file) operand='files' ;;
            esac
            ;;
        'release show')
            flags='--json --store --user --ca --password-file' operand='text'
            case $previous in
                --store) operand='text' ;;
                --user) operand='text' ;;
                --ca) operand='files' ;;
                --password-file) operand='files' ;;
            esac
            ;;
        'release prune')
            flags='--keep --dry-run --json --store --user --ca --password-file' operand='text'
            case $previous in
                --keep) operand='text' ;;
                --store) operand='text' ;;
                --user) operand='text' ;;
                --ca) operand='files' ;;
                --password-file) operand='files' ;;
            esac
            ;;
        'release forget')
            flags='' operand='text'
            ;;
        'fleet status')
            flags='--label --watch --json --store --user --ca --password-file' operand='text'
            case $previous in
                --label) operand='text' ;;
                --store) operand='text' ;;
                --user) operand='text' ;;
                --ca) operand='files' ;;
                --password-file) operand='files' ;;
            esac
            ;;
        'fleet show')
            flags='--json --store --user --ca --password-file' operand='text'
            case $previous in
                --store) operand='text' ;;
                --user) operand='text' ;;
                --ca) operand='files' ;;
                --password-file) operand='files' ;;
            esac
            ;;
        'fleet hold')
            flags='--label --channel --why --for --until --store --user --ca --password-file --json' operand='text'
            case $previous in
                --label) operand='text' ;;
                --channel) operand='text' ;;
                --why) operand='text' ;;
                --for) operand='text' ;;
                --until) operand='text' ;;
                --store) operand='text' ;;
                --user) operand='text' ;;
                --ca) operand='files' ;;
                --password-file) operand='files' ;;
            esac
            ;;
        'fleet follow')
            flags='--label --channel --why --store --user --ca --password-file' operand='text'
            case $previous in
                --label) operand='text' ;;
                --channel) operand='text' ;;
                --why) operand='text' ;;
                --store) operand='text' ;;
                --user) operand='text' ;;
                --ca) operand='files' ;;
                --password-file) operand='files' ;;
            esac
            ;;
        'fleet allow')
            flags='--everybody --json --store --user --ca --password-file' operand='files'
            case $previous in
                --store) operand='text' ;;
                --user) operand='text' ;;
                --ca) operand='files' ;;
                --password-file) operand='files' ;;
            esac
            ;;
        'fleet forget')
            flags='--store --user --ca --password-file' operand='text'
            case $previous in
                --store) operand='text' ;;
                --user) operand='text' ;;
                --ca) operand='files' ;;
                --password-file) operand='files' ;;
            esac
            ;;
        serve)
            flags='--store --user --ca --password-file --name --listen --root --files --state --print-dnsmasq --tls-cert --tls-key --client-ca --tokens --max-per-address' operand='directories'
            case $previous in
                --store) operand='text' ;;
                --user) operand='text' ;;
                --ca) operand='files' ;;
                --password-file) operand='files' ;;
                --name) operand='text' ;;
                --listen) operand='text' ;;
                --root) operand='directories' ;;
                --files) operand='directories' ;;
                --state) operand='directories' ;;
                --print-dnsmasq) operand='text' ;;
                --tls-cert) operand='files' ;;
                --tls-key) operand='files' ;;
                --client-ca) operand='files' ;;
                --tokens) operand='files' ;;
                --max-per-address) operand='text' ;;
            esac
            ;;
        'fleet token')
            flags='--name --label --for --why --store --user --ca --password-file' operand='text'
            case $previous in
                --name) operand='text' ;;
                --label) operand='text' ;;
                --for) operand='text' ;;
                --why) operand='text' ;;
                --store) operand='text' ;;
                --user) operand='text' ;;
                --ca) operand='files' ;;
                --password-file) operand='files' ;;
            esac
            ;;
        'fleet enroll')
            flags='--token-file --new-key --wait --store --user --ca --password-file' operand='text'
            case $previous in
                --token-file) operand='files' ;;
                --wait) operand='text' ;;
                --store) operand='text' ;;
                --user) operand='text' ;;
                --ca) operand='files' ;;
                --password-file) operand='files' ;;
            esac
            ;;
        'fleet approve')
            flags='--key --label --vouched --watch --why --json --store --user --ca --password-file' operand='text'
            case $previous in
                --key) operand='text' ;;
                --label) operand='text' ;;
                --why) operand='text' ;;
                --store) operand='text' ;;
                --user) operand='text' ;;
                --ca) operand='files' ;;
                --password-file) operand='files' ;;
            esac
            ;;
        'fleet prepare')
            flags='--name --secret-key --label --why --store --user --ca --password-file' operand='text'
            case $previous in
                --name) operand='text' ;;
                --secret-key) operand='files' ;;
                --label) operand='text' ;;
                --why) operand='text' ;;
                --store) operand='text' ;;
                --user) operand='text' ;;
                --ca) operand='files' ;;
                --password-file) operand='files' ;;
            esac
            ;;
        'fleet revoke')
            flags='--why --store --user --ca --password-file' operand='text'
            case $previous in
                --why) operand='text' ;;
                --store) operand='text' ;;
                --user) operand='text' ;;
                --ca) operand='files' ;;
                --password-file) operand='files' ;;
            esac
            ;;
        'fleet identity')
            flags='--require --no-require --why --json --store --user --ca --password-file' operand='text'
            case $previous in
                --why) operand='text' ;;
                --store) operand='text' ;;
                --user) operand='text' ;;
                --ca) operand='files' ;;
                --password-file) operand='files' ;;
            esac
            ;;
        'netboot images')
            flags='--json' operand='directories'
            ;;
        'netboot prune')
            flags='--documents --state --keep --dry-run --json' operand='directories'
            case $previous in
                --documents) operand='directories' ;;
                --state) operand='directories' ;;
                --keep) operand='text' ;;
            esac
            ;;
        'netboot status')
            flags='--json' operand='directories'
            ;;
        'fleet relay')
            flags='--json' operand='directories'
            ;;
        'netboot token')
            flags='--tokens --rights --remove' operand='text'
            case $previous in
                --tokens) operand='files' ;;
                --rights) operand='text' ;;
            esac
            ;;
        'fleet discovered')
            flags='--json' operand='directories'
            ;;
        'fleet adopt')
            flags='--name --label --documents --state --json' operand='text'
            case $previous in
                --name) operand='text' ;;
                --label) operand='text' ;;
                --documents) operand='directories' ;;
                --state) operand='directories' ;;
            esac
            ;;
        'fleet boot')
            flags='--once --state --files' operand='text'
            case $previous in
                --once) operand='text' ;;
                --state) operand='directories' ;;
                --files) operand='directories' ;;
            esac
            ;;
        'secret seal')
            flags='--for --file --fragment --put --why --store --user --ca --password-file' operand='text'
            case $previous in
                --for) operand='text' ;;
                --file) operand='files' ;;
                --why) operand='text' ;;
                --store) operand='text' ;;
                --user) operand='text' ;;
                --ca) operand='files' ;;
                --password-file) operand='files' ;;
            esac
            ;;
        'secret list')
            flags='--documents --json --store --user --ca --password-file' operand='text'
            case $previous in
                --documents) operand='files' ;;
                --store) operand='text' ;;
                --user) operand='text' ;;
                --ca) operand='files' ;;
                --password-file) operand='files' ;;
            esac
            ;;
        'secret reseal')
            flags='--key --documents --why --store --user --ca --password-file' operand='text'
            case $previous in
                --key) operand='files' ;;
                --documents) operand='files' ;;
                --why) operand='text' ;;
                --store) operand='text' ;;
                --user) operand='text' ;;
                --ca) operand='files' ;;
                --password-file) operand='files' ;;
            esac
            ;;
        'secret open')
            flags='--key --documents --store --user --ca --password-file' operand='text'
            case $previous in
                --key) operand='files' ;;
                --documents) operand='files' ;;
                --store) operand='text' ;;
                --user) operand='text' ;;
                --ca) operand='files' ;;
                --password-file) operand='files' ;;
            esac
            ;;
        'secret key')
            flags='--new' operand='text'
            ;;
        'secret recovery')
            flags='--revoke --why --store --user --ca --password-file' operand='files'
            case $previous in
                --revoke) operand='text' ;;
                --why) operand='text' ;;
                --store) operand='text' ;;
                --user) operand='text' ;;
                --ca) operand='files' ;;
                --password-file) operand='files' ;;
            esac
            ;;
        'query documents')
            flags='--file --count --store --user --ca --password-file --json' operand='text'
            case $previous in
                --file) operand='files' ;;
                --store) operand='text' ;;
                --user) operand='text' ;;
                --ca) operand='files' ;;
                --password-file) operand='files' ;;
            esac
            ;;
        'query machines')
            flags='--count --store --user --ca --password-file --json' operand='text'
            case $previous in
                --store) operand='text' ;;
                --user) operand='text' ;;
                --ca) operand='files' ;;
                --password-file) operand='files' ;;
            esac
            ;;
        'query changes')
            flags='--since --until --count --store --user --ca --password-file --json' operand='text'
            case $previous in
                --since) operand='text' ;;
                --until) operand='text' ;;
                --store) operand='text' ;;
                --user) operand='text' ;;
                --ca) operand='files' ;;
                --password-file) operand='files' ;;
            esac
            ;;
        'run render')
            flags='--on --all-systems --run --provenance --no-comments --output --only-files --user --json' operand='files'
            case $previous in
                --on) operand='text' ;;
                --run) operand='text' ;;
                --output) operand='directories' ;;
                --user) operand='text' ;;
            esac
            ;;
        'run submit')
            flags='--on --run --dry-run --only-files --user --json' operand='files'
            case $previous in
                --on) operand='text' ;;
                --run) operand='text' ;;
                --user) operand='text' ;;
            esac
            ;;
        'run status')
            flags='--on --json' operand='text'
            case $previous in
                --on) operand='text' ;;
            esac
            ;;
        'run wait')
            flags='--on --timeout --json' operand='text'
            case $previous in
                --on) operand='text' ;;
                --timeout) operand='text' ;;
            esac
            ;;
        'run cancel')
            flags='--on' operand='text'
            case $previous in
                --on) operand='text' ;;
            esac
            ;;
        'run log')
            flags='--on --index' operand='text'
            case $previous in
                --on) operand='text' ;;
                --index) operand='text' ;;
            esac
            ;;
        'run systems')
            flags='--only-files --json' operand='files'
            ;;
        'run import')
            flags='--from --name --output' operand='files'
            case $previous in
                --from) operand='slurm pbs lsf jsdl xml' ;;
                --name) operand='text' ;;
                --output) operand='files' ;;
            esac
            ;;
        'run export')
            flags='--to --run' operand='files'
            case $previous in
                --to) operand='xml jsdl yaml' ;;
                --run) operand='text' ;;
            esac
            ;;
        help) operand='validate test render match packages schema import image status watch show explain history diff facts doctor boot-chart init plan apply confirm rollback follow hold unhold pause resume documents store release fleet serve netboot secret query run' ;;
    esac
    if [[ $current == -* ]]; then
        mapfile -t COMPREPLY < <(compgen -W "$flags --help" -- "$current")
        return
    fi
    case $operand in
        files) compopt -o filenames; mapfile -t COMPREPLY < <(compgen -f -- "$current") ;;
        directories) compopt -o filenames; mapfile -t COMPREPLY < <(compgen -d -- "$current") ;;
        units) mapfile -t COMPREPLY < <(compgen -W "$(_ordainctl_listed '*.*' 1 status)" -- "$current") ;;
        generations) mapfile -t COMPREPLY < <(compgen -W "$(_ordainctl_listed '[0-9]*' 1 history)" -- "$current") ;;
        documents) mapfile -t COMPREPLY < <(compgen -W "$(_ordainctl_listed '[A-Z][a-z]*' 2 documents list)" -- "$current") ;;
        text) ;;
        *) mapfile -t COMPREPLY < <(compgen -W "$operand" -- "$current") ;;
    esac
}

complete -F _ordainctl ordainctl
