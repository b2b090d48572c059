"""What people type: check, costs, explain, verify, where (and show)."""
