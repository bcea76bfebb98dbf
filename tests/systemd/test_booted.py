def test_a(machine):
    print(machine.ask("systemctl", "--no-pager", "status"))
    print(machine.sentinel("setup", check=None))
    print(machine.ask("systemctl", "--failed", "--no-pager"))
    print(machine.ask("systemd-analyze", "blame", "--no-pager"))
