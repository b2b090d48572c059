"""What people type: check, costs, explain, show, verify, where."""
