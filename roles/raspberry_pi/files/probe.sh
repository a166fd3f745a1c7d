exec 2>/dev/null
# Answers, name=value a line: model, architecture of the packages, word size of the programs,
# governor, throttling bits (hexadecimal), swap devices and files, whether our units are enabled,
# whether this is a container, whose swap is its machine's.
model=$(tr -d '\0' </sys/firmware/devicetree/base/model)
bits=$(cat /sys/devices/platform/*/*firmware*/get_throttled | head -n 1)
[ -n "$bits" ] || bits=$(vcgencmd get_throttled | sed 's/.*=0x//')
container=no
systemd-detect-virt --container --quiet && container=yes
echo "model=$model"
echo "packages=$(dpkg --print-architecture)"
echo "bits=$(getconf LONG_BIT)"
echo "governor=$(cat /sys/devices/system/cpu/cpufreq/policy0/scaling_governor)"
echo "governor_unit=$(systemctl is-enabled llama-herd-governor.service)"
echo "throttled=$bits"
echo "swap=$(awk 'NR > 1 { print $1 }' /proc/swaps | paste -s -d ' ' -)"
echo "swap_unit=$(systemctl is-enabled llama-herd-no-swap.service)"
echo "container=$container"
exit 0
