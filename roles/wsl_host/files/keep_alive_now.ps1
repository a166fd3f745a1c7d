# Starts the task that keeps the guest alive, or starts it anew.
[CmdletBinding(SupportsShouldProcess)]
param([bool]$Restart)
$ErrorActionPreference = 'Stop'
$Ansible.Changed = $false
$task = @{ TaskPath = '\llama-herd\'; TaskName = 'wsl-guest' }
$running = "$((Get-ScheduledTask @task).State)" -eq 'Running'
if ($running -and -not $Restart) { return }
$Ansible.Changed = $true
if ($PSCmdlet.ShouldProcess('wsl-guest', 'start')) {
    if ($running) { Stop-ScheduledTask @task }
    Start-ScheduledTask @task
}
