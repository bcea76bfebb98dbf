"""From alerts to bans, by policy: `responder` follows the journals, `blast` counts who else is behind an address."""
