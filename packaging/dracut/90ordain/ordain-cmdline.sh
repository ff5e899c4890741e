#!/bin/sh
# Bring the network up if there is a boot server to ask. rd.net.timeout.* limits how long dracut waits for it.

ordain_neednet() {
	echo rd.neednet=1 >>/etc/cmdline.d/90-ordain.conf
	getarg ip= >/dev/null || echo ip=dhcp >>/etc/cmdline.d/90-ordain.conf
}

case $(getarg ordain.source=) in
http://* | https://*) ordain_neednet ;;
esac
# A root that is fetched: no device to wait for. ordain-mount.sh mounts it.
if getarg ordain.root= >/dev/null; then
	ordain_neednet
	root=ordain
	rootok=1
fi
