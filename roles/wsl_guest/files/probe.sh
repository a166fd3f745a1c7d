# shellcheck shell=sh
exec 2>/dev/null
# Answers, one a line: a word, then what there is to say.
echo "kernel $(uname -r)"
echo "init $(cat /proc/1/comm)"
systemctl is-active --quiet ssh.socket && echo "ssh ssh.socket"
systemctl is-active --quiet ssh.service && echo "ssh ssh.service"
exit 0
