#!/bin/sh
# Puts this machine's own copy of a program in the place of an emulated one: nft, because qemu-user
# has no netlink sockets for firewalls, and dpkg-deb, because unpacking is slow under emulation.
# native.sh ROOT PROGRAM
set -eu
root=$1 program=$2
native=/opt/native/$(basename "$program")
mkdir -p "$root$native"
libraries=$(ldd "$program" | grep -o '/[^ ]*')
for file in "$program" $libraries; do
    cp -L "$file" "$root$native/"
done
loader=$(basename "$(echo "$libraries" | grep '/ld-linux')")
dpkg-divert --quiet --root="$root" --rename --add "$program"
cat >"$root$program" <<END
#!/bin/sh
exec $native/$loader --library-path $native $native/$(basename "$program") "\$@"
END
chmod 0755 "$root$program"
