# A rule of the firewall that guards guests with mirrored networking.
[CmdletBinding(SupportsShouldProcess)]
param([string]$Name, [string[]]$Ports, [string[]]$From)
$ErrorActionPreference = 'Stop'
$Ansible.Changed = $false
function Join-Sorted([string[]]$Values) { ($Values | Sort-Object) -join ',' }
$rule = Get-NetFirewallHyperVRule -Name $Name -ErrorAction SilentlyContinue
if ($rule -and "$($rule.Action)" -eq 'Allow' -and "$($rule.Enabled)" -eq 'True' -and
    (Join-Sorted $rule.LocalPorts) -eq (Join-Sorted $Ports) -and
    (Join-Sorted $rule.RemoteAddresses) -eq (Join-Sorted $From)) {
    return
}
$Ansible.Changed = $true
if ($PSCmdlet.ShouldProcess($Name, 'write the rule')) {
    if ($rule) { Remove-NetFirewallHyperVRule -Name $Name }
    # WSL's own number among the makers of virtual machines.
    New-NetFirewallHyperVRule -Name $Name -DisplayName $Name -Direction Inbound -Action Allow `
        -VMCreatorId '{40E0AC32-46A5-438A-A0B2-2B479E8F2E90}' -Protocol TCP `
        -LocalPorts $Ports -RemoteAddresses $From | Out-Null
}
