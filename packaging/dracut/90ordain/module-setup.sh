#!/bin/bash
# A dracut module that hands documents over (see handover). It is optional: add_dracutmodules+=" ordain ".

check() {
	return 255
}

depends() {
	echo bash
	# ordain.source=http… needs the network; everything else works without it.
	if [ -e "$dracutbasedir/modules.d/40network" ] || [ -e "$dracutbasedir/modules.d/35network-manager" ]; then
		echo network
	fi
}

installkernel() {
	hostonly='' instmods vfat nls_cp437 nls_ascii isofs ext4 virtio_blk virtio_net xfs btrfs
}

install() {
	mkdir -p "$initdir/ordain" # some boot loaders cannot make a directory
	inst_simple /usr/lib/ordain/initrd-handover
	inst_simple /usr/lib/ordain/initrd-netboot
	inst_multiple cat chmod chroot cp grep head ls mkdir mkfifo mount mv rm rmdir sed sleep sort sync tee tr umount uname wc
	inst_multiple -o curl wget timeout sha256sum tar zstd /etc/ssl/certs/ca-certificates.crt
	inst_hook cmdline 90 "$moddir/ordain-cmdline.sh"
	inst_hook mount 90 "$moddir/ordain-mount.sh"
	inst_hook pre-pivot 50 "$moddir/ordain-pre-pivot.sh"
}
