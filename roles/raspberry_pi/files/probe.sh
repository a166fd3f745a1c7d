exec 2>/dev/null
# Answers, a line each: model, architecture of the packages, word size of the programs,
# governor, whether our unit is enabled, throttling bits (hexadecimal).
model=$(tr -d '\0' </sys/firmware/devicetree/base/model)
bits=$(cat /sys/devices/platform/soc/soc:firmware/get_throttled)
enabled=$(systemctl is-enabled llama-herd-governor.service)
[ -n "$bits" ] || bits=$(vcgencmd get_throttled | sed 's/.*=0x//')
echo "${model:-other}"
dpkg --print-architecture || echo unknown
getconf LONG_BIT || echo unknown
cat /sys/devices/system/cpu/cpufreq/policy0/scaling_governor || echo unknown
echo "${enabled:-no}"
echo "${bits:-unknown}"
exit 0
