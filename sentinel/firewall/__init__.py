"""policy.yml -> the kernel's nftables, kept there: plan, atomic apply, rollback, drift repair, bans."""
