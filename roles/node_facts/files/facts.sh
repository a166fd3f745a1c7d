exec 2>/dev/null
say() { printf '%s=%s\n' "$1" "$2"; }
first() { read -r line <"$1" && printf %s "$line"; }
model=$(tr -d '\0' </sys/firmware/devicetree/base/model || first /sys/class/dmi/id/product_name)
nic=$(ip -o -4 route show to default | sed -n 's/.* dev \([^ ]*\).*/\1/p' | head -n 1)
driver=$(readlink "/sys/class/net/$nic/device/driver")
say machine_id "$(sha256sum </etc/machine-id | cut -c 1-16)"
say model "$model"
say cpu_model "$(LC_ALL=C lscpu | sed -n 's/^Model name: *//p' | head -n 1)"
say cores "$(nproc)"
say memory_mib "$(awk '$1 == "MemTotal:" { print int($2 / 1024) }' /proc/meminfo)"
say swap_mib "$(awk 'NR > 1 { sum += $3 } END { print int(sum / 1024) }' /proc/swaps)"
say arch "$(uname -m)"
say userspace_bits "$(getconf LONG_BIT)"
say os "$(. /etc/os-release && echo "$PRETTY_NAME")"
say kernel "$(uname -r)"
say page_size "$(getconf PAGESIZE)"
say governor "$(first /sys/devices/system/cpu/cpufreq/policy0/scaling_governor)"
say nic "$nic"
say nic_driver "${driver##*/}"
say wireless "$([ -d "/sys/class/net/$nic/wireless" ] && echo true || echo false)"
say link_mbit "$(first "/sys/class/net/$nic/speed")"
exit 0
