# shellcheck shell=dash
# Answers, a line each: capability bounding set (hexadecimal), kind of cgroups, most open files,
# what started the machine, distribution, its code name, its architecture; then every installed
# package.
sed -n 's/^CapBnd:[[:space:]]*//p' /proc/self/status
stat -f -c %T /sys/fs/cgroup
ulimit -H -n
if [ -d /run/systemd/system ]; then echo systemd; else echo other; fi
# shellcheck source=/dev/null
. /etc/os-release
case " $ID ${ID_LIKE-} " in
    *" ubuntu "*) echo Ubuntu ;;
    *" debian "*) echo Debian ;;
    *) echo "$ID" ;;
esac
echo "${UBUNTU_CODENAME:-${DEBIAN_CODENAME:-${VERSION_CODENAME-unknown}}}"
dpkg --print-architecture 2>/dev/null || echo unknown
dpkg-query --show --showformat '${db:Status-Status} ${Package}\n' 2>/dev/null | sed -n 's/^installed //p'
