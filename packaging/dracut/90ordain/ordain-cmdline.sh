#!/bin/sh
# Bring the network up where a boot server is to be asked. Not to wait for it for ever is up to rd.net.timeout.*.

case $(getarg ordain.source=) in
http://* | https://*)
	echo rd.neednet=1 >>/etc/cmdline.d/90-ordain.conf
	getarg ip= >/dev/null || echo ip=dhcp >>/etc/cmdline.d/90-ordain.conf
	;;
esac
