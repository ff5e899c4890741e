#!/bin/sh
# Bring the network up if there is a boot server to ask. rd.net.timeout.* limits how long dracut waits for it.

case $(getarg ordain.source=) in
http://* | https://*)
	echo rd.neednet=1 >>/etc/cmdline.d/90-ordain.conf
	getarg ip= >/dev/null || echo ip=dhcp >>/etc/cmdline.d/90-ordain.conf
	;;
esac
