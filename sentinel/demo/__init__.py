"""`sentinel demo`: a shop, an attacker and a customer in network namespaces, and every promise kept for real."""
