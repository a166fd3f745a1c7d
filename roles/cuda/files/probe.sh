# shellcheck shell=sh
exec 2>/dev/null
# Answers, one a line: a word, then what there is to say. What does not exist gives no line.
# shellcheck source=/dev/null
. /etc/os-release
echo "system $ID $VERSION_ID"
echo "kernel $(uname -r)"
echo "architecture $(dpkg --print-architecture)"
container=$(systemd-detect-virt --container)
echo "container ${container:-none}"

# The first four bytes of an EFI variable are its attributes.
secure=/sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c
echo "secure_boot $(od -An -tu1 -j4 -N1 "$secure" | tr -d ' ')"
for key in /var/lib/shim-signed/mok/MOK.der /var/lib/dkms/mok.pub; do
  mokutil --test-key "$key" | grep -q 'is already enrolled' && echo "key_enrolled $key"
done

for device in /sys/bus/pci/devices/*; do
  read -r vendor <"$device/vendor"
  read -r class <"$device/class"
  case $vendor/$class in 0x10de/0x03*) echo "gpu ${device##*/}" ;; esac
done
[ -e /dev/dxg ] && [ -e /usr/lib/wsl/lib/libcuda.so.1 ] && echo "gpu wsl"
for module in nouveau nvidia; do
  [ -e "/sys/module/$module" ] && echo "module $module $(cat "/sys/module/$module/version")"
done

dpkg-query -W -f 'package ${db:Status-Want} ${db:Status-Status} ${Package} ${Version}\n' |
  grep -E '^package [a-z]+ installed ([^ ]*(nvidia|cuda)|[^ ]*-[0-9]+-[0-9]+ )'
grep -hoE '^[^#]*/cuda/repos/[a-z0-9-]+' -r /etc/apt/sources.list /etc/apt/sources.list.d |
  sed 's|.*/|repository |' | sort -u
exit 0
