"""Alerts of the journals -> a receiver of Alertmanager's v2 API: `alertmanager` words them, `post` delivers them."""
