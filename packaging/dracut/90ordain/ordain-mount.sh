#!/bin/sh
# Mount the root of a machine that runs in RAM, or install it, if the kernel's arguments name an archive to fetch.

if getarg ordain.root= >/dev/null && ! ismounted "$NEWROOT"; then
	. /usr/lib/ordain/initrd-handover
	. /usr/lib/ordain/initrd-netboot
	ordain_network() {
		: # dracut has brought it up by now (ordain-cmdline.sh)
	}
	ordain_start "$NEWROOT"
fi
