# What this Windows is and has. Asks WSL only where it is installed: the stub that Windows has in
# its place would offer to install it and wait for a key.
$ErrorActionPreference = 'Continue'
$Ansible.Changed = $false
# UTF-8 instead of UTF-16; old versions do not listen, so the reader drops what is not printable.
$env:WSL_UTF8 = '1'
$wsl = "$env:ProgramFiles\WSL\wsl.exe"
$version = @()
$distributions = @()
if (Test-Path -LiteralPath $wsl) {
    $version = @(& $wsl --version 2>$null | ForEach-Object { "$_" })
    $distributions = @(& $wsl --list --verbose 2>$null | ForEach-Object { "$_" })
}
$features = 'Microsoft-Windows-Subsystem-Linux', 'VirtualMachinePlatform' | Where-Object {
    "$((Get-WindowsOptionalFeature -Online -FeatureName $_).State)" -ne 'Enabled'
}
$computer = Get-CimInstance -ClassName Win32_ComputerSystem
$identity = [Security.Principal.WindowsIdentity]::GetCurrent()
$administrators = [Security.Principal.WindowsBuiltInRole]::Administrator
$Ansible.Result = @{
    build = [Environment]::OSVersion.Version.Build
    user = $identity.Name
    system = $identity.IsSystem
    administrator = ([Security.Principal.WindowsPrincipal]$identity).IsInRole($administrators)
    profile = $env:USERPROFILE
    programs = $env:ProgramFiles
    memory_gib = [math]::Floor($computer.TotalPhysicalMemory / 1gb)
    processors = $computer.NumberOfLogicalProcessors
    missing_features = @($features)
    version = $version
    distributions = $distributions
}
