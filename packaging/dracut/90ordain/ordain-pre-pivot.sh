#!/bin/sh
# Hand documents over to the machine that is about to start.

. /usr/lib/ordain/initrd-handover

ordain_network() {
	: # dracut has brought it up by now (ordain-cmdline.sh)
}

ordain_handover "$NEWROOT"
