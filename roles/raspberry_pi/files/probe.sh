# shellcheck shell=sh
exec 2>/dev/null
# Answers, name=value a line: model, architecture of the packages, word size of the programs,
# governor, throttling bits (hexadecimal) of the firmware since it booted and of the kernel now,
# swap devices and files, whether our units are enabled, whether this is a container, whose swap is
# its machine's.
model=$(tr -d '\0' </sys/firmware/devicetree/base/model)
# Asked by vcgencmd, the firmware tells what happened since it booted. Asked by the kernel, it tells
# what happened since it was asked before, which is every two seconds (raspberrypi-hwmon): the
# kernel's file holds for now alone.
told=$(PATH="$PATH:/opt/vc/bin"; timeout 5 vcgencmd get_throttled)
throttled=$(echo "$told" | sed -n 's/^throttled=0x\([0-9a-fA-F]\{1,8\}\)$/\1/p')
now=$(cat /sys/devices/platform/*/*firmware*/get_throttled | head -n 1)
container=no
systemd-detect-virt --container --quiet && container=yes
echo "model=$model"
echo "packages=$(dpkg --print-architecture)"
echo "bits=$(getconf LONG_BIT)"
echo "governor=$(cat /sys/devices/system/cpu/cpufreq/policy0/scaling_governor)"
echo "governor_unit=$(systemctl is-enabled llama-herd-governor.service)"
echo "throttled=$throttled"
echo "throttled_now=${now#0x}"
echo "swap=$(awk 'NR > 1 { print $1 }' /proc/swaps | paste -s -d ' ' -)"
echo "swap_unit=$(systemctl is-enabled llama-herd-no-swap.service)"
echo "container=$container"
exit 0
